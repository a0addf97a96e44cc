import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { type OpenCheckpoint, openCheckpoint } from "../../src/checkpoint/open.ts";
import { quantizeDense } from "../../src/checkpoint/quantize.ts";
import type { WeightSources } from "../../src/checkpoint/weights.ts";
import type { ModelConfig } from "../../src/config.ts";
import type { HostTensor } from "../../src/engine/ops.ts";
import { ReferenceEngine } from "../../src/engine/reference/index.ts";
import { SimdEngine, type SimdOptions } from "../../src/engine/simd/index.ts";
import type { Hooks } from "../../src/model/hooks.ts";
import type { Transformer } from "../../src/model/transformer.ts";
import { type Trace, trace, tracePoints } from "../../src/oracle/trace.ts";
import { difference, firstDifference, transformer } from "../support/engines.ts";
import { randomWeights, TINY } from "../support/random-model.ts";

const golden = fileURLToPath(new URL("../../golden", import.meta.url));
const DIALECTS = ["int16", "int8"] as const;
type Dialect = (typeof DIALECTS)[number];

interface Model {
  readonly config: ModelConfig;
  readonly weights: WeightSources;
  readonly ids: readonly number[];
}

interface Run extends SimdOptions {
  readonly chunkSize?: number;
}

/** What differs between the SIMD engine and the reference, in a pass over the model's ids. */
async function compare(
  model: Model,
  dialect: Dialect,
  expected: Trace,
  run: Run = {},
): Promise<string | undefined> {
  const { chunkSize = 256, ...options } = run;
  const engine = await SimdEngine.create(dialect, options);
  try {
    const simd = await transformer(engine, model.config, model.weights);
    return firstDifference(await trace(simd, model.ids, { chunkSize }), expected);
  } finally {
    await engine.close();
  }
}

async function reference(model: Model, dialect: Dialect, kvCache?: "bf16"): Promise<Trace> {
  const engine = new ReferenceEngine(dialect, kvCache && { kvCache });
  return trace(await transformer(engine, model.config, model.weights), model.ids);
}

const checkpoints: OpenCheckpoint[] = [];
afterAll(() => Promise.all(checkpoints.map((checkpoint) => checkpoint.close())));

async function opened(path: string, ids: readonly number[]): Promise<Model> {
  const checkpoint = await openCheckpoint(`${golden}/${path}`);
  checkpoints.push(checkpoint);
  const { config, weights } = checkpoint;
  return { config, weights, ids };
}

function spread(n: number, vocab: number): number[] {
  return Array.from({ length: n }, (_, i) => (i * i * 7 + i * 17 + 3) % vocab);
}

function random(changes: Partial<ModelConfig> = {}, tokens = 40, seed = 1): Model {
  const config = { ...TINY, ...changes };
  return { config, weights: randomWeights(config, seed), ids: spread(tokens, config.vocabSize) };
}

const small = await opened("small", spread(90, 2000)); // its window of 64 is crossed
const tinyIds = (JSON.parse(await readFile(`${golden}/model/ids.json`, "utf8")) as { ids: number[] }).ids;

