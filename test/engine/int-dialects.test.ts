import { describe, expect, test } from "vitest";
import type { WeightSource } from "../../src/checkpoint/weights.ts";
import type { Ring } from "../../src/engine/ops.ts";
import { ReferenceEngine } from "../../src/engine/reference/index.ts";
import type { DialectName } from "../../src/numerics/dialects.ts";

/** A weight in memory, all rows alike in length. */
function weight(
  form: Pick<WeightSource, "encoding" | "rows" | "cols">,
  data: Uint8Array,
  scales?: Uint8Array,
) {
  const { encoding, rows, cols } = form;
  const source: WeightSource = {
    ...{ ...form, name: "weight", matrices: 1 },
    async readRows(_matrix, first, count) {
      const part = (bytes: Uint8Array): Uint8Array =>
        bytes.subarray((first * bytes.length) / rows, ((first + count) * bytes.length) / rows);
      return { encoding, rows: count, cols, data: part(data), ...(scales && { scales: part(scales) }) };
    },
  };
  return source;
}

function floats(values: number[], rows = 1): WeightSource {
  const data = new Uint8Array(Float32Array.from(values).buffer);
  return weight({ encoding: "f32", rows, cols: values.length / rows }, data);
}

/** One row of Q8_0 blocks of a scale of 1 (float16 0x3c00). */
function q8_0(...values: number[]): WeightSource {
  const data = new Uint8Array((values.length / 32) * 34);
  for (const [i, value] of values.entries()) {
    const block = Math.floor(i / 32) * 34;
    data[block + 1] = 0x3c;
    data[block + 2 + (i % 32)] = value;
  }
  return weight({ encoding: "q8_0", rows: 1, cols: values.length }, data);
}

/** One row of MXFP4: the same byte of two codes throughout. */
function mxfp4(byte: number, ...scales: number[]): WeightSource {
  const data = new Uint8Array(scales.length * 16).fill(byte);
  return weight({ encoding: "mxfp4", rows: 1, cols: scales.length * 32 }, data, Uint8Array.from(scales));
}

async function linear(dialect: DialectName, x: number[], source: WeightSource): Promise<number> {
  const engine = new ReferenceEngine(dialect);
  const input = engine.write({ shape: [1, x.length], data: Float32Array.from(x) });
  return engine.read(await engine.linear(input, await engine.loadWeight(source))).data[0]!;
}

/** 32 values, those not given 0. */
function block(...values: number[]): number[] {
  return Array.from({ length: 32 }, (_, i) => values[i] ?? 0);
}

const ones = Array.from({ length: 32 }, () => 1);
const f = Math.fround;

describe.each([
  ["int16", 32639n, -32768],
  ["int8", 127n, -128],
] as const)("in dialect %s", (dialect, largest, smallest) => {
  const Q = Number(largest);

  test("activations round to the nearest step, halves to even", async () => {
    // amax = Q makes the step 1
    for (const [x, rounded] of [
      [0.5, 0],
      [1.5, 2],
      [2.5, 2],
      [-1.5, -2],
      [3.4, 3],
    ] as const) {
      expect(await linear(dialect, block(Q, x), q8_0(...block(0, 1)))).toBe(rounded);
    }
  });

  test("the sum of a block is exact, and rounds once", async () => {
    const x = Array.from({ length: 32 }, (_, i) => (i % 3 === 2 ? -1 : 1) * (Q - 5 * i)); // the step is 1
    const w = Array.from({ length: 32 }, (_, i) => 127 - 3 * i);
    const sum = x.reduce((total, value, i) => total + BigInt(value) * BigInt(w[i]!), 0n);
    expect(await linear(dialect, x, q8_0(...w))).toBe(f(Number(sum)));

    const odd = block(...Array.from({ length: 31 }, () => 127), 126);
    const all = odd.map(() => Q);
    const most = (31n * 127n + 126n) * largest; // for int16 beyond 2^24, where not every integer is a float32
    expect(await linear(dialect, all, q8_0(...odd))).toBe(f(Number(most)));
  });

  test("blocks add up in order in float32", async () => {
    const x = [...block(2 ** 24), ...block(1), ...block(1)];
    expect(await linear(dialect, x, q8_0(...ones, ...ones, ...ones))).toBe(2 ** 24);
  });

  test("a block of zeros gives 0", async () => {
    expect(await linear(dialect, block(), q8_0(...ones))).toBe(0);
  });

  test("values of a block whose step has no reciprocal saturate", async () => {
    const x = block(2 ** -125, -(2 ** -130)); // Q / max|x| is infinite, max|x| / Q is not 0
    expect(await linear(dialect, x, q8_0(...ones))).toBe(f((Q + smallest) * f(2 ** -125 / Q)));
  });

  test("NaN and infinity reach the result", async () => {
    expect(await linear(dialect, block(1, Number.NaN), q8_0(...ones))).toBeNaN();
    // ∞ / Q is an infinite scale, and Q / ∞ makes all integers 0
    expect(await linear(dialect, block(1, Number.POSITIVE_INFINITY), q8_0(...ones))).toBeNaN();
    const x = [...block(Number.NaN), ...block(1)];
    expect(await linear(dialect, x, q8_0(...ones, ...ones))).toBeNaN();
  });

  test("MXFP4 scales are the floats with that exponent field", async () => {
    const x = block(1);
    const step = f(f(0.5 * f(1 / Q)) * 1); // of an integer of 1 under a scale of 2^0
    expect(await linear(dialect, x, mxfp4(0x31, 127))).toBe(f(Q * step)); // code 1 is ½
    expect(await linear(dialect, x, mxfp4(0x37, 128))).toBe(f(12 * Q * 2 * step)); // code 7 is 6
    expect(await linear(dialect, x, mxfp4(0x3f, 127))).toBe(f(-12 * Q * step));
    expect(await linear(dialect, x, mxfp4(0x77, 0))).toBe(0);
    expect(await linear(dialect, x, mxfp4(0x77, 255))).toBe(Number.POSITIVE_INFINITY);
  });

  test("float weights multiply in float32, in blocks of 32 of which the last may be shorter", async () => {
    const w = [2 ** 24, ...Array.from({ length: 39 }, () => 1)];
    const x = Array.from({ length: 40 }, () => 1);
    expect(await linear(dialect, x, floats(w))).toBe(2 ** 24 + 8); // 31 ones vanish beside 2^24, 8 stay
  });
});

