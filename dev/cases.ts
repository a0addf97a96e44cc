/** Data that the kernels run on, large or small, and the reference's results on it. */
import { context, scores } from "../src/engine/reference/attention-float32.ts";
import { integerDot, quantizeActivations, toIntegers } from "../src/engine/reference/integers.ts";
import { blockDot } from "../src/engine/reference/linear.ts";
import { type Bench, type Kernel, random, randomBytes, randomFloats } from "./compile.ts";

/** Data for one call of each rung. */
export interface Case {
  /** Weights (or keys, or values) that a call reads, in bytes; those that serve several tokens count for each. */
  readonly bytes: number;
  /** The weights in an order that kernels read. */
  matrices(order: string): Placed;
  /** Arguments of a rung, given the addresses of its weights. */
  arguments(order: string, weights: readonly number[]): number[];
  readonly result: number;
  /** The reference's result, in the order of the kernel's. */
  expected(): Float32Array;
}

/** @param large for measurements: matrices of the model's size, as many as no cache holds */
export type Prepare = (bench: Bench, kernels: Record<string, Kernel>, large: boolean) => Case;

/** Together far more than a last-level cache. */
export const LARGE: number = 128 * 2 ** 20;

/** Further copies of matrices behind the first. */
function copies(bench: Bench, at: number, bytes: number, large: boolean): { at: number; step: number } {
  if (!large || bytes === 0) return { at, step: 0 };
  const count = Math.ceil(LARGE / bytes);
  const first = bench.allocate(count * bytes);
  const memory = bench.bytes(0, bench.memory.buffer.byteLength);
  for (let i = 0; i < count; i++) memory.copyWithin(first + i * bytes, at, at + bytes);
  return { at: first, step: bytes };
}

/** Addresses of the parts of a matrix, and how many bytes lie from one copy of it to the next. */
interface Placed {
  readonly at: readonly number[];
  readonly steps: readonly number[];
}

type Parts = readonly (readonly [at: number, bytes: number])[];

/** Orders are made when they are asked for: they are large. */
function orders(
  bench: Bench,
  large: boolean,
  makers: Record<string, () => Parts>,
): (order: string) => Placed {
  const made = new Map<string, Placed>();
  return (order) => {
    let found = made.get(order);
    if (found === undefined) {
      const placed = makers[order]!().map(([at, bytes]) => copies(bench, at, bytes, large));
      found = { at: placed.map(({ at }) => at), steps: placed.map(({ step }) => step) };
      made.set(order, found);
    }
    return found;
  };
}

/** From groups of 8 rows, blocks of 2 · `unit` bytes at a time, to groups of 4. */
function fourRows(bench: Bench, at: number, groups: number, groupBytes: number, unit: number): number {
  const from = bench.bytes(at, groups * groupBytes);
  const to = new Uint8Array(from.length);
  for (let i = 0; i < from.length; i += unit) {
    const [group, inGroup] = [Math.floor(i / groupBytes), i % groupBytes];
    const half = (inGroup / unit) % 2;
    const target = group * groupBytes + (half * groupBytes) / 2 + Math.floor(inGroup / unit / 2) * unit;
    to.set(from.subarray(i, i + unit), target);
  }
  return bench.place(to);
}

