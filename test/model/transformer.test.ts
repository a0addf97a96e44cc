import { describe, expect, test } from "vitest";
import { quantizeDense } from "../../src/checkpoint/quantize.ts";
import { mapWeights } from "../../src/checkpoint/weights.ts";
import type { HostTensor } from "../../src/engine/ops.ts";
import { ReferenceEngine } from "../../src/engine/reference/index.ts";
import { UsageError } from "../../src/errors.ts";
import { Transformer } from "../../src/model/transformer.ts";
import { DIALECTS, type DialectName } from "../../src/numerics/dialects.ts";
import { trace, tracePoints } from "../../src/oracle/trace.ts";
import { randomWeights, TINY } from "../support/random-model.ts";

const ids = Array.from({ length: 40 }, (_, i) => (i * 17 + 3) % TINY.vocabSize);

async function tinyModel(dialect: DialectName = "f32"): Promise<Transformer> {
  const engine = new ReferenceEngine(dialect);
  return new Transformer(
    TINY,
    await mapWeights(randomWeights(TINY), (source) => engine.loadWeight(source)),
    engine,
  );
}

describe.each(Object.keys(DIALECTS) as DialectName[])("in dialect %s", (dialect) => {
  test.each([1, 7, 8, 9, 39])(
    "chunks of %i tokens give the same bits at every trace point as one pass",
    async (size) => {
      const model = await tinyModel(dialect);
      const whole = await trace(model, ids);
      const chunked = await trace(model, ids, { chunkSize: size });
      expect([...chunked.keys()]).toEqual([...tracePoints(TINY.numLayers), "ids"]);
      for (const [point, value] of whole) expect(chunked.get(point), point).toEqual(value);
    },
  );

  test("tokens ahead don't change when tokens are added behind", async () => {
    const model = await tinyModel(dialect);
    const longer = (await trace(model, ids, { points: "logits" })).get("logits")!;
    const shorter = (await trace(model, ids.slice(0, 13), { points: "logits" })).get("logits")!;
    expect(longer.data.slice(0, shorter.data.length)).toEqual(shorter.data);
  });
});

test("chunks give the same bits with dense weights in Q8_0", async () => {
  const engine = new ReferenceEngine("int8");
  const weights = quantizeDense(randomWeights(TINY));
  const model = new Transformer(
    TINY,
    await mapWeights(weights, (source) => engine.loadWeight(source)),
    engine,
  );
  const whole = await trace(model, ids);
  for (const chunkSize of [1, 7]) {
    for (const [point, value] of await trace(model, ids, { chunkSize }))
      expect(value, point).toEqual(whole.get(point));
  }
});

test("trace points have the documented shapes", async () => {
  const T = 5;
  const {
    hiddenSize,
    numAttentionHeads,
    numKeyValueHeads,
    headDim,
    numExperts,
    expertsPerToken,
    intermediateSize,
  } = TINY;
  const shapes: Record<string, number[]> = {
    norm: [T, hiddenSize],
    q: [T, numAttentionHeads, headDim],
    k: [T, numKeyValueHeads, headDim],
    v: [T, numKeyValueHeads, headDim],
    q_rope: [T, numAttentionHeads, headDim],
    k_rope: [T, numKeyValueHeads, headDim],
    scores: [numAttentionHeads, T, T],
    weights: [numAttentionHeads, T, T],
    sink: [numAttentionHeads, T],
    context: [T, numAttentionHeads * headDim],
    router_logits: [T, numExperts],
    expert_ids: [T, expertsPerToken],
    expert_weights: [T, expertsPerToken],
    gate_up: [T, expertsPerToken, 2 * intermediateSize],
    swiglu: [T, expertsPerToken, intermediateSize],
    down: [T, expertsPerToken, hiddenSize],
    out: [T, hiddenSize],
    residual: [T, hiddenSize],
    embedding: [T, hiddenSize],
    logits: [T, TINY.vocabSize],
    ids: [T],
  };
  for (const [point, { shape, data }] of await trace(await tinyModel(), ids.slice(0, T))) {
    expect(shape, point).toEqual(shapes[point.split(".").at(-1)!]);
    expect(data.length, point).toBe(shape.reduce((a, b) => a * b, 1));
  }
});

test("attention weights and the sink's share sum to 1, over at most the window on sliding layers", async () => {
  const recorded = await trace(await tinyModel("f64"), ids);
  for (const layer of [0, 1]) {
    const weights = recorded.get(`layers.${layer}.attn.weights`)!;
    const sink = recorded.get(`layers.${layer}.attn.sink`)!;
    const T = ids.length;
    for (let row = 0; row < sink.data.length; row++) {
      const own = Array.from(weights.data.slice(row * T, (row + 1) * T));
      expect(own.reduce((a, b) => a + b, sink.data[row]!)).toBeCloseTo(1, 12);
      const query = row % T;
      const visible = layer === 0 ? Math.min(query + 1, TINY.slidingWindow) : query + 1;
      expect(own.map((weight) => weight > 0)).toEqual(
        Array.from({ length: T }, (_, key) => key <= query && key > query - visible),
      );
    }
  }
});

