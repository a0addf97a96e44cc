import { expect, test } from "vitest";
import type { HostTensor } from "../../src/engine/ops.ts";
import { mapNames } from "../../src/oracle/names.ts";

const [T, heads, kvHeads, d] = [5, 4, 2, 3] as const;
const hints = { heads, kvHeads, headDim: d };

/** Value 1000 · first index + 100 · second + … of a tensor, so that a place tells where it came from. */
function numbered(...shape: number[]): HostTensor {
  const data = new Float32Array(shape.reduce((a, b) => a * b, 1));
  for (let i = 0; i < data.length; i++) {
    let [rest, value] = [i, 0];
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      value += (rest % shape[axis]!) * 10 ** (shape.length - 1 - axis);
      rest = Math.floor(rest / shape[axis]!);
    }
    data[i] = value;
  }
  return { shape, data };
}

function mapped(tensors: Record<string, HostTensor>, layers?: number) {
  return mapNames(new Map(Object.entries(tensors)), { ...hints, ...(layers !== undefined && { layers }) });
}

test("transformers' modules, a batch of one, become our points", () => {
  const hidden = numbered(1, T, 7);
  const result = mapped({
    input_ids: { shape: [1, T], data: Int32Array.of(3, 1, 4, 1, 5) },
    "model.embed_tokens": hidden,
    "model.layers.1.input_layernorm": hidden,
    "model.layers.1.self_attn.q_proj": numbered(1, T, heads * d),
    "model.layers.1.self_attn.o_proj.input": numbered(1, T, heads * d),
    "model.layers.1.self_attn.0": hidden,
    "model.layers.1.self_attn.1": numbered(1, heads, T, T),
    "model.layers.1.post_attention_layernorm.input": hidden,
    "model.layers.1.mlp.router.0": numbered(T, 8),
    "model.layers.1.mlp.router.1": numbered(T, 2),
    "model.layers.1.mlp.router.2": { shape: [T, 2], data: new Int32Array(2 * T) },
    "model.layers.1.mlp.0": hidden,
    "model.layers.1": hidden,
    "model.norm": hidden,
    lm_head: numbered(1, T, 9),
    "model.rotary_emb.0": numbered(1, T, d),
  });
  expect(result.convention).toBe("transformers");
  expect(result.unknown).toEqual(["model.rotary_emb.0"]);
  const shapes = Object.fromEntries([...result.trace].map(([point, { shape }]) => [point, shape]));
  expect(shapes).toEqual({
    ids: [T],
    embedding: [T, 7],
    "layers.1.attn.norm": [T, 7],
    "layers.1.attn.q": [T, heads * d],
    "layers.1.attn.context": [T, heads * d],
    "layers.1.attn.out": [T, 7],
    "layers.1.attn.weights": [heads, T, T],
    "layers.1.attn.residual": [T, 7],
    "layers.1.moe.router_logits": [T, 8],
    "layers.1.moe.expert_weights": [T, 2],
    "layers.1.moe.expert_ids": [T, 2],
    "layers.1.moe.out": [T, 7],
    "layers.1.moe.residual": [T, 7],
    norm: [T, 7],
    logits: [T, 9],
  });
});

test("hidden_states are embedding, residuals, and the last norm's output", () => {
  const states = Object.fromEntries([0, 1, 2, 3].map((i) => [`hidden_states.${i}`, numbered(1, T, 7)]));
  expect([...mapped(states).trace.keys()]).toEqual([
    "embedding",
    "layers.0.moe.residual",
    "layers.1.moe.residual",
    "norm",
  ]);
  expect([...mapped(states, 12).trace.keys()].at(-1)).toBe("layers.2.moe.residual"); // of 12, the first
});

test("OpenAI's qkv is split into heads, its grouped queries joined, and its blocks end with the residual", () => {
  const width = (heads + 2 * kvHeads) * d;
  const { trace, convention, unknown } = mapped({
    "block.0.attn.qkv": numbered(T, width),
    "block.0.attn.rope.0": numbered(T, kvHeads, heads / kvHeads, d),
    "block.0.attn.rope.1": numbered(T, kvHeads, d),
    "block.0.attn.out": numbered(T, 7),
    "block.0.attn": numbered(T, 7),
    "block.0.mlp.gate": numbered(T, 8),
    "block.0": numbered(T, 7),
    unembedding: numbered(T, 9),
  });
  expect([convention, unknown]).toEqual(["openai", []]);
  const row = (point: string, token: number) => Array.from(trace.get(point)!.data.subarray(token * trace.get(point)!.data.length / T)).slice(0, 3); // biome-ignore format: one line
  expect(trace.get("layers.0.attn.q")!.shape).toEqual([T, heads, d]);
  expect(row("layers.0.attn.q", 2)).toEqual([20, 21, 22]); // numbered() adds the place to 10 · token
  expect(row("layers.0.attn.k", 2)).toEqual([20 + 12, 20 + 13, 20 + 14]);
  expect(row("layers.0.attn.v", 2)).toEqual([20 + 18, 20 + 19, 20 + 20]);
  expect(trace.get("layers.0.attn.q_rope")!.shape).toEqual([T, heads, d]);
  expect([...trace.keys()]).toContain("layers.0.attn.residual");
  expect([...trace.keys()]).toContain("layers.0.moe.residual");
});