/** Quantised weights times quantised activations. */
export function quantised(
  encoding: "mxfp4" | "q8_0",
  bits: 8 | 16,
  form: number,
  offset: number,
  tokens: number,
): Prepare {
  return (bench, kernels, large) => {
    const [rows, blocks] = large ? [2880, 90] : [40, 7];
    const next = random(1);
    const [cols, groups] = [blocks * 32, rows / 8];
    const mxfp4 = encoding === "mxfp4";
    const data = randomBytes(rows * blocks * (mxfp4 ? 16 : 34), next);
    const scales = Uint8Array.from({ length: mxfp4 ? rows * blocks : 0 }, () => 110 + next() * 20);
    // float16 scales from 2^−14 to 2^−4, of either sign
    if (!mxfp4) for (let i = 1; i < data.length; i += 34) data[i] = (data[i]! & 0x80) | (4 + next() * 40);
    const [dataAt, scalesAt] = [bench.place(data), bench.place(scales)];

    const groupBytes = blocks * (mxfp4 ? 128 : 256);
    const groupScales = blocks * (mxfp4 ? 8 : 16);
    const eight = bench.allocate(groups * groupBytes);
    const eightScales = bench.allocate(groups * groupScales);
    const row = data.length / rows;
    if (mxfp4) {
      const from = [dataAt, dataAt + row, 2 * row, scalesAt, scalesAt + blocks, 2 * blocks];
      kernels["repack_mxfp4"]!(...from, groups, blocks, eight, eightScales);
    } else kernels["repack_q8_0"]!(dataAt, dataAt + row, 2 * row, groups, blocks, eight, eightScales);
    const unit = mxfp4 ? 16 : 8;
    const [bytes, scaleBytes] = [groups * groupBytes, groups * groupScales];

    const x = randomFloats(tokens * cols, next);
    const blockBytes = form === 0 ? 32 : 64;
    const q = bench.allocate(tokens * blocks * blockBytes);
    const d = bench.allocate(tokens * blocks * 8);
    const limit = bits === 8 ? 127 : 32639;
    kernels["quantize"]!(bench.place(x), tokens * blocks, limit, form, offset, mxfp4 ? 0.5 : 1, q, d);
    const tileQ = bench.allocate(tokens * blocks * blockBytes);
    const tileD = bench.allocate(tokens * blocks * 8);
    kernels["tile"]!(q, d, tokens, blocks, blockBytes, tileQ, tileD);
    const result = bench.allocate(tokens * rows * 4);
    const totals = bench.allocate(tokens * 32 + 272);

    return {
      bytes: (bytes + scaleBytes) * tokens,
      matrices: orders(bench, large, {
        rows: () => [
          [dataAt, data.length],
          [scalesAt, scales.length],
        ],
        "4 rows": () => [
          [fourRows(bench, eight, groups, groupBytes, unit), bytes],
          [fourRows(bench, eightScales, groups, groupScales, unit === 16 ? 4 : 8), scaleBytes],
        ],
        "8 rows": () => [
          [eight, bytes],
          [eightScales, scaleBytes],
        ],
        "8 rows, token by token": () => [
          [eight, bytes],
          [eightScales, scaleBytes],
        ],
        "8 rows, in pairs": () => [
          [eight, bytes],
          [eightScales, scaleBytes],
        ],
      }),
      arguments(order, [weights, weightScales]) {
        const inputs = tokens > 1 && order === "8 rows" ? [tileQ, tileD] : [q, d];
        const product = [weights!, weightScales!, ...inputs, result, groups, blocks];
        return order === "8 rows, in pairs" ? [...product, rows] : [...product, tokens, rows, totals];
      },
      result,
      expected() {
        const quantized = quantizeActivations(Float64Array.from(x), bits);
        const weights = toIntegers({ encoding, rows, cols, data, scales });
        return Float32Array.from({ length: tokens * rows }, (_, i) =>
          integerDot(quantized, Math.floor(i / rows), weights, i % rows, cols),
        );
      },
    };
  };
}

