import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { quantizeDense } from "../../src/checkpoint/quantize.ts";
import type { Encoding, WeightSource, WeightSources } from "../../src/checkpoint/weights.ts";
import { CheckpointError } from "../../src/errors.ts";
import { encodeFloat16 } from "../../src/numerics/float.ts";
import { readTrace } from "../../src/oracle/trace-file.ts";
import { randomWeights, TINY } from "../support/random-model.ts";

const golden = fileURLToPath(new URL("../../golden/ops/q8-0-quantise.safetensors", import.meta.url));

/** A matrix in memory. */
function matrix(values: ArrayLike<number>, cols: number, encoding: Encoding = "f32"): WeightSource {
  const floats = Float32Array.from(values);
  const bits = new Uint32Array(floats.buffer);
  const data =
    encoding === "f32"
      ? floats
      : Uint16Array.from(floats, (x, i) => (encoding === "f16" ? encodeFloat16(x) : bits[i]! >>> 16));
  const bytes = new Uint8Array(data.buffer);
  const rows = floats.length / cols;
  const stride = bytes.length / rows;
  return {
    ...{ name: "matrix", encoding, matrices: 1, rows, cols },
    async readRows(_matrix, first, count) {
      const part = bytes.subarray(first * stride, (first + count) * stride);
      return { encoding, rows: count, cols, data: part };
    },
  };
}

function quantized(embedding: WeightSource): WeightSource {
  return quantizeDense({ ...randomWeights(TINY), embedding }).embedding;
}

test.each(["f32", "bf16", "f16"] as const)(
  "%s rows have the bytes that the gguf package gives",
  async (encoding) => {
    const { trace } = await readTrace(golden);
    const { shape, data } = trace.get(`${encoding}.x`)!;
    const [rows, cols] = shape as [number, number];
    const weight = quantized(matrix(data, cols, encoding));
    expect(weight).toMatchObject({ encoding: "q8_0", rows, cols });
    const expected = Uint8Array.from(trace.get(`${encoding}.bytes`)!.data);
    expect((await weight.readRows(0, 0, rows)).data).toEqual(expected);
    const stride = (cols / 32) * 34;
    expect((await weight.readRows(0, 1, 1)).data).toEqual(expected.subarray(stride, 2 * stride));
  },
);

test("quantises the dense matrices and nothing else", () => {
  const encodings = (weights: WeightSources): Record<string, Encoding> => {
    const { attn, moe } = weights.layers[1]!;
    const all: Record<string, WeightSource> = {
      ...{ embedding: weights.embedding, unembedding: weights.unembedding, norm: weights.norm },
      ...{ q: attn.q.weight, k: attn.k.weight, v: attn.v.weight, out: attn.out.weight },
      ...{ qBias: attn.q.bias, sinks: attn.sinks, attnNorm: attn.norm, moeNorm: moe.norm },
      ...{ router: moe.router.weight, gateUp: moe.gateUp.weight, downBias: moe.down.bias },
    };
    return Object.fromEntries(Object.entries(all).map(([name, { encoding }]) => [name, encoding]));
  };
  const before = randomWeights(TINY);
  const q8_0 = Object.fromEntries(
    ["embedding", "unembedding", "q", "k", "v", "out"].map((name) => [name, "q8_0"]),
  );
  expect(encodings(quantizeDense(before))).toEqual({ ...encodings(before), ...q8_0 });
});

test("rows that are no multiple of 32 stay as they are", () => {
  const odd = matrix(new Float32Array(2 * 48), 48);
  expect(quantized(odd)).toBe(odd);
});

test.each([Number.NaN, Number.POSITIVE_INFINITY, -8321040])(
  "a value of %d is refused by name and row",
  async (bad) => {
    const values = new Float32Array(3 * 64);
    values[2 * 64 + 5] = bad;
    const weight = quantized(matrix(values, 64));
    await weight.readRows(0, 0, 2);
    const read = weight.readRows(0, 1, 2);
    await expect(read).rejects.toThrow(
      /matrix, row 2, column 5\): expected a magnitude below 8321040, found/,
    );
    await expect(read).rejects.toBeInstanceOf(CheckpointError);
  },
);
