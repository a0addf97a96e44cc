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

/** "ti,oi->to", not rounded: x [T, cols] → [T, rows]. */
export async function matmul(x: Float64Array, weight: ReferenceWeight): Promise<Float64Array> {
  const { rows, cols } = weight;
  const T = x.length / cols;
  const out = new Float64Array(T * rows);
  await weight.forEachChunk(0, (values, first, count) => {
    for (let t = 0; t < T; t++) {
      for (let r = 0; r < count; r++) out[t * rows + first + r] = dot(x, t * cols, values, r * cols, cols);
    }
  });
  return out;
}

/**
 * "tki,eoi->tko" with e = ids[t, k], not rounded. One expert is dequantised at a time and serves all its tokens.
 *
 * @param x [T, cols] if each token's experts share its input, or [T, k, cols]
 */
export async function expertMatmul(
  x: Float64Array,
  ids: Int32Array,
  inputsPerToken: number,
  k: number,
  weight: ReferenceWeight,
): Promise<Float64Array> {
  const { rows, cols } = weight;
  const out = new Float64Array(ids.length * rows);
  for (const expert of new Set([...ids].sort((a, b) => a - b))) {
    await weight.forEachChunk(expert, (values, first, count) => {
      for (let slot = 0; slot < ids.length; slot++) {
        if (ids[slot] !== expert) continue;
        const xAt = (inputsPerToken === 1 ? Math.floor(slot / k) : slot) * cols;
        for (let r = 0; r < count; r++) out[slot * rows + first + r] = dot(x, xAt, values, r * cols, cols);
      }
    });
  }
  return out;
}