test("a hook replaces the value that the rest of the pass sees", async () => {
  const model = await tinyModel();
  const silence = (value: HostTensor): HostTensor => ({
    shape: value.shape,
    data: new Float32Array(value.data.length),
  });
  const hooks = { "layers.*.attn.out": silence, "layers.*.moe.out": silence };
  const seen = new Map<string, HostTensor>();
  const record = (value: HostTensor, point: string): void => void seen.set(point, value);
  await model.forward(ids, model.createCache(), {
    hooks: { ...hooks, "embedding,layers.1.moe.residual": record },
  });
  expect(seen.get("layers.1.moe.residual")).toEqual(seen.get("embedding"));
});

test("replaced expert ids take their own logits as weights", async () => {
  const model = await tinyModel();
  const k = TINY.expertsPerToken;
  const seen = new Map<string, HostTensor>();
  await model.forward([1, 2], model.createCache(), {
    hooks: {
      "layers.0.moe.expert_ids": (value) => ({ shape: value.shape, data: Int32Array.of(5, 0, 2, 1, 4, 3) }),
      "layers.0.moe.router_logits,layers.0.moe.expert_weights": (value, point) => void seen.set(point, value),
    },
  });
  const logits = seen.get("layers.0.moe.router_logits")!.data;
  const weights = seen.get("layers.0.moe.expert_weights")!.data;
  const ratio = Math.exp(logits[5]! - logits[0]!);
  expect(weights[0]! / weights[1]!).toBeCloseTo(ratio, 5);
  expect([...weights.slice(0, k)].reduce((a, b) => a + b, 0)).toBeCloseTo(1, 6);
});

test("replaced expert ids that don't exist are refused, and so are fractions of them", async () => {
  const model = await tinyModel();
  const replace = (data: HostTensor["data"]): Promise<unknown> =>
    model.forward([1], model.createCache(), {
      hooks: { "layers.0.moe.expert_ids": ({ shape }) => ({ shape, data }) },
    });
  await expect(replace(Int32Array.of(0, 1, 6))).rejects.toThrow(/no such expert: expected 0 to 5, found 6/);
  await expect(replace(Float32Array.of(0, 1, 2))).rejects.toThrow(/another type \(layers.0.moe.expert_ids\)/);
});

test("a hook that changes a shape is refused", async () => {
  const model = await tinyModel();
  const hooks = { embedding: (): HostTensor => ({ shape: [1, 1], data: new Float32Array(1) }) };
  await expect(model.forward(ids, model.createCache(), { hooks })).rejects.toThrow(
    /another shape \(embedding\): expected \[40, 64\]/,
  );
});

test("an aborted pass leaves the cache usable, with the same bits after", async () => {
  const model = await tinyModel();
  const cache = model.createCache();
  await model.forward(ids.slice(0, 20), cache);
  const controller = new AbortController();
  const hooks = { "layers.0.moe.out": (): void => controller.abort(new Error("enough")) };
  const aborted = model.forward(ids.slice(20), cache, { hooks, signal: controller.signal });
  await expect(aborted).rejects.toThrow("enough");
  expect(cache.length).toBe(20);

  const after = model.ops.read(await model.forward(ids.slice(20), cache));
  const fresh = model.ops.read(await model.forward(ids, model.createCache()));
  expect(after.data).toEqual(fresh.data.slice(20 * TINY.vocabSize));
});

test("lastOnly gives the last row of the logits", async () => {
  const model = await tinyModel();
  const all = model.ops.read(await model.forward(ids, model.createCache()));
  const last = model.ops.read(await model.forward(ids, model.createCache(), { lastOnly: true }));
  expect(last.shape).toEqual([1, TINY.vocabSize]);
  expect(last.data).toEqual(all.data.slice(-TINY.vocabSize));
});

test.each([
  [[], /no token ids/],
  [[1, 50], /outside the vocabulary \(token 1\): expected 0 to 49, found 50/],
  [[-1], /outside the vocabulary/],
  [[0.5], /outside the vocabulary/],
])("ids that the model can't take are refused: case %#", async (bad, message) => {
  const model = await tinyModel();
  const pass = model.forward(bad, model.createCache());
  await expect(pass).rejects.toThrow(message);
  await expect(pass).rejects.toBeInstanceOf(UsageError);
});
