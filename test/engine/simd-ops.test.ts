import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import type { Encoding, WeightSource } from "../../src/checkpoint/weights.ts";
import type { HostTensor, Ops } from "../../src/engine/ops.ts";
import { ReferenceEngine } from "../../src/engine/reference/index.ts";
import { SimdEngine } from "../../src/engine/simd/index.ts";
import { CheckpointError, ConfigError } from "../../src/errors.ts";
import { encodeFloat16 } from "../../src/numerics/float.ts";
import { difference, memorySource } from "../support/engines.ts";

// Others: FUZZ_RUNS=20 FUZZ_SEED=1 npx vitest run test/engine/simd-ops.test.ts --testTimeout 3600000
const RUNS = Number(process.env["FUZZ_RUNS"] ?? 1);
const SEED = Number(process.env["FUZZ_SEED"] ?? 20);

/** A few float32 numbers, any or of moderate size, from which tensors are filled: shrinks better, and is faster, than a number each. */
const palette = fc.oneof(
  fc.array(fc.float({ noNaN: true, min: -100, max: 100 }), { minLength: 3, maxLength: 40 }),
  fc.array(fc.float({ noNaN: true, noDefaultInfinity: true }), { minLength: 3, maxLength: 40 }),
  fc.array(fc.float(), { minLength: 3, maxLength: 40 }),
  fc.array(
    fc.constantFrom(0, -0, 2 ** -149, -(2 ** -149), 2 ** -126, 2 ** -125, 1e-36, -3e-38, 1, 2e38, -3e38),
    {
      minLength: 1,
      maxLength: 40,
    },
  ),
  fc.array(fc.constantFrom(0, -0, Infinity, -Infinity, Number.NaN, 1, -2, 7, -7, 88.5, -90), {
    minLength: 1,
    maxLength: 40,
  }),
);

function scattered(values: readonly number[], length: number, seed = 1): Float32Array {
  return Float32Array.from({ length }, (_, i) => values[mixed(i, seed) % values.length]!);
}

