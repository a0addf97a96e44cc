import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { openCheckpoint } from "../../src/checkpoint/open.ts";
import { quantizeDense } from "../../src/checkpoint/quantize.ts";
import type { WeightSource, WeightSources } from "../../src/checkpoint/weights.ts";
import { createEngine } from "../../src/engine/index.ts";
import { ReferenceEngine } from "../../src/engine/reference/index.ts";
import { SimdEngine } from "../../src/engine/simd/index.ts";
import { callJob } from "../../src/engine/simd/jobs.ts";
import { compileKernels } from "../../src/engine/simd/kernels.ts";
import { Pool } from "../../src/engine/simd/pool.ts";
import { CheckpointError, ConfigError, UsageError } from "../../src/errors.ts";
import { load } from "../../src/generation/model.ts";
import { trace } from "../../src/oracle/trace.ts";
import { firstDifference, memorySource, transformer } from "../support/engines.ts";
import { randomWeights, TINY } from "../support/random-model.ts";

const golden = fileURLToPath(new URL("../../golden", import.meta.url));
const ids = Array.from({ length: 50 }, (_, i) => (i * i * 7 + i * 17 + 3) % 190);

describe("dense weights quantised at load", () => {
  test.each(["small", "model/checkpoint", "model/gguf/model-F32.gguf"])(
    "%s: kernels give the bytes that ggml's steps give",
    async (path) => {
      await using checkpoint = await disposable(path);
      const expected = await trace(
        await transformer(new ReferenceEngine("int8"), checkpoint.config, quantizeDense(checkpoint.weights)),
        ids,
      );
      await using model = await load(`${golden}/${path}`, {
        dialect: "int8",
        dense: "q8_0",
        tokenizer: false,
      });
      expect(firstDifference(await trace(model.transformer, ids), expected)).toBeUndefined();
    },
  );

  test("a value without a scale in float16 is refused", async () => {
    const values = new Float32Array(16 * 32).fill(1);
    values[5 * 32 + 1] = 1e7;
    const bytes = new Uint8Array(values.buffer);
    const plain = memorySource({ encoding: "f32", matrices: 1, rows: 16, cols: 32 }, bytes);
    const range = {
      file: { name: "f", size: bytes.length, read: readFrom(bytes), close },
      offset: 0,
      matrixBytes: bytes.length,
      rowBytes: 128,
    };
    const stored: WeightSource = { ...plain, stored: { form: "encoded", parts: [{ data: range }] } };
    const quantised = quantizeDense({
      unembedding: stored,
      embedding: stored,
      layers: [],
      norm: stored,
    } as WeightSources);
    const engine = await SimdEngine.create("int8");
    for (const role of ["matrix", "embedding"] as const) {
      const loading = engine.loadWeight(quantised.unembedding, role);
      await expect(loading).rejects.toThrow(CheckpointError);
      await expect(engine.loadWeight(quantised.unembedding, role)).rejects.toThrow("row 5, block 0");
    }
    await engine.close();
  });
});

describe("a memory budget", () => {
  const GiB = 2 ** 30;

  /** What the dense weights and the small amounts beside them take. */
  async function denseBytes(): Promise<number> {
    await using model = await load(`${golden}/small`, { memory: 64 * GiB, tokenizer: false });
    return (model.transformer.ops as SimdEngine).memoryBytes;
  }

  test("gives the same bits however few experts fit, and reads again what it had to drop", async () => {
    await using whole = await load(`${golden}/small`, { tokenizer: false });
    const expected = await trace(whole.transformer, ids, { chunkSize: 7 });
    expect((whole.transformer.ops as SimdEngine).fetchedBytes).toBe(0);
    const dense = await denseBytes();
    const fetched: number[] = [];
    for (const room of [4_000_000, 800_000, 450_000]) {
      await using model = await load(`${golden}/small`, { memory: GiB + dense + room, tokenizer: false });
      expect(
        firstDifference(await trace(model.transformer, ids, { chunkSize: 7 }), expected),
      ).toBeUndefined();
      fetched.push((model.transformer.ops as SimdEngine).fetchedBytes);
    }
    const [all, some, few] = fetched as [number, number, number];
    expect(all).toBeGreaterThan(0);
    expect(some).toBeGreaterThan(all);
    expect(few).toBeGreaterThan(some);
  });

  test("too small for a single expert is an error that says by how much", async () => {
    await using model = await load(`${golden}/small`, { memory: GiB, tokenizer: false });
    await expect(trace(model.transformer, ids)).rejects.toThrow(UsageError);
    await expect(trace(model.transformer, ids)).rejects.toThrow("no room for a single expert");
  });
});

test("heads that the kernels can't take are the reference engine's, unless somebody insists", async () => {
  expect((await createEngine({ dialect: "int8" }, 12)).engine).toBe("reference");
  const engine = await createEngine({ dialect: "int8" }, 16);
  expect(engine.engine).toBe("simd");
  await expect(engine.createRing(1, 1, 12)).rejects.toThrow(ConfigError);
  await engine.close();
});

test("memories are added while operations run", async () => {
  const pool = await Pool.acquire(3, await compileKernels(true));
  const memory = (): WebAssembly.Memory =>
    new WebAssembly.Memory({ initial: 1, maximum: 65536, shared: true });
  const { view, id } = await pool.addArena(memory());
  const floats = new Float32Array(view.memory.buffer);
  const added: Promise<unknown>[] = [];
  for (let round = 0; round < 30; round++) {
    added.push(pool.addArena(memory()));
    const at = (i: number): number => 4096 + 256 * i;
    for (let i = 0; i < 32; i++) floats.fill(round + i, at(i) / 4, at(i) / 4 + 64);
    pool.run(Array.from({ length: 32 }, (_, i) => callJob(id, "add", at(i), at(i), at(i), 64)));
    expect([...floats.subarray(1024, 1024 + 32 * 64)]).toEqual(
      Array.from({ length: 32 * 64 }, (_, k) => 2 * (round + Math.floor(k / 64))),
    );
    if (round % 5 === 0) await Promise.resolve();
  }
  await Promise.all(added);
  await pool.release();
});

async function disposable(
  path: string,
): Promise<Awaited<ReturnType<typeof openCheckpoint>> & AsyncDisposable> {
  const checkpoint = await openCheckpoint(`${golden}/${path}`);
  return { ...checkpoint, [Symbol.asyncDispose]: () => checkpoint.close() };
}

function readFrom(bytes: Uint8Array) {
  return async (offset: number, length: number): Promise<Uint8Array> => bytes.slice(offset, offset + length);
}

async function close(): Promise<void> {}

test("weights, keys and values above 2 GiB of a memory are where they should be", async () => {
  const weights = randomWeights(TINY);
  const prompt = ids.map((id) => id % TINY.vocabSize);
  const expected = await trace(await transformer(new ReferenceEngine("int8"), TINY, weights), prompt);
  const engine = await SimdEngine.create("int8", { threads: 2 });
  // never touched, so that it takes addresses and no memory
  await engine.createRing((2.2 * 2 ** 30) / (2 * 2 * 16 * 4), 2, 16);
  expect(engine.memoryBytes).toBeGreaterThan(2 ** 31);
  const model = await transformer(engine, TINY, weights);
  expect(firstDifference(await trace(model, prompt, { chunkSize: 7 }), expected)).toBeUndefined();
  await engine.close();
});