describe.each(DIALECTS)("%s on the SIMD engine has the reference's bits at every trace point", (dialect) => {
  const expected = reference(small, dialect);
  test.each<[string, Run]>([
    ["as it comes", {}],
    ["baseline SIMD", { variant: "baseline" }],
    ["memory that isn't shared", { shared: false }],
    ["baseline, not shared, token by token", { variant: "baseline", shared: false, chunkSize: 1 }],
    ["1 thread", { threads: 1 }],
    ["2 threads", { threads: 2 }],
    ["3 threads", { threads: 3 }],
    ["chunks of 1", { threads: 2, chunkSize: 1 }],
    ["chunks of 7", { threads: 3, chunkSize: 7 }],
    ["chunks of 64", { threads: 2, chunkSize: 64 }],
    ["chunks of 512", { threads: 2, chunkSize: 512 }],
  ])("small checkpoint: %s", async (_name, run) => {
    expect(await compare(small, dialect, await expected, run)).toBeUndefined();
  });

  test.each(["checkpoint", "original", "gguf/model-BF16.gguf", "gguf/model-F32.gguf"])(
    "golden model: %s",
    async (path) => {
      const model = await opened(`model/${path}`, tinyIds);
      const truth = await reference(model, dialect);
      expect(await compare(model, dialect, truth, { threads: 2, chunkSize: 64 })).toBeUndefined();
      expect(await compare(model, dialect, truth, { threads: 2, variant: "baseline" })).toBeUndefined();
    },
  );

  test.each(["f32", "bf16"] as const)(
    "keys and values in %s, in rings resized again and again",
    async (kvCache) => {
      const model = random({ slidingWindow: 20 }, 150);
      const truth = await reference(model, dialect, kvCache === "bf16" ? kvCache : undefined);
      for (const chunkSize of [1, 7, 33, 150])
        expect(await compare(model, dialect, truth, { kvCache, chunkSize, threads: 2 })).toBeUndefined();
    },
  );

  test("chunks of all sizes in one sequence", async () => {
    const model = random({ slidingWindow: 8 }, 120);
    const truth = (await reference(model, dialect)).get("logits")!;
    await using engine = closing(await SimdEngine.create(dialect, { threads: 2 }));
    const simd = await transformer(engine.ops, model.config, model.weights);
    using cache = simd.createCache();
    let at = 0;
    for (const size of [1, 1, 5, 30, 2, 50, 1, 30]) {
      const logits = engine.ops.read(await simd.forward(model.ids.slice(at, at + size), cache));
      const width = model.config.vocabSize;
      const data = truth.data.subarray(at * width, (at + size) * width);
      expect(difference(logits, { shape: [size, width], data })).toBeUndefined();
      at += size;
    }
  });

  test.each([
    ["1 query head a key head", { numAttentionHeads: 2, numKeyValueHeads: 2 }],
    ["2 query heads a key head", { numAttentionHeads: 4, numKeyValueHeads: 2 }],
    ["3 query heads a key head", { numAttentionHeads: 9, numKeyValueHeads: 3 }],
    ["8 query heads a key head", { numAttentionHeads: 8, numKeyValueHeads: 1 }],
    ["heads of 8", { headDim: 8, numAttentionHeads: 5, numKeyValueHeads: 1 }],
    ["heads of 24", { headDim: 24, numAttentionHeads: 3, numKeyValueHeads: 3 }],
    ["heads of 64", { headDim: 64, numAttentionHeads: 8, numKeyValueHeads: 1 }],
    ["odd rows", { vocabSize: 53, numExperts: 7, expertsPerToken: 5, hiddenSize: 96, intermediateSize: 32 }],
    ["one expert a token", { numExperts: 3, expertsPerToken: 1, hiddenSize: 32, intermediateSize: 64 }],
    ["all experts", { numExperts: 4, expertsPerToken: 4 }],
    ["a window of 1", { slidingWindow: 1 }],
    ["a window of 33", { slidingWindow: 33 }],
  ])("%s", async (_name, changes) => {
    const model = random(changes);
    const truth = await reference(model, dialect);
    for (const run of [
      { threads: 3 },
      { threads: 2, chunkSize: 7 },
      { chunkSize: 16, variant: "baseline" },
    ] as const)
      expect(await compare(model, dialect, truth, run)).toBeUndefined();
  });

  test.each([
    [1, 4.5],
    [64, 6],
  ])("experts that come and go within a budget, chunks of %i", async (chunkSize, mebibytes) => {
    const engine = await SimdEngine.create(dialect, { threads: 2, memory: 2 ** 30 + mebibytes * 2 ** 20 });
    const simd = await transformer(engine, small.config, small.weights);
    expect(firstDifference(await trace(simd, small.ids, { chunkSize }), await expected)).toBeUndefined();
    const { numLayers, numExperts, hiddenSize, intermediateSize } = small.config;
    const all = (numLayers * numExperts * 3 * hiddenSize * intermediateSize * 17) / 32;
    expect(engine.fetchedBytes).toBeGreaterThan(1.2 * all);
    await engine.close();
  });

  test("dense weights in Q8_0", async () => {
    const base = random({ hiddenSize: 96, headDim: 24, numAttentionHeads: 4, vocabSize: 53 });
    const model = { ...base, weights: quantizeDense(base.weights) };
    expect(model.weights.layers[0]!.attn.out.weight.encoding).toBe("q8_0");
    const truth = await reference(model, dialect);
    for (const run of [{}, { chunkSize: 1 }, { chunkSize: 7, threads: 3 }, { variant: "baseline" }] as const)
      expect(await compare(model, dialect, truth, run)).toBeUndefined();
  });
});

/** `await using` for an engine. */
function closing(ops: SimdEngine): { ops: SimdEngine } & AsyncDisposable {
  return { ops, [Symbol.asyncDispose]: () => ops.close() };
}

describe("hooks", () => {
  const model = random({}, 20);
  const run = async (which: "simd" | "reference", hooks: Hooks): Promise<Float32Array> => {
    const engine =
      which === "simd" ? await SimdEngine.create("int16", { threads: 2 }) : new ReferenceEngine("int16");
    const made: Transformer = await transformer(engine, model.config, model.weights);
    using cache = made.createCache();
    const logits: number[] = [];
    for (const [at, end] of [
      [0, 13],
      [13, 20],
    ] as const)
      logits.push(...engine.read(await made.forward(model.ids.slice(at, end), cache, { hooks })).data);
    await engine.close();
    return Float32Array.from(logits);
  };

  test("that only read change nothing", async () => {
    const plain = await run("simd", {});
    expect(await run("simd", { "*": () => {} })).toEqual(plain);
    expect(await run("reference", {})).toEqual(plain);
  });

  /** Another value for each, in the range of the point: what a hook may put there. */
  const replaced = (value: HostTensor, point: string): HostTensor => {
    const { shape, data } = value;
    if (data instanceof Int32Array) return { shape, data: data.map((id) => (id + 1) % TINY.numExperts) };
    return { shape, data: Float32Array.from(data, (x, i) => x * (1 + (i % 5) / 8) + (point.length % 3) / 4) };
  };
  test.each(tracePoints(TINY.numLayers))("that replace %s have the reference's effect", async (point) => {
    const hooks = { [point]: replaced };
    const expected = await run("reference", hooks);
    expect(await run("simd", hooks)).toEqual(expected);
    if (!point.endsWith(".sink")) expect(expected).not.toEqual(await run("reference", {}));
  });

  test("that replace everything have the reference's effect", async () => {
    expect(await run("simd", { "*": replaced })).toEqual(await run("reference", { "*": replaced }));
  });

  test("see the same values where one ahead of them replaces", async () => {
    const seen = async (which: "simd" | "reference"): Promise<Map<string, HostTensor>> => {
      const values = new Map<string, HostTensor>();
      const record = (value: HostTensor, point: string): void => void values.set(point, value);
      await run(which, { "layers.*.attn.scores": replaced, "*": record });
      return values;
    };
    expect(firstDifference(await seen("simd"), await seen("reference"))).toBeUndefined();
  });
});