/** 32 bits that look random; the constants are murmur3's. */
function mixed(i: number, seed: number): number {
  let x = Math.imul(i + 1, 0x9e3779b1) ^ Math.imul(seed, 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}

const BYTES: Readonly<Record<Encoding, (cols: number) => number>> = {
  f32: (cols) => cols * 4,
  f16: (cols) => cols * 2,
  bf16: (cols) => cols * 2,
  q8_0: (cols) => (cols / 32) * 34,
  mxfp4: (cols) => cols / 2,
};

/** Any bits at all, but for the scales of Q8_0, which must be finite. */
function weights(
  encoding: Encoding,
  matrices: number,
  rows: number,
  cols: number,
  seed: number,
): WeightSource {
  const data = Uint8Array.from({ length: matrices * rows * BYTES[encoding](cols) }, (_, i) => mixed(i, seed));
  if (encoding === "q8_0") {
    for (let at = 0; at < data.length; at += 34) {
      const scale = encodeFloat16((mixed(at, seed + 1) / 2 ** 32 - 0.5) * 2 ** ((at / 34) % 40) * 2 ** -24);
      data[at] = scale & 255;
      data[at + 1] = scale >> 8;
    }
  }
  // half of the scales are moderate ones, lest most results be infinite; 255 is refused
  const scale = (i: number): number => (i & 1 ? mixed(i, seed + 2) % 255 : 120 + (mixed(i, seed + 2) & 15));
  const scales = Uint8Array.from({ length: (matrices * rows * cols) / 32 }, (_, i) => scale(i));
  return memorySource({ encoding, matrices, rows, cols }, data, encoding === "mxfp4" ? scales : undefined);
}

function vector(values: Float32Array, rows = 1): WeightSource {
  const form = { encoding: "f32", matrices: 1, rows, cols: values.length / rows } as const;
  return memorySource(form, new Uint8Array(values.buffer));
}

describe.each([
  ["int16", "relaxed", true],
  ["int8", "relaxed", false],
  ["int16", "baseline", false],
  ["int8", "baseline", true],
] as const)(
  "%s, %s SIMD, shared: %s: operations have the reference's bits",
  async (dialect, variant, shared) => {
    const truth = new ReferenceEngine(dialect);
    const engine = await SimdEngine.create(dialect, { variant, shared, threads: 2 });
    afterAll(() => engine.close());

    /** The same computation on both. */
    const same = async (compute: (ops: Ops) => Promise<HostTensor[]>): Promise<void> => {
      const [actual, expected] = [await compute(engine), await compute(truth)];
      for (const [i, value] of expected.entries()) expect(difference(actual[i]!, value)).toBeUndefined();
    };
    const property = (
      compute: (ops: Ops, values: number[], seed: number) => Promise<HostTensor[]>,
      runs = 60,
    ) =>
      fc.assert(
        fc.asyncProperty(palette, fc.nat(2 ** 20), (values, seed) =>
          same((ops) => compute(ops, values, seed)),
        ),
        { numRuns: runs * RUNS, seed: SEED },
      );

    test.each(["f32", "f16", "bf16", "q8_0", "mxfp4"] as const)("linear, %s weights", async (encoding) => {
      await property(async (ops, values, seed) => {
        const [T, rows] = [1 + (seed % 9), 1 + (seed % 43)];
        const cols = encoding === "q8_0" || encoding === "mxfp4" ? 32 * (1 + (seed % 4)) : 1 + (seed % 71);
        const x = ops.write({ shape: [T, cols], data: scattered(values, T * cols, seed) });
        const w = await ops.loadWeight(weights(encoding, 1, rows, cols, seed), "matrix");
        const bias = await ops.loadWeight(vector(scattered(values, rows, seed + 1)), "vector");
        return [ops.read(await ops.linear(x, w)), ops.read(await ops.linear(x, w, bias))];
      });
    });

    test.each(["f32", "f16", "bf16", "q8_0", "mxfp4"] as const)("embedding, %s", async (encoding) => {
      await property(async (ops, _values, seed) => {
        const w = await ops.loadWeight(weights(encoding, 1, 13, 64, seed), "embedding");
        return [ops.read(await ops.embed(w, [seed % 13, 0, 12, 12]))];
      }, 20);
    });

    test.each(["bf16", "mxfp4"] as const)("expert products, %s", async (encoding) => {
      await property(async (ops, values, seed) => {
        const [T, k, experts, rows, cols] = [1 + (seed % 70), 2, 5, 1 + (seed % 20), 64];
        const ids = Int32Array.from({ length: T * k }, (_, i) => mixed(i, seed) % experts);
        const w = await ops.loadWeight(weights(encoding, experts, rows, cols, seed), "experts");
        const bias = await ops.loadWeight(vector(scattered(values, experts * rows, seed), experts), "vector");
        const run = async (shape: number[]): Promise<HostTensor> => {
          const length = shape.reduce((a, b) => a * b);
          const x = ops.write({ shape, data: scattered(values, length, seed) });
          return ops.read(await ops.expertLinear(x, ops.write({ shape: [T, k], data: ids }), w, bias));
        };
        return [await run([T, cols]), await run([T, k, cols])];
      }, 30);
    });

    test("RMSNorm", async () => {
      await property(async (ops, values, seed) => {
        const [T, n] = [1 + (seed % 7), 1 + (seed % 37)];
        const scale = await ops.loadWeight(vector(scattered(values, n, seed + 1)), "vector");
        const x = ops.write({ shape: [T, n], data: scattered(values, T * n, seed) });
        return [ops.read(await ops.rmsNorm(x, scale, seed % 2 ? 1e-5 : 1e-6))];
      });
    });

    test("SwiGLU, and its edges", async () => {
      const f = Math.fround;
      const edges = [
        7,
        -7,
        f(7.0000005),
        f(6.9999995),
        0,
        -0,
        2 ** -149,
        52.2,
        -52.2,
        51.9,
        -51.3,
        1e38,
        -1e38,
      ];
      for (const x of edges) {
        await same(async (ops) => {
          const pairs = edges.concat(Infinity, -Infinity, Number.NaN).flatMap((y) => [x, y, y, x]);
          const input = ops.write({ shape: [1, 1, pairs.length], data: Float32Array.from(pairs) });
          return [
            ops.read(await ops.swiglu(input, 1.702, 7)),
            ops.read(await ops.swiglu(input, 1.702, Infinity)),
          ];
        });
      }
      await property(async (ops, values, seed) => {
        const [T, n] = [1 + (seed % 5), 2 * (1 + (seed % 23))];
        const x = ops.write({ shape: [T, 1, n], data: scattered(values, T * n, seed) });
        return [ops.read(await ops.swiglu(x, 1.702, seed % 3 ? 7 : 7.1))];
      });
    });

    test("add, rotate, weightedSum, topK, gather, softmax", async () => {
      await property(async (ops, values, seed) => {
        const [T, n] = [1 + (seed % 6), 1 + (seed % 29)];
        const tensor = (shape: number[], more = 0) =>
          ops.write({
            shape,
            data: scattered(
              values,
              shape.reduce((a, b) => a * b),
              seed + more,
            ),
          });
        const half = 1 + (seed % 9);
        const angles = scattered(values, T * half, seed + 2);
        const table = { cos: Float64Array.from(angles), sin: Float64Array.from(angles.toReversed()) };
        const ids = ops.write({ shape: [T, 3], data: new Int32Array(3 * T) });
        const scores = tensor([T, 5], 5);
        const chosen = await ops.topK(scores, 3);
        return [
          ops.read(await ops.rotate(tensor([T, 3, 2 * half]), table)),
          ops.read(await ops.weightedSum(tensor([T, 3, n]), tensor([T, 3], 3), ids)),
          ops.read(chosen),
          ops.read(await ops.softmax(await ops.gather(scores, chosen))),
          ops.read(await ops.add(tensor([T, n]), tensor([T, n], 4))),
        ];
      });
    });

    test("exponentials of logits, in threads and with what is left over", async () => {
      await property(async (ops, values, seed) => {
        const vocab = seed % 3 === 0 ? 16380 + (seed % 17000) : 1 + (seed % 99);
        const data = scattered(values, vocab, seed);
        const temperature = 10 ** ((seed % 7) - 3);
        const { max, weights, total } = ops.exponentials(ops.write({ shape: [1, vocab], data }), temperature);
        const found = Number.isFinite(max) ? [max, total, ...weights] : [max];
        return [{ shape: [found.length], data: Float64Array.from(found) }];
      });
    });

    test("attention, with values of any kind", async () => {
      await property(async (ops, values, seed) => {
        const [kvHeads, group, headDim, window] = [
          1 + (seed % 2),
          1 + (seed % 5),
          8 * (1 + (seed % 3)),
          1 + (seed % 40),
        ];
        const [past, T] = [seed % 50, 1 + (seed % 11)];
        const tensor = (shape: number[], more: number) =>
          ops.write({
            shape,
            data: scattered(
              values,
              shape.reduce((a, b) => a * b),
              seed + more,
            ),
          });
        const ring = await ops.createRing(window + T, kvHeads, headDim);
        const spansAt = (position: number, tokens: number) =>
          [{ ring, tokens, position, first: Math.max(0, position - window + 1), window }] as const;
        for (let p = 0; p < past; p++) {
          const [k, v] = [tensor([1, kvHeads, headDim], p), tensor([1, kvHeads, headDim], p + 100)];
          await ops.store(k, v, spansAt(p, 1));
        }
        const spans = spansAt(past, T);
        await ops.store(tensor([T, kvHeads, headDim], 7), tensor([T, kvHeads, headDim], 8), spans);
        const sinks = await ops.loadWeight(vector(scattered(values, kvHeads * group, seed + 9)), "vector");
        const q = tensor([T, kvHeads * group, headDim], 10);
        const scores = await ops.attentionScores(q, spans, 1 / Math.sqrt(headDim));
        const { weights, sink } = await ops.sinkSoftmax(scores, sinks, spans);
        // the same by way of the host, as where a hook replaces
        const given = await ops.sinkSoftmax(ops.write(ops.read(scores)), sinks, spans);
        const read = [scores, weights, sink, given.weights, given.sink].map((x) => ops.read(x));
        const contexts = [
          await ops.attentionContext(weights, spans),
          await ops.attentionContext(ops.write(read[1]!), spans),
        ];
        const results = [...read, ...contexts.map((x) => ops.read(x))];
        ops.freeRing(ring);
        return results;
      });
    });

    test("a long prefill over experts that have from 1 to 64 tokens", async () => {
      // each expert wants another size of scratch area, and threads work on several at a time
      const [experts, rows, cols] = [8, 256, 256];
      const ids = Int32Array.from(
        Array.from({ length: experts }, (_, e) => new Array<number>(2 ** Math.min(e, 6)).fill(e)).flat(),
      );
      const T = ids.length;
      const run = async (ops: Ops): Promise<HostTensor> => {
        const w = await ops.loadWeight(weights("mxfp4", experts, rows, cols, 3), "experts");
        const bias = await ops.loadWeight(vector(new Float32Array(experts * rows), experts), "vector");
        const x = ops.write({ shape: [T, cols], data: scattered([1, -2, 3, 0.7, 5.5], T * cols) });
        return ops.read(await ops.expertLinear(x, ops.write({ shape: [T, 1], data: ids }), w, bias));
      };
      const expected = await run(truth);
      for (let i = 0; i < 10; i++) {
        const other = await SimdEngine.create(dialect, { variant, shared, threads: 3 });
        const actual = await run(other);
        await other.close();
        expect(difference(actual, expected)).toBeUndefined();
      }
    });
  },
);

describe("what the engine refuses", async () => {
  const engine = await SimdEngine.create("int16", { threads: 1 });
  afterAll(() => engine.close());

  test("Q8_0 scales that are not finite", async () => {
    const data = new Uint8Array(3 * 68);
    data[2 * 68 + 34 + 1] = 0x7c; // ∞ in row 2, block 1
    const source = memorySource({ encoding: "q8_0", matrices: 1, rows: 3, cols: 64 }, data);
    const refused = engine.loadWeight(source, "matrix");
    await expect(refused).rejects.toBeInstanceOf(CheckpointError);
    await expect(refused).rejects.toThrow(/row 2, block 1/);
  });

  test("MXFP4 scales of 255", async () => {
    const scales = new Uint8Array(2 * 9 * 2);
    scales[(9 + 8) * 2 + 1] = 255; // matrix 1, row 8, block 1
    const form = { encoding: "mxfp4", matrices: 2, rows: 9, cols: 64 } as const;
    const source = memorySource(form, new Uint8Array(2 * 9 * 32), scales);
    await expect(engine.loadWeight(source, "experts")).rejects.toThrow(/matrix 1, row 8, block 1/);
  });

  test("heads that are no multiple of 8", async () => {
    await expect(engine.createRing(8, 1, 12)).rejects.toBeInstanceOf(ConfigError);
  });

  test.each([0, -1, 1.5, 257, Number.NaN])("%d threads", async (threads) => {
    await expect(SimdEngine.create("int16", { threads })).rejects.toThrow(/threads is out of range/);
  });
});
