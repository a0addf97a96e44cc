import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import type { HostTensor } from "../../src/engine/ops.ts";
import { load } from "../../src/generation/model.ts";
import {
  attentionHeads,
  logitDifference,
  logitLens,
  mostProbable,
  patch,
  removeExperts,
  routing,
  runWithCache,
  zeroExperts,
} from "../../src/interpret/index.ts";
import { differing, relativeRms } from "../../src/oracle/checks.ts";
import type { Trace } from "../../src/oracle/trace.ts";
import { readTrace } from "../../src/oracle/trace-file.ts";

const golden = fileURLToPath(new URL("../../golden/model", import.meta.url));
const { ids } = JSON.parse(await readFile(`${golden}/ids.json`, "utf8")) as { ids: number[] };
const prompt = ids.slice(0, 12);
const exact = await load(`${golden}/checkpoint`, { dialect: "f64", tokenizer: false });
const fast = await load(`${golden}/checkpoint`, { dialect: "int16", tokenizer: false });
afterAll(async () => {
  await exact.close();
  await fast.close();
});

function row({ shape, data }: HostTensor, t: number): number[] {
  const width = data.length / shape[0]!;
  return Array.from(data.slice(t * width, (t + 1) * width));
}

describe("logit lens", () => {
  test("turns PyTorch's last residual stream into PyTorch's logits", async () => {
    const { trace } = await readTrace(`${golden}/f64.safetensors`);
    const positions = [0, 7, 299];
    const [view] = await logitLens(exact, trace, { points: "layers.1.moe.residual", positions });
    const logits = trace.get("logits")!;
    for (const [i, position] of positions.entries())
      expect(relativeRms(row(view!.logits, i) as never, row(logits, position) as never)).toBeLessThan(1e-6);
  });

  test("behind the last layer, it has the bits of the forward pass, also while another pass runs", async () => {
    const activations = await runWithCache(fast, prompt, { points: "layers.*.residual,logits" });
    const other = fast.transformer.forward(ids.slice(50, 90), fast.transformer.createCache());
    const views = await logitLens(fast, activations);
    await other;
    expect(views.map(({ point }) => point)).toEqual([
      "layers.0.attn.residual",
      "layers.0.moe.residual",
      "layers.1.attn.residual",
      "layers.1.moe.residual",
    ]);
    const logits = activations.get("logits")!;
    expect(row(views.at(-1)!.logits, 0)).toEqual(row(logits, prompt.length - 1));
    expect(row(views[0]!.logits, 0)).not.toEqual(row(logits, prompt.length - 1));
  });

  test("refuses what is no residual stream", async () => {
    const activations = await runWithCache(exact, prompt, { points: "layers.0.attn.q,embedding" });
    await expect(logitLens(exact, activations, { points: "layers.0.attn.q" })).rejects.toThrow(
      /not a residual/,
    );
    await expect(logitLens(exact, activations, { points: "norm" })).rejects.toThrow(/no residual stream/);
    await expect(logitLens(exact, activations, { positions: [12] })).rejects.toThrow(/0 to 11/);
  });

  test("names the most probable tokens", () => {
    const best = mostProbable(Float32Array.of(0, Math.log(6), Math.log(3), -Infinity), 2);
    expect(best.map(({ id }) => id)).toEqual([1, 2]);
    expect(best[0]!.probability).toBeCloseTo(0.6, 6);
    expect(best[1]!.probability).toBeCloseTo(0.3, 6);
  });
});

