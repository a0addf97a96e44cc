import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { afterEach, beforeEach, describe, expect, type MockInstance, test, vi } from "vitest";
import type { Ops } from "../../src/engine/ops.ts";
import { ReferenceEngine } from "../../src/engine/reference/index.ts";
import { SimdEngine } from "../../src/engine/simd/index.ts";
import { EngineError } from "../../src/errors.ts";
import { load } from "../../src/generation/model.ts";
import { trace } from "../../src/oracle/trace.ts";
import { firstDifference, transformer } from "../support/engines.ts";
import { randomWeights, TINY } from "../support/random-model.ts";

const SMALL = fileURLToPath(new URL("../../golden/small", import.meta.url));
const ids = Array.from({ length: 60 }, (_, i) => (i * 17 + 3) % TINY.vocabSize);
const weights = randomWeights(TINY);
const truth = await trace(await transformer(new ReferenceEngine("int16"), TINY, weights), ids);

async function expectRight(engine: SimdEngine): Promise<void> {
  expect(firstDifference(await trace(await transformer(engine, TINY, weights), ids), truth)).toBeUndefined();
}

let posted: MockInstance<Worker["postMessage"]>;
beforeEach(() => {
  posted = vi.spyOn(Worker.prototype, "postMessage");
});
afterEach(() => posted.mockRestore());

/** Workers that were started in this test. */
function started(): Worker[] {
  return posted.mock.contexts.filter(
    (_, i) => (posted.mock.calls[i]![0] as { kind: string }).kind === "start",
  ) as Worker[];
}

describe("aborting", () => {
  test("shows at the next trace point", async () => {
    const engine = await SimdEngine.create("int16", { threads: 2 });
    const model = await transformer(engine, TINY, weights);
    using cache = model.createCache();
    const controller = new AbortController();
    const seen: string[] = [];
    const hooks = {
      "layers.0.attn.q": () => controller.abort(new Error("enough")),
      "*": (_: unknown, point: string) => void seen.push(point),
    };
    await expect(model.forward(ids, cache, { hooks, signal: controller.signal })).rejects.toThrow("enough");
    expect(seen.at(-1)).toBe("layers.0.attn.q");
    await expectRight(engine);
    await engine.close();
  });

  test("from outside of a long prefill ends it after one more operation at most", async () => {
    const engine = await SimdEngine.create("int16", { threads: 2 });
    const controller = new AbortController();
    const after: PropertyKey[] = [];
    const watched = new Proxy(engine, {
      get(ops, name) {
        const value: unknown = Reflect.get(ops, name, ops);
        if (typeof value !== "function") return value;
        return (...args: unknown[]) => {
          if (controller.signal.aborted) after.push(name);
          return value.apply(ops, args) as unknown;
        };
      },
    });
    const config = { ...TINY, maxContextLength: 20_000 };
    const model = await transformer(watched, config, weights);
    const long = Array.from({ length: 10_000 }, (_, i) => i % TINY.vocabSize);
    setTimeout(() => controller.abort(new Error("enough")), 20);
    const pass = model.forward(long, model.createCache(), { signal: controller.signal, lastOnly: true });
    await expect(pass).rejects.toThrow("enough");
    expect(after.length, after.join()).toBeLessThanOrEqual(1);
    await engine.close();
  });
});

describe("a worker that dies", () => {
  test("ends in an EngineError, and a new engine works", async () => {
    const engine = await SimdEngine.create("int16", { threads: 3 });
    await expectRight(engine);
    const [worker] = started();
    await worker!.terminate();
    await expect(expectRight(engine)).rejects.toThrow(EngineError);
    await expect(expectRight(engine)).rejects.toThrow(/a worker thread has stopped/);
    await engine.close();

    const other = await SimdEngine.create("int16", { threads: 3 });
    expect(started()).toHaveLength(4); // none of the broken pool's is used again
    await expectRight(other);
    await other.close();
  });

  test("while it works ends in an EngineError too", async () => {
    const engine = await SimdEngine.create("int16", { threads: 2, variant: "baseline" });
    const model = await transformer(engine, TINY, weights);
    void started()[0]!.terminate();
    const runUntilItFails = async (): Promise<void> => {
      for (let i = 0; i < 1000; i++) {
        using cache = model.createCache();
        await model.forward(ids, cache);
        await new Promise(setImmediate);
      }
    };
    await expect(runUntilItFails()).rejects.toThrow(EngineError);
    await engine.close();
  });

  test("while an engine is made ends in an EngineError", async () => {
    posted.mockImplementation(function (this: Worker) {
      void this.terminate();
    });
    await expect(SimdEngine.create("int8", { threads: 3, variant: "baseline" })).rejects.toThrow(EngineError);
  });

  test("doesn't keep the engine from closing", async () => {
    const engine = await SimdEngine.create("int8", { threads: 5 });
    void started()[0]!.terminate();
    await engine.close();
  });
});

