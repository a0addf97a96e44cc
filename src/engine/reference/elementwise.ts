import type { Dialect } from "../../numerics/dialects.ts";
import { exp } from "../../numerics/elementary.ts";
import { expFloat32 } from "../../numerics/exp-float32.ts";
import type { RopeTable } from "../ops.ts";
import { dot } from "./linear.ts";

/** x / sqrt(mean(x²) + eps) · scale for each row of `scale.length` values. */
export function rmsNorm(
  x: Float64Array,
  scale: Float32Array,
  eps: number,
  { round, wide }: Dialect,
): Float64Array {
  const n = scale.length;
  const out = new Float64Array(x.length);
  for (let at = 0; at < x.length; at += n) {
    const inverse = wide(1 / Math.sqrt(wide(wide(dot(x, at, x, at, n) / n) + eps)));
    for (let i = 0; i < n; i++) out[at + i] = round(wide(wide(x[at + i]! * inverse) * scale[i]!));
  }
  return out;
}

/** (a, b) → (a·cos − b·sin, b·cos + a·sin) for a in the first half of each head, b in the second. */
export function rotate(
  x: Float64Array,
  heads: number,
  headDim: number,
  { cos, sin }: RopeTable,
  { round }: Dialect,
): Float64Array {
  const half = headDim / 2;
  const out = new Float64Array(x.length);
  for (let head = 0, at = 0; at < x.length; head++, at += 2 * half) {
    const angles = Math.floor(head / heads) * half;
    for (let i = 0; i < half; i++) {
      const a = x[at + i]!;
      const b = x[at + half + i]!;
      const c = cos[angles + i]!;
      const s = sin[angles + i]!;
      out[at + i] = round(round(a * c) - round(b * s));
      out[at + half + i] = round(round(b * c) + round(a * s));
    }
  }
  return out;
}

/** Softmax of each row of n. */
export function softmax(x: Float64Array, n: number, { round, wide }: Dialect): Float64Array {
  const out = new Float64Array(x.length);
  for (let at = 0; at < x.length; at += n) {
    const row = x.subarray(at, at + n);
    let max = Number.NEGATIVE_INFINITY;
    for (const value of row) if (value > max) max = value;
    const powers = Float64Array.from(row, (value) => wide(exp(wide(value - max))));
    let sum = 0;
    for (const p of powers) sum += p;
    sum = wide(sum);
    for (let i = 0; i < n; i++) out[at + i] = round(wide(powers[i]! / sum));
  }
  return out;
}

/** min(gate, limit) · sigmoid(alpha · gate) · (clamp(up, ±limit) + 1), for pairs (gate, up) side by side. */
export function swiglu(
  gateUp: Float64Array,
  alpha: number,
  limit: number,
  { round, wide, activationBits }: Dialect,
): Float64Array {
  const power = activationBits ? expFloat32 : exp;
  const bound = round(limit);
  return Float64Array.from({ length: gateUp.length / 2 }, (_, i) => {
    const gate = Math.min(gateUp[2 * i]!, bound);
    const up = Math.min(Math.max(gateUp[2 * i + 1]!, -bound), bound);
    const sigmoid = round(wide(1 / wide(1 + wide(power(-round(gate * wide(alpha)))))));
    return round(round(gate * sigmoid) * round(up + 1));
  });
}

/**
 * "tkc,tk->tc". `bf16-hf` adds the experts one after the other by ascending id and rounds after each; the others
 * add in the router's order and round once.
 */
export function weightedSum(
  x: Float64Array,
  weights: Float64Array,
  ids: Int32Array,
  k: number,
  { round, sumsExpertsById }: Dialect,
): Float64Array {
  const T = ids.length / k;
  const n = x.length / ids.length;
  const out = new Float64Array(T * n);
  for (let t = 0; t < T; t++) {
    const slots = Array.from({ length: k }, (_, j) => t * k + j);
    if (sumsExpertsById) slots.sort((a, b) => ids[a]! - ids[b]!);
    for (let c = 0; c < n; c++) {
      let sum = 0;
      if (sumsExpertsById)
        for (const slot of slots) sum = round(sum + round(x[slot * n + c]! * weights[slot]!));
      else for (const slot of slots) sum += x[slot * n + c]! * weights[slot]!;
      out[t * n + c] = round(sum);
    }
  }
  return out;
}
