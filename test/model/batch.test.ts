import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createEngine, type EngineOptions } from "../../src/engine/index.ts";
import type { HostTensor } from "../../src/engine/ops.ts";
import { SimdEngine } from "../../src/engine/simd/index.ts";
import { UsageError } from "../../src/errors.ts";
import type { KvCache } from "../../src/model/kv-cache.ts";
import type { Transformer } from "../../src/model/transformer.ts";
import { difference, transformer } from "../support/engines.ts";
import { randomWeights, TINY } from "../support/random-model.ts";

const CONFIG = { ...TINY, numLayers: 3, layerTypes: ["sliding", "full", "sliding"] as const };

/** A model, and of each pass that it computes the number of rows. */
async function watched(options: EngineOptions): Promise<{ model: Transformer; passes: number[] }> {
  const ops = await createEngine(options, CONFIG.headDim);
  const passes: number[] = [];
  const embed = ops.embed.bind(ops);
  ops.embed = (table, ids) => {
    passes.push(ids.length);
    return embed(table, ids);
  };
  return { model: await transformer(ops, CONFIG, randomWeights(CONFIG)), passes };
}

const ids = (count: number, salt = 0): number[] =>
  Array.from({ length: count }, (_, i) => (i * 17 + salt * 5 + 3) % CONFIG.vocabSize);

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise(setImmediate);
}

async function logits(model: Transformer, ...args: Parameters<Transformer["forward"]>): Promise<HostTensor> {
  return model.ops.read(await model.forward(...args));
}

/** One sequence's life: each step adds tokens in chunks, after some turns of the event loop. */
const step = fc.record({
  pause: fc.nat(3),
  add: fc.array(fc.nat(CONFIG.vocabSize - 1), { minLength: 1, maxLength: 20 }),
  chunk: fc.integer({ min: 1, max: 20 }),
  lastOnly: fc.boolean(),
  after: fc.constantFrom("nothing", "nothing", "checkpoint", "rewind", "fork", "abort", "bad id"),
  to: fc.nat(40),
});
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** Runs such a life, and notes what each chunk's logits were and after which tokens. */
async function live(
  model: Transformer,
  steps: readonly Step[],
  noted: { held: number[]; chunk: number; lastOnly: boolean; got: HostTensor }[],
): Promise<void> {
  let cache: KvCache = model.createCache();
  let held: number[] = [];
  for (const { pause, add, chunk, lastOnly, after, to } of steps) {
    await turns(pause);
    for (let at = 0; at < add.length; at += chunk) {
      const part = add.slice(at, at + chunk);
      const got = model.ops.read(await model.forward(part, cache, { lastOnly }));
      held = [...held, ...part];
      noted.push({ held, chunk: part.length, lastOnly, got });
    }
    expect(cache.length).toBe(held.length);
    if (after === "checkpoint") await cache.checkpoint();
    if (after === "rewind") held = held.slice(0, await cache.rewind(to));
    if (after === "fork") {
      using before = cache;
      const reachable = before.reachable(to);
      cache = await before.fork(to);
      expect(cache.length).toBe(reachable);
      held = held.slice(0, reachable);
    }
    if (after === "abort") {
      const controller = new AbortController();
      const doomed = model.forward(add, cache, { signal: controller.signal });
      const outcome = expect(doomed).rejects.toThrow("enough");
      void turns(pause).then(() => controller.abort(new Error("enough")));
      await outcome.catch(async () => {
        held = [...held, ...add]; // it was over before
        await doomed;
      });
    }
    if (after === "bad id") await expect(model.forward([0, -1], cache)).rejects.toThrow(UsageError);
    expect(cache.length).toBe(held.length);
  }
  cache[Symbol.dispose]();
}

const ENGINES: EngineOptions[] = [
  ...(["f64", "f32", "bf16-openai", "bf16-hf", "int16", "int8"] as const).map(
    (dialect) => ({ engine: "reference", dialect }) as const,
  ),
  { engine: "reference", dialect: "int16", kvCache: "bf16" },
  { engine: "simd", dialect: "int16", threads: 2 },
  { engine: "simd", dialect: "int8", threads: 3, kvCache: "bf16" },
];

