import type { Dialect } from "../../numerics/dialects.ts";
import { integerDot, quantizeActivations } from "./integers.ts";
import type { ReferenceWeight } from "./weight.ts";

/** Σ x[xAt + i] · w[wAt + i] over n terms in float64; four partial sums, always the same four. */
export function dot(
  x: Float64Array,
  xAt: number,
  w: Float32Array | Float64Array,
  wAt: number,
  n: number,
): number {
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  let i = 0;
  for (; i + 3 < n; i += 4) {
    a += x[xAt + i]! * w[wAt + i]!;
    b += x[xAt + i + 1]! * w[wAt + i + 1]!;
    c += x[xAt + i + 2]! * w[wAt + i + 2]!;
    d += x[xAt + i + 3]! * w[wAt + i + 3]!;
  }
  for (; i < n; i++) a += x[xAt + i]! * w[wAt + i]!;
  return a + b + (c + d);
}

/** The same in float32, each step rounded: 32 terms in order, then the sums of these in order. */
export function blockDot(x: Float64Array, xAt: number, w: Float32Array, wAt: number, n: number): number {
  const f = Math.fround;
  let total = 0;
  for (let block = 0; block < n; block += 32) {
    const end = Math.min(block + 32, n);
    let sum = 0;
    for (let i = block; i < end; i++) sum = f(sum + f(x[xAt + i]! * w[wAt + i]!));
    total = f(total + sum);
  }
  return total;
}

/** Gives the products of rows t of x with rows r of each chunk of one matrix. */
type ForEachChunk = (
  matrix: number,
  use: (product: (t: number, r: number) => number, first: number, count: number) => void,
) => Promise<void>;

/** How a dialect multiplies x [T, cols] with a weight; not rounded, where that is in float64. */
function products(x: Float64Array, weight: ReferenceWeight, { activationBits }: Dialect): ForEachChunk {
  const { cols } = weight;
  if (activationBits && weight.hasIntegers) {
    const quantized = quantizeActivations(x, activationBits);
    return (matrix, use) =>
      weight.forEachIntegerChunk(matrix, (rows, first, count) =>
        use((t, r) => integerDot(quantized, t, rows, r, cols), first, count),
      );
  }
  const product = activationBits ? blockDot : dot;
  return (matrix, use) =>
    weight.forEachChunk(matrix, (values, first, count) =>
      use((t, r) => product(x, t * cols, values, r * cols, cols), first, count),
    );
}

/** "ti,oi->to", not rounded: x [T, cols] → [T, rows]. */
export async function matmul(
  x: Float64Array,
  weight: ReferenceWeight,
  dialect: Dialect,
): Promise<Float64Array> {
  const { rows, cols } = weight;
  const T = x.length / cols;
  const out = new Float64Array(T * rows);
  await products(
    x,
    weight,
    dialect,
  )(0, (product, first, count) => {
    for (let t = 0; t < T; t++) {
      for (let r = 0; r < count; r++) out[t * rows + first + r] = product(t, r);
    }
  });
  return out;
}

/**
 * "tki,eoi->tko" with e = ids[t, k], not rounded. One expert is decoded at a time and serves all its tokens.
 *
 * @param x [T, cols] if each token's experts share its input, or [T, k, cols]
 */
export async function expertMatmul(
  x: Float64Array,
  ids: Int32Array,
  inputsPerToken: number,
  k: number,
  weight: ReferenceWeight,
  dialect: Dialect,
): Promise<Float64Array> {
  const { rows } = weight;
  const out = new Float64Array(ids.length * rows);
  const forEachChunk = products(x, weight, dialect);
  for (const expert of new Set([...ids].sort((a, b) => a - b))) {
    await forEachChunk(expert, (product, first, count) => {
      for (let slot = 0; slot < ids.length; slot++) {
        if (ids[slot] !== expert) continue;
        const t = inputsPerToken === 1 ? Math.floor(slot / k) : slot;
        for (let r = 0; r < count; r++) out[slot * rows + first + r] = product(t, r);
      }
    });
  }
  return out;
}
