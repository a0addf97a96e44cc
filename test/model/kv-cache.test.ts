import { expect, test } from "vitest";
import { mapWeights } from "../../src/checkpoint/weights.ts";
import type { Ring } from "../../src/engine/ops.ts";
import { ReferenceEngine } from "../../src/engine/reference/index.ts";
import { Transformer } from "../../src/model/transformer.ts";
import { randomWeights, TINY } from "../support/random-model.ts";

/** Notes the capacities that rings grow to. */
class WatchedEngine extends ReferenceEngine {
  readonly capacities: number[] = [];

  override resizeRing(ring: Ring, capacity: number, first: number, end: number): Ring {
    this.capacities.push(capacity);
    return super.resizeRing(ring, capacity, first, end);
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