test.each(ENGINES)("sequences that share passes have the bits of each alone: %o", async (options) => {
  const { model, passes } = await watched(options);
  const runs = options.engine === "simd" ? 30 : 3;
  let [shared, asked] = [0, 0];
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(step, { minLength: 1, maxLength: 4 }), { minLength: 2, maxLength: 6 }),
      async (lives) => {
        const noted: Parameters<typeof live>[2] = [];
        passes.length = 0;
        await Promise.all(lives.map((steps) => live(model, steps, noted)));
        shared += passes.length;
        asked += noted.length;
        for (const { held, chunk, lastOnly, got } of noted) {
          using alone = model.createCache();
          const { data } = await logits(model, held, alone);
          const want = data.slice(-CONFIG.vocabSize * (lastOnly ? 1 : chunk));
          expect(difference(got, { shape: got.shape, data: want })).toBeUndefined();
        }
      },
    ),
    { numRuns: runs, seed: 11 },
  );
  expect(shared).toBeLessThan(asked / 1.5);
  await model.ops.close();
});

describe("a pass", () => {
  test("reads each weight once for all who wait", async () => {
    const { model, passes } = await watched({ engine: "simd", threads: 2 });
    const { ops } = model;
    let products = 0;
    const linear = ops.linear.bind(ops);
    ops.linear = (...args) => {
      products++;
      return linear(...args);
    };
    const caches = Array.from({ length: 16 }, () => model.createCache());
    await Promise.all(caches.map((cache, i) => model.forward(ids(5, i), cache)));
    expect(passes).toEqual([80]);
    await Promise.all(caches.map((cache) => model.forward([1], cache)));
    expect(passes).toEqual([80, 16]);
    expect(products).toBe(2 * (CONFIG.numLayers * 5 + 1)); // q, k, v, out, router; unembedding
    await ops.close();
  });

  test("is shared by loops that were together in the last one, though one is a little slower", async () => {
    const { model, passes } = await watched({ engine: "reference" });
    const loop = async (pause: number): Promise<void> => {
      const cache = model.createCache();
      for (let i = 0; i < 8; i++) {
        await model.forward([i], cache);
        await turns(pause);
      }
    };
    await Promise.all([loop(0), loop(0), loop(2)]);
    expect(passes.length).toBeLessThan(12);
  });

  test("takes all who decode and prompts in order of arrival, as far as there is room", async () => {
    const { model, passes } = await watched({ engine: "simd", threads: 2 });
    const done: string[] = [];
    const ask = (name: string, count: number) =>
      model
        .forward(ids(count), model.createCache(), { lastOnly: true })
        .then(() => done.push(`${name} ${passes.length}`));
    await Promise.all([ask("long", 700), ask("a", 300), ask("one", 1), ask("b", 150), ask("c", 100)]);
    expect(passes).toEqual([701, 450, 100]);
    expect(done.sort()).toEqual(["a 2", "b 2", "c 3", "long 1", "one 1"]);
    await model.ops.close();
  });

  test("with hooks runs alone, and doesn't wait for ever", async () => {
    const { model, passes } = await watched({ engine: "simd", threads: 2 });
    let busy = true;
    const decode = async (): Promise<void> => {
      const cache = model.createCache();
      while (busy) await model.forward([1], cache);
    };
    const others = [decode(), decode()];
    await turns(5);
    const shapes: unknown[] = [];
    const hooks = { "layers.0.attn.scores": ({ shape }: HostTensor): void => void shapes.push(shape) };
    await model.forward(ids(4), model.createCache(), { hooks });
    busy = false;
    await Promise.all(others);
    expect(shapes).toEqual([[CONFIG.numAttentionHeads, 4, 4]]);
    expect(passes).toContain(4);
    await model.ops.close();
  });

  test("loses those who are aborted at the next layer, and computes the others", async () => {
    const { model } = await watched({ engine: "reference" });
    const { ops } = model;
    const rows: number[] = [];
    const controller = new AbortController();
    const add = ops.add.bind(ops);
    ops.add = (x, y) => {
      rows.push(x.shape[0]!);
      if (rows.length === 1 && rows[0] === 10) controller.abort(new Error("enough"));
      return add(x, y);
    };
    const caches = Array.from({ length: 3 }, () => model.createCache());
    for (const cache of caches) await model.forward(ids(12), cache);
    rows.length = 0;
    const parts = [ids(3, 1), ids(5, 2), ids(2, 3)];
    const [first, second, third] = parts.map((part, i) =>
      model.forward(part, caches[i]!, i === 1 ? { signal: controller.signal } : {}),
    );
    await expect(second).rejects.toThrow("enough");
    const got = [ops.read(await first!), ops.read(await third!)];
    expect(rows).toEqual([10, 10, 5, 5, 5, 5]);
    expect(caches.map(({ length }) => length)).toEqual([15, 12, 14]);
    for (const [i, part] of [parts[0]!, parts[2]!].entries()) {
      const { data } = await logits(model, [...ids(12), ...part], model.createCache());
      expect(got[i]!.data).toEqual(data.slice(12 * CONFIG.vocabSize));
    }
    const again = await logits(model, parts[1]!, caches[1]!);
    const { data } = await logits(model, [...ids(12), ...parts[1]!], model.createCache());
    expect(again.data).toEqual(data.slice(12 * CONFIG.vocabSize));
  });

  test("ends when nobody waits for it any longer", async () => {
    const { model } = await watched({ engine: "simd", threads: 2 });
    const controllers = [new AbortController(), new AbortController()];
    const { ops } = model;
    let adds = 0;
    const add = ops.add.bind(ops);
    ops.add = (...args) => {
      controllers[adds++]?.abort(new Error(`enough ${adds}`));
      return add(...args);
    };
    const outcomes = controllers.map(({ signal }) => model.forward(ids(5), model.createCache(), { signal }));
    await expect(outcomes[0]).rejects.toThrow("enough 1");
    await expect(outcomes[1]).rejects.toThrow("enough 2");
    expect(adds).toBe(2);
    await ops.close();
  });

  test("without memory for one sequence fails that one", async () => {
    const { model } = await watched({ engine: "reference" });
    const { ops } = model;
    const createRing = ops.createRing.bind(ops);
    ops.createRing = (capacity, ...rest) => {
      if (capacity === 13) throw new Error("no room");
      return createRing(capacity, ...rest);
    };
    const [fits, fails] = [7, 13].map((count) => model.forward(ids(count), model.createCache()));
    await expect(fails).rejects.toThrow("no room");
    expect((await fits!).shape).toEqual([7, CONFIG.vocabSize]);
  });
});

test("a cache that is let go of in the middle of a pass disturbs nobody, and its memory is freed", async () => {
  const { model } = await watched({ engine: "simd", threads: 2 });
  const { ops } = model;
  let live = 0;
  const [createRing, freeRing] = [ops.createRing.bind(ops), ops.freeRing.bind(ops)];
  ops.createRing = (...args) => {
    live++;
    return createRing(...args);
  };
  ops.freeRing = (ring) => {
    live--;
    freeRing(ring);
  };
  const [doomed, other] = [model.createCache(), model.createCache()];
  const passes = [model.forward(ids(20), doomed), model.forward(ids(20, 1), other)];
  doomed[Symbol.dispose]();
  const got = ops.read((await Promise.all(passes))[1]!);
  using alone = model.createCache();
  expect(got).toEqual(await logits(model, ids(20, 1), alone));
  other[Symbol.dispose]();
  await turns(3);
  expect(live).toBe(CONFIG.numLayers); // those of `alone`
  expect(ops).toBeInstanceOf(SimdEngine);
  await ops.close();
});