test("vLLM's fused norms tell the residual, its layers the experts' output", () => {
  const flat = numbered(T, 7);
  const { trace, convention, names } = mapped({
    "model.layers.0.input_layernorm": flat,
    "model.layers.0.attn.qkv_proj.0": numbered(T, (heads + 2 * kvHeads) * d),
    "model.layers.0.attn": flat,
    "model.layers.0.post_attention_layernorm.0": flat,
    "model.layers.0.post_attention_layernorm.1": flat,
    "model.layers.0.0": flat,
    "model.layers.1.input_layernorm.0": flat,
    "model.layers.1.input_layernorm.1": flat,
  });
  expect(convention).toBe("vllm");
  expect([...trace.keys()].sort()).toEqual(
    [
      "attn.k",
      "attn.norm",
      "attn.out",
      "attn.q",
      "attn.residual",
      "attn.v",
      "moe.norm",
      "moe.out",
      "moe.residual",
    ]
      .map((point) => `layers.0.${point}`)
      .concat("layers.1.attn.norm"),
  );
  expect(names.get("layers.0.moe.residual")).toBe("model.layers.1.input_layernorm.1");
});

test("TransformerLens' heads are turned and joined, its scattered weights gathered", () => {
  const scattered = numbered(T, 8);
  const { trace, convention, unknown } = mapped({
    hook_embed: numbered(1, T, 7),
    "blocks.0.ln1.hook_normalized": numbered(1, T, 7),
    "blocks.0.attn.hook_q": numbered(1, T, heads, d),
    "blocks.0.attn.hook_pattern": numbered(1, heads, T, T),
    "blocks.0.attn.hook_z": numbered(1, T, heads, d),
    "blocks.0.mlp.hook_expert_weights": scattered,
    "blocks.0.mlp.hook_expert_indices": { shape: [T, 2], data: Int32Array.of(7, 0, 1, 2, 3, 4, 5, 6, 0, 7) },
    "blocks.0.hook_resid_post": numbered(1, T, 7),
    "blocks.1.hook_resid_pre": numbered(1, T, 7),
  });
  expect([convention, unknown]).toEqual(["transformer-lens", ["blocks.0.ln1.hook_normalized"]]);
  expect(trace.get("layers.0.attn.context")!.shape).toEqual([T, heads * d]);
  expect(Array.from(trace.get("layers.0.moe.expert_weights")!.data)).toEqual([
    7, 0, 11, 12, 23, 24, 35, 36, 40, 47,
  ]);
});

test("keys ahead of tokens are turned, a sink's column taken off, a mask's fill made infinite", () => {
  const [, weights] = [0, numbered(heads, T, T + 1)];
  const scores = numbered(heads, T, T);
  scores.data[1] = -3.4e38;
  const { trace } = mapped({
    ids: { shape: [T], data: new Int32Array(T) },
    "layers.0.attn.k_rope": numbered(kvHeads, T, d),
    "layers.0.attn.weights": weights,
    "layers.0.attn.scores": scores,
  });
  expect(trace.get("layers.0.attn.k_rope")).toMatchObject({ shape: [T, kvHeads, d] });
  expect(Array.from(trace.get("layers.0.attn.k_rope")!.data.subarray(0, 6))).toEqual([
    0, 1, 2, 100, 101, 102,
  ]);
  expect(Array.from(trace.get("layers.0.attn.sink")!.data.subarray(0, 2))).toEqual([5, 15]);
  expect(Array.from(trace.get("layers.0.attn.weights")!.data.subarray(0, 6))).toEqual([0, 1, 2, 3, 4, 10]);
  expect(trace.get("layers.0.attn.scores")!.data[1]).toBe(Number.NEGATIVE_INFINITY);
});

test("gate and up of llama.cpp take turns, as the checkpoint has them", () => {
  const { trace } = mapped({
    "ffn_moe_gate_biased-3": { shape: [1, 2, 2], data: Float32Array.of(1, 2, 3, 4) },
    "ffn_moe_up_biased-3": { shape: [1, 2, 2], data: Float32Array.of(5, 6, 7, 8) },
    "l_out-3": numbered(1, 7),
  });
  expect(trace.get("layers.3.moe.gate_up")).toEqual({
    shape: [1, 2, 4],
    data: Float32Array.of(1, 5, 2, 6, 3, 7, 4, 8),
  });
});

test("a map tells names that nobody knows", () => {
  const { trace, unknown } = mapNames(
    new Map([
      ["h.11.attn.o", numbered(T, 7)],
      ["h.11.other", numbered(T, 7)],
    ]),
    {},
    { "h.#.attn.o": "layers.#.attn.out" },
  );
  expect([...trace.keys()]).toEqual(["layers.11.attn.out"]);
  expect(unknown).toEqual(["h.11.other"]);
});
