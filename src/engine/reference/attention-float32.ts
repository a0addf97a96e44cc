import { expFloat32 } from "../../numerics/exp-float32.ts";
import type { AttentionSpan } from "../ops.ts";
import { keysOf, oldestVisible } from "./attention.ts";
import { ringOf } from "./tensor.ts";

/**
 * Attention of the dialects whose every step is in float32. Where sums are taken in parts, these go by absolute position:
 * they don't depend on where a chunk or a ring begins.
 */

const f = Math.fround;

/** "qhd,khd->hqk" · scale over the visible keys, −∞ elsewhere: [heads, T, keys]. */
export function scores(
  q: Float64Array,
  heads: number,
  headDim: number,
  span: AttentionSpan,
  scale: number,
): Float64Array {
  const ring = ringOf(span.ring);
  const T = span.tokens;
  const n = keysOf(span);
  const queriesPerKey = heads / (ring.width / headDim);
  const out = new Float64Array(heads * T * n).fill(Number.NEGATIVE_INFINITY);
  for (let h = 0; h < heads; h++) {
    const keyAt = Math.floor(h / queriesPerKey) * headDim;
    for (let t = 0; t < T; t++) {
      const position = span.position + t;
      const at = (t * heads + h) * headDim;
      for (let p = oldestVisible(span, position); p <= position; p++) {
        const row = (p % ring.capacity) * ring.width + keyAt;
        let sum = 0;
        for (let i = 0; i < headDim; i++) sum = f(sum + f(q[at + i]! * ring.keys[row + i]!));
        out[(h * T + t) * n + p - span.first] = f(sum * f(scale));
      }
    }
  }
  return out;
}

/** As `sinkSoftmax` of attention.ts. The denominator is a float64 sum, of which position p goes to part p mod 4. */
export function sinkSoftmax(
  scores: Float64Array,
  sinks: Float32Array,
  span: AttentionSpan,
): { weights: Float64Array; sink: Float64Array } {
  const T = span.tokens;
  const n = keysOf(span);
  const weights = new Float64Array(scores.length);
  const sink = new Float64Array(sinks.length * T);
  for (let row = 0; row < sink.length; row++) {
    const position = span.position + (row % T);
    const at = row * n - span.first;
    const sinkLogit = sinks[Math.floor(row / T)]!;
    const oldest = oldestVisible(span, position);
    let max = sinkLogit;
    for (let p = oldest; p <= position; p++) if (scores[at + p]! > max) max = scores[at + p]!;

    const parts = new Float64Array(4);
    for (let p = oldest; p <= position; p++) {
      const power = expFloat32(f(scores[at + p]! - max));
      weights[at + p] = power;
      parts[p % 4]! += power;
    }
    const [a, b, c, d] = parts as unknown as [number, number, number, number];
    const sinkPower = expFloat32(f(sinkLogit - max));
    const sum = f(a + b + (c + d) + sinkPower);
    for (let p = oldest; p <= position; p++) weights[at + p] = f(weights[at + p]! / sum);
    sink[row] = f(sinkPower / sum);
  }
  return { weights, sink };
}

/** "hqk,khd->qhd" over the visible keys: a sum for every 32 positions (those with the same p >> 5), then the sum of those. */
export function context(weights: Float64Array, heads: number, span: AttentionSpan): Float64Array {
  const ring = ringOf(span.ring);
  const { headDim } = ring;
  const T = span.tokens;
  const n = keysOf(span);
  const queriesPerKey = heads / (ring.width / headDim);
  const out = new Float64Array(T * heads * headDim);
  const sums = new Float64Array(headDim);
  for (let h = 0; h < heads; h++) {
    const valueAt = Math.floor(h / queriesPerKey) * headDim;
    for (let t = 0; t < T; t++) {
      const position = span.position + t;
      const at = (t * heads + h) * headDim;
      sums.fill(0);
      for (let p = oldestVisible(span, position); p <= position; p++) {
        const weight = weights[(h * T + t) * n + p - span.first]!;
        const row = (p % ring.capacity) * ring.width + valueAt;
        for (let i = 0; i < headDim; i++) sums[i] = f(sums[i]! + f(weight * ring.values[row + i]!));
        if (p % 32 === 31 || p === position) {
          for (let i = 0; i < headDim; i++) out[at + i] = f(out[at + i]! + sums[i]!);
          sums.fill(0);
        }
      }
    }
  }
  return out;
}