/** Weights and activations that are not quantised. */
export function dense(type: "bf16" | "f32", tokens: number): Prepare {
  return (bench, kernels, large) => {
    const [rows, cols] = large ? [2880, 2880] : [48, 304];
    const next = random(2);
    const size = type === "bf16" ? 2 : 4;
    const sign = (): number => (next() < 0.5 ? 0x8000 : 0);
    const upper = Uint16Array.from({ length: rows * cols }, () => sign() | (0x3c00 + next() * 0x300));
    const data = type === "bf16" ? upper : Float32Array.from(upper, (bits) => (bits - 0x8000) / 0x8000);
    const from = bench.place(data);
    const groups = rows / 16;
    const sixteen = bench.allocate(data.byteLength);
    kernels[`repack_${type}`]!(from, from + size * cols, 2 * size * cols, groups, cols, sixteen);
    const four = (): number => {
      const ordered = data.slice();
      for (let r = 0; r < rows; r++) {
        for (let c = 0; c < cols; c++) ordered[(r >> 2) * 4 * cols + c * 4 + (r & 3)] = data[r * cols + c]!;
      }
      return bench.place(ordered);
    };
    const x = randomFloats(tokens * cols, next);
    const xAt = bench.place(x);
    const result = bench.allocate(tokens * rows * 4);
    const bytes = data.byteLength;
    return {
      bytes: bytes * tokens,
      matrices: orders(bench, large, {
        rows: () => [[from, bytes]],
        "4 rows": () => [[four(), bytes]],
        "16 rows": () => [[sixteen, bytes]],
      }),
      arguments: (_, [weights]) => [weights!, xAt, result, groups, cols, rows],
      result,
      expected() {
        const weights = type === "bf16" ? floatsOf(data) : Float32Array.from(data);
        return Float32Array.from({ length: tokens * rows }, (_, i) =>
          blockDot(Float64Array.from(x), Math.floor(i / rows) * cols, weights, (i % rows) * cols, cols),
        );
      },
    };
  };
}

function floatsOf(bfloat16: ArrayLike<number>): Float32Array {
  return new Float32Array(Uint32Array.from(bfloat16, (bits) => bits << 16).buffer);
}

/** 8 query heads that share the keys and values of one head, at the end of a ring that has gone round. */
export function attention(kind: "scores" | "context", type: "f32" | "bf16"): Prepare {
  return (bench, kernels, large) => {
    const [capacity, base, low, end] = large ? [8192, 0, 0, 8192] : [96, 40, 43, 131];
    const [group, headDim, scale] = [8, 64, 0.125];
    const next = random(3);
    // values that bfloat16 holds
    const some = (): Float32Array =>
      Float32Array.from({ length: capacity * headDim }, () => Math.round((next() - 0.5) * 256) / 128);
    const [keys, values] = [some(), some()];
    const bytes = keys.length * (type === "bf16" ? 2 : 4);
    const [interleaved, valuesAt] = [bench.allocate(bytes), bench.allocate(bytes)];
    const [k, v] = [bench.place(keys), bench.place(values)];
    for (let slot = 0; slot < capacity; slot++) {
      const at = slot * headDim * 4;
      kernels[`store_${type}`]!(k + at, v + at, interleaved, valuesAt, capacity, slot, 1, headDim);
    }
    const stride = Math.ceil((end - base) / 8) * 8;
    const q = randomFloats(group * headDim, next);
    const weights = Float32Array.from({ length: group * stride }, () => next() / 64);
    const [qAt, weightsAt] = [bench.place(q), bench.place(weights)];
    const result = bench.allocate(group * (kind === "scores" ? stride : headDim) * 4);

    const ring = { capacity, headDim, width: headDim, keys, values, bytes };
    const span = { ring, tokens: 1, position: end - 1, first: base, window: Number.POSITIVE_INFINITY };
    return {
      bytes: ((end - base) * bytes) / capacity,
      matrices: orders(bench, large, {
        rows: () => [[kind === "scores" ? k : valuesAt, bytes]],
        "4 keys": () => [[interleaved, bytes]],
      }),
      arguments: (_, [at]) =>
        kind === "scores"
          ? [qAt, at!, capacity, headDim, group, base, end, scale, result, stride]
          : [weightsAt, stride, at!, capacity, headDim, group, base, low, end, result],
      result,
      expected() {
        const n = end - base;
        if (kind === "scores") {
          const found = scores(Float64Array.from(q), group, headDim, span, scale);
          const out = new Float32Array(group * stride).fill(Number.NaN); // NaN: whatever it is
          for (let g = 0; g < group; g++) out.set(found.subarray(g * n, (g + 1) * n), g * stride);
          return out;
        }
        const given = new Float64Array(group * n);
        for (let g = 0; g < group; g++) given.set(weights.subarray(g * stride, g * stride + n), g * n);
        const shown = { ...span, window: end - low };
        return Float32Array.from(context(given, group, shown));
      },
    };
  };
}