describe("attention", () => {
  const T = 40;
  const engine = new ReferenceEngine("int16");
  const spanOf = (ring: Ring, tokens: number, window = Number.POSITIVE_INFINITY) =>
    [{ ring, tokens, position: 0, first: 0, window }] as const;
  const tensor = (shape: number[], data: ArrayLike<number>) =>
    engine.write({ shape, data: Float32Array.from(data) });

  test("weights · V adds up 32 positions at a time", async () => {
    const ring = engine.createRing(T, 1, 1);
    const values = Array.from({ length: T }, (_, p) => (p === 0 ? 2 ** 24 : 1));
    engine.store(tensor([T, 1, 1], values), tensor([T, 1, 1], values), spanOf(ring, T));
    const weights = tensor([1, T, T], new Float32Array(T * T).fill(1));
    const context = engine.read(engine.attentionContext(weights, spanOf(ring, T))).data;
    expect(context[31]).toBe(2 ** 24);
    expect(context[39]).toBe(2 ** 24 + 8);
    const windowed = spanOf(ring, T, 9); // query 39 sees 31 to 39
    expect(engine.read(engine.attentionContext(weights, windowed)).data[39]).toBe(9);
  });

  test("scores add up one by one", async () => {
    const ring = engine.createRing(1, 1, 64);
    const key = tensor([1, 1, 64], [2 ** 24, ...Array.from({ length: 63 }, () => 1)]);
    engine.store(key, key, spanOf(ring, 1));
    const q = tensor([1, 1, 64], new Float32Array(64).fill(1));
    expect(engine.read(engine.attentionScores(q, spanOf(ring, 1), 0.1)).data[0]).toBe(f(2 ** 24 * f(0.1)));
  });

  test("the softmax takes visible keys only, whatever a hook wrote elsewhere", async () => {
    const sinks = await engine.loadWeight(floats([0]));
    const scores = tensor([1, 2, 2], [0, 1000, 0, 0]);
    const { weights, sink } = await engine.sinkSoftmax(scores, sinks, spanOf(engine.createRing(2, 1, 1), 2));
    const third = f(1 / 3);
    expect([...engine.read(weights).data]).toEqual([0.5, 0, third, third]);
    expect([...engine.read(sink).data]).toEqual([0.5, third]);
  });
});

test("a bf16 cache holds keys and values rounded to bfloat16", () => {
  const engine = new ReferenceEngine("int16", { kvCache: "bf16" });
  const ring = engine.createRing(1, 1, 4);
  const stored = [1 + 2 ** -8, 1 + 3 * 2 ** -8, -1 - 2 ** -7, 1 + 2 ** -8 + 2 ** -20]; // ties to even
  const row = engine.write({ shape: [1, 1, 4], data: Float32Array.from(stored) });
  const spans = [{ ring, tokens: 1, position: 0, first: 0, window: 1 }];
  engine.store(row, row, spans);
  const one = engine.write({ shape: [1, 1, 1], data: Float32Array.of(1) });
  const context = engine.read(engine.attentionContext(one, spans));
  expect([...context.data]).toEqual([1, 1 + 2 ** -6, -1 - 2 ** -7, 1 + 2 ** -7]);
});