describe("activation patching", () => {
  const corrupt = prompt.with(4, prompt[4]! + 1);
  const metric = logitDifference(3, 5);

  test("finds the one token that differs, and the last one behind the last layer", async () => {
    const points = "embedding,layers.1.moe.residual";
    const {
      effects,
      points: rows,
      clean,
      corrupt: base,
    } = await patch(exact, prompt, corrupt, { metric, points });
    expect(rows).toEqual(["embedding", "layers.1.moe.residual"]);
    expect(clean).not.toBe(base);
    expect(effects[0]).toEqual(prompt.map((_, t) => (t === 4 ? 1 : 0)));
    expect(effects[1]).toEqual(prompt.map((_, t) => (t === 11 ? 1 : 0)));
  });

  test("takes the positions that it is told, at any [T, …] point", async () => {
    const options = { metric, points: "layers.0.attn.v", positions: [4, 5] };
    const { effects } = await patch(fast, prompt, corrupt, options);
    expect(effects[0]).toHaveLength(2);
    expect(effects[0]![0]).not.toBe(0);
    expect(effects[0]![1]).toBe(0);
  });

  test("refuses prompts of two lengths, points by head, and a metric that sees nothing", async () => {
    await expect(patch(exact, prompt, ids.slice(0, 11), { metric })).rejects.toThrow(/different lengths/);
    await expect(patch(exact, prompt, corrupt, { metric, points: "layers.0.attn.scores" })).rejects.toThrow(
      /can't be patched/,
    );
    await expect(patch(exact, prompt, prompt, { metric })).rejects.toThrow(/doesn't tell the prompts apart/);
  });
});

describe("ablation", () => {
  test("a removed expert is chosen by nobody, the next best takes its place, and weights sum to 1", async () => {
    const plain = await runWithCache(exact, prompt, { points: "layers.0.moe.*" });
    const without = await runWithCache(exact, prompt, {
      points: "layers.0.moe.*",
      hooks: removeExperts({ 0: [2, 6] }),
    });
    for (const t of prompt.keys()) {
      const logits = row(plain.get("layers.0.moe.router_logits")!, t);
      const others = [0, 1, 3, 4, 5, 7].sort((a, b) => logits[b]! - logits[a]!);
      expect(row(without.get("layers.0.moe.expert_ids")!, t)).toEqual(others.slice(0, 4));
      const powers = others.slice(0, 4).map((expert) => Math.exp(logits[expert]!));
      const sum = powers.reduce((a, b) => a + b, 0);
      for (const [rank, weight] of row(without.get("layers.0.moe.expert_weights")!, t).entries())
        expect(weight).toBeCloseTo(powers[rank]! / sum, 12);
    }
  });

  test("a zeroed expert is chosen as before, and its part alone is missing", async () => {
    const points = "layers.0.moe.*";
    const plain = await runWithCache(exact, prompt, { points });
    const without = await runWithCache(exact, prompt, { points, hooks: zeroExperts({ 0: [1] }) });
    const chosen = plain.get("layers.0.moe.expert_ids")!;
    expect(differing(without.get("layers.0.moe.expert_ids")!.data, chosen.data)).toBe(0);
    expect(chosen.data.includes(1)).toBe(true);
    for (const t of prompt.keys()) {
      const rank = row(chosen, t).indexOf(1);
      const weight = rank < 0 ? 0 : row(plain.get("layers.0.moe.expert_weights")!, t)[rank]!;
      const down = row(plain.get("layers.0.moe.down")!, t).slice(rank * 64, (rank + 1) * 64);
      const before = row(plain.get("layers.0.moe.out")!, t);
      for (const [i, out] of row(without.get("layers.0.moe.out")!, t).entries())
        expect(out).toBeCloseTo(before[i]! - (rank < 0 ? 0 : weight * down[i]!), 12);
    }
  });

  test("works in the SIMD engine, in chunks as well", async () => {
    const long = ids.slice(0, 300);
    const { data } = (
      await runWithCache(fast, long, {
        points: "layers.1.moe.expert_ids",
        hooks: removeExperts({ 1: [0, 3] }),
      })
    ).get("layers.1.moe.expert_ids")!;
    expect(data).toHaveLength(1200);
    expect(data.includes(0) || data.includes(3)).toBe(false);
    const zeroed = await runWithCache(fast, long, {
      points: "layers.1.moe.*",
      hooks: zeroExperts({ 1: [0] }),
    });
    const chosen = zeroed.get("layers.1.moe.expert_ids")!.data;
    const down = zeroed.get("layers.1.moe.down")!.data;
    for (const [slot, expert] of chosen.entries())
      expect(down.subarray(slot * 64, (slot + 1) * 64).every((x) => x === 0)).toBe(expert === 0);
  });

  test("refuses experts that aren't there, and to remove them all", async () => {
    const run = (hooks: ReturnType<typeof removeExperts>) =>
      runWithCache(exact, prompt, { points: "logits", hooks });
    await expect(run(removeExperts({ 0: [8] }))).rejects.toThrow(
      /no such expert \(layer 0\): expected 0 to 7, found 8/,
    );
    await expect(run(zeroExperts({ 1: [-1] }))).rejects.toThrow(/no such expert/);
    await expect(run(removeExperts({ 0: [0, 1, 2, 3, 4, 5, 6, 7] }))).rejects.toThrow(/no expert is left/);
  });
});

test("router statistics count choices, pairs and classes", () => {
  const tensor = (shape: number[], data: number[], ints = false): HostTensor => ({
    shape,
    data: ints ? Int32Array.from(data) : Float64Array.from(data),
  });
  const activations: Trace = new Map([
    ["ids", tensor([4], [9, 9, 5, 5], true)],
    ["layers.3.moe.router_logits", tensor([4, 4], new Array(16).fill(0))],
    ["layers.3.moe.expert_ids", tensor([4, 2], [0, 1, 1, 0, 0, 2, 0, 1], true)],
    ["layers.3.moe.expert_weights", tensor([4, 2], [0.9, 0.1, 0.7, 0.3, 0.6, 0.4, 0.8, 0.2])],
  ]);
  const [layer] = routing(activations, (id, position) =>
    position === 3 ? undefined : id === 9 ? "nine" : "five",
  );
  expect(layer!.layer).toBe(3);
  expect(layer!.load).toEqual([4 / 8, 3 / 8, 1 / 8, 0]);
  expect(layer!.entropy).toBeCloseTo(0.5 + (3 / 8) * Math.log2(8 / 3) + 3 / 8, 12);
  expect(layer!.weight[0]).toBeCloseTo((0.9 + 0.3 + 0.6 + 0.8) / 4, 12);
  expect(layer!.weight[3]).toBe(0);
  expect(layer!.together[0]).toEqual([1, 0.75, 0.25, 0]);
  expect(layer!.together[1]![1]).toBe(0.75);
  expect(layer!.byClass).toEqual(
    new Map([
      ["nine", [0.5, 0.5, 0, 0]],
      ["five", [0.5, 0, 0.5, 0]],
    ]),
  );
  expect(() => routing(new Map([...activations].slice(0, 3)))).toThrow(/expert_weights/);
});

test("attention heads tell what goes to the sink, and where the rest goes", async () => {
  const activations: Trace = new Map([
    ["layers.1.attn.weights", { shape: [1, 2, 2], data: Float32Array.of(0.5, 0, 0.25, 0.5) }],
    ["layers.1.attn.sink", { shape: [1, 2], data: Float32Array.of(0.5, 0.25) }],
  ]);
  const [head] = attentionHeads(activations);
  expect(head).toMatchObject({
    layer: 1,
    head: 0,
    toSink: 0.375,
    toSelf: 0.5,
    toPrevious: 0.25,
    toFirst: 0.375,
  });
  expect(head!.distance).toBeCloseTo(0.25 / 1.25, 12);
  const real = attentionHeads(
    await runWithCache(exact, prompt, { points: "layers.*.attn.weights,layers.*.attn.sink" }),
  );
  expect(real).toHaveLength(8);
  for (const { pattern, sink } of real)
    for (const [t, weights] of pattern.entries())
      expect(Array.from(weights).reduce((a, b) => a + b, sink[t]!)).toBeCloseTo(1, 12);
  expect(() => attentionHeads(new Map([...activations].slice(0, 1)))).toThrow(/sink/);
});
