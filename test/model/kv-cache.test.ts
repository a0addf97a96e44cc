import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { mapWeights } from "../../src/checkpoint/weights.ts";
import { createEngine } from "../../src/engine/index.ts";
import type { Ring, Tensor } from "../../src/engine/ops.ts";
import { ReferenceEngine } from "../../src/engine/reference/index.ts";
import type { KvCache } from "../../src/model/kv-cache.ts";
import { Transformer } from "../../src/model/transformer.ts";
import { randomWeights, TINY } from "../support/random-model.ts";

/** Notes the capacities that rings grow to. */
class WatchedEngine extends ReferenceEngine {
  readonly capacities: number[] = [];

  override copyRing(ring: Ring, capacity: number, first: number, end: number): Ring {
    this.capacities.push(capacity);
    return super.copyRing(ring, capacity, first, end);
  }
}

async function run(config: typeof TINY, chunks: number[]): Promise<number[]> {
  const engine = new WatchedEngine("f32");
  const weights = await mapWeights(randomWeights(config), (source) => engine.loadWeight(source));
  const model = new Transformer(config, weights, engine);
  const cache = model.createCache();
  for (const size of chunks) await model.forward(new Array<number>(size).fill(1), cache);
  expect(cache.length).toBe(chunks.reduce((a, b) => a + b, 0));
  return engine.capacities;
}

test("a sliding layer's ring holds the window and the chunk, however long the sequence", async () => {
  const sliding = { ...TINY, layerTypes: ["sliding", "sliding"] as const };
  expect(Math.max(...(await run(sliding, new Array<number>(100).fill(1))))).toBe(TINY.slidingWindow);
  expect(Math.max(...(await run(sliding, new Array<number>(10).fill(20))))).toBe(TINY.slidingWindow - 1 + 20);
});

test("a full layer's ring grows with the sequence, and seldom", async () => {
  const full = { ...TINY, layerTypes: ["full", "full"] as const };
  const capacities = await run(full, new Array<number>(200).fill(1));
  expect(Math.max(...capacities)).toBeGreaterThanOrEqual(200);
  expect(Math.max(...capacities)).toBeLessThan(1.5 * 200 + 2);
  expect(capacities.length).toBeLessThan(4 * 16); // two layers, keys and values, each time by half
});

describe.each(["reference", "simd"] as const)("a cache that goes back, on the %s engine", (name) => {
  const fourLayers = { ...TINY, numLayers: 4, layerTypes: ["sliding", "full", "sliding", "full"] as const };

  async function model(): Promise<Transformer> {
    const engine = await createEngine({ dialect: "int16", engine: name, threads: 2 }, TINY.headDim);
    const weights = await mapWeights(randomWeights(fourLayers), (source, role) =>
      engine.loadWeight(source, role),
    );
    return new Transformer(fourLayers, weights, engine);
  }

  test("goes on with the bits of a cache that never left, whatever was noted, forgotten and aborted", async () => {
    const transformer = await model();
    const logits = async (ids: readonly number[], cache: KvCache, chunk: number): Promise<unknown> => {
      let last: Tensor | undefined;
      for (let at = 0; at < ids.length; at += chunk)
        last = await transformer.forward(ids.slice(at, at + chunk), cache, { lastOnly: true });
      return transformer.ops.read(last!).data;
    };
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({
            add: fc.array(fc.nat(TINY.vocabSize - 1), { minLength: 1, maxLength: 30 }),
            chunk: fc.integer({ min: 1, max: 12 }),
            note: fc.boolean(),
            abort: fc.boolean(),
            backTo: fc.nat(80),
          }),
          { minLength: 2, maxLength: 6 },
        ),
        async (steps) => {
          using cache = transformer.createCache();
          let held: number[] = [];
          for (const { add, chunk, note, abort, backTo } of steps) {
            held = held.slice(0, await cache.rewind(Math.min(backTo, held.length)));
            expect(cache.length).toBe(held.length);
            if (abort) {
              const signal = AbortSignal.abort(new Error("stop"));
              const hooks = { "layers.2.attn.context": () => signal.throwIfAborted() };
              await expect(transformer.forward(add.slice(0, chunk), cache, { hooks })).rejects.toThrow(
                "stop",
              );
              await cache.rewind(held.length).then((length) => held.splice(length));
            }
            held.push(...add);
            const continued = await logits(held.slice(cache.length), cache, chunk);
            using fresh = transformer.createCache();
            expect(continued).toEqual(await logits(held, fresh, held.length));
            if (note) await cache.checkpoint();
          }
        },
      ),
      { numRuns: 60, seed: 7 },
    );
    await transformer.ops.close();
  });

  test("returns to a checkpoint exactly, and far behind it only as far as windows were kept", async () => {
    const transformer = await model();
    using cache = transformer.createCache();
    const run = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i++) await transformer.forward([i % TINY.vocabSize], cache);
    };
    await run(20);
    await cache.checkpoint();
    await run(60);
    expect(await cache.rewind(30)).toBe(20);
    expect(await cache.rewind(10)).toBe(0);
    await transformer.ops.close();
  });

  test("keeps the first checkpoint and the latest seven", async () => {
    const transformer = await model();
    using cache = transformer.createCache();
    for (let i = 1; i <= 200; i++) {
      await transformer.forward([1], cache);
      if (i % 20 === 0) await cache.checkpoint();
    }
    const returns: number[] = [];
    for (const to of [150, 99, 79]) returns.push(await cache.rewind(to));
    expect(returns).toEqual([140, 80, 20]);
    await transformer.ops.close();
  });
});