test("a kernel that traps ends in an EngineError, and a new engine works", async () => {
  for (const rows of [1, 4096]) {
    const engine = await SimdEngine.create("int16", { threads: 2 });
    const x = engine.write({ shape: [rows, 64], data: new Float32Array(rows * 64) });
    const beyond = { ...x, at: 2 ** 32 - 2 ** 22 };
    expect(() => engine.add(beyond as typeof x, x)).toThrow(EngineError);
    expect(() => engine.add(x, x)).toThrow(EngineError);
    await engine.close();
  }
  const engine = await SimdEngine.create("int16", { threads: 2 });
  await expectRight(engine);
  await engine.close();
});

test("two engines at once don't disturb each other", async () => {
  const engines = await Promise.all([
    SimdEngine.create("int16", { threads: 2 }),
    SimdEngine.create("int16", { threads: 2 }),
  ]);
  await Promise.all(engines.map(expectRight));
  await Promise.all(engines.map(expectRight));
  await Promise.all(engines.map((engine) => engine.close()));
});

test.each([true, false])(
  "an engine that follows a closed one takes over its workers, shared: %s",
  async (shared) => {
    for (let i = 0; i < 5; i++) {
      const engine = await SimdEngine.create("int16", { threads: 4, shared });
      await expectRight(engine);
      await engine.close();
    }
    expect(started()).toHaveLength(shared ? 3 : 0);
  },
);

test("an engine that is closed in the middle of a pass disturbs no other", async () => {
  for (let i = 0; i < 3; i++) {
    const engine = await SimdEngine.create("int16", { threads: 2 });
    const model = await transformer(engine, { ...TINY, maxContextLength: 20_000 }, weights);
    const long = Array.from({ length: 6000 }, (_, t) => t % TINY.vocabSize);
    const pass = model.forward(long, model.createCache(), { lastOnly: true });
    const outcome = expect(pass).rejects.toThrow(EngineError);
    await new Promise(setImmediate);
    await engine.close();
    await engine.close();
    const others = await Promise.all(
      Array.from({ length: 2 }, () => SimdEngine.create("int16", { threads: 2 })),
    );
    await Promise.all(others.map(expectRight));
    await outcome;
    for (const other of others) await other.close();
  }
});

test("passes of one model that are asked for at once take turns", async () => {
  const engine = await SimdEngine.create("int16", { threads: 2 });
  const model = await transformer(engine, TINY, weights);
  const results = await Promise.all([trace(model, ids), trace(model, ids, { chunkSize: 7 })]);
  for (const result of results) expect(firstDifference(result, truth)).toBeUndefined();
  await engine.close();
});

test("generations leave no memory behind, whether they end or are dropped", async () => {
  await using model = await load(SMALL, { threads: 2 });
  const { ops } = model.transformer as { ops: Ops };
  const sizes: number[] = [];
  for (let i = 0; i < 12; i++) {
    const prompt = Array.from({ length: 200 }, (_, t) => (t * 31 + i) % 2000);
    let tokens = 0;
    for await (const _ of model.generate(prompt, { maxTokens: 20, stopTokens: [], seed: i }))
      if (++tokens === (i % 2 ? 5 : 20)) break;
    sizes.push((ops as SimdEngine).memoryBytes);
  }
  expect(sizes.slice(2)).toEqual(new Array(10).fill(sizes[2]));
});
