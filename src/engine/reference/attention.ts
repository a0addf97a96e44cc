import type { Dialect } from "../../numerics/dialects.ts";
import { exp } from "../../numerics/elementary.ts";
import type { AttentionSpan } from "../ops.ts";
import { dot } from "./linear.ts";
import { ringOf } from "./tensor.ts";

/** Number of keys at positions [first, position + tokens). */
export function keysOf({ position, tokens, first }: AttentionSpan): number {
  return position + tokens - first;
}

/** Positions that the query at `position` sees: [oldest, position]. */
export function oldestVisible(span: AttentionSpan, position: number): number {
  return Math.max(span.first, position - span.window + 1);
}

/** "qhd,khd->hqk" · scale over the visible keys, −∞ elsewhere: [heads, T, keys]. */
export function scores(
  q: Float64Array,
  heads: number,
  headDim: number,
  span: AttentionSpan,
  scale: number,
  { round }: Dialect,
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
      for (let p = oldestVisible(span, position); p <= position; p++) {
        const row = (p % ring.capacity) * ring.width + keyAt;
        const product = round(dot(q, (t * heads + h) * headDim, ring.keys, row, headDim));
        out[(h * T + t) * n + p - span.first] = round(product * scale);
      }
    }
  }
  return out;
}

/**
 * p_j = exp(s_j − m) / (Σ exp(s_k − m) + exp(sink − m)), m the largest of them all.
 *
 * @param scores [heads, T, n]
 * @param sinks [heads]
 */
export function sinkSoftmax(
  scores: Float64Array,
  sinks: Float32Array,
  span: AttentionSpan,
  { round, wide, subtractsRowMaximum }: Dialect,
): { weights: Float64Array; sink: Float64Array } {
  const T = span.tokens;
  const n = keysOf(span);
  const weights = new Float64Array(scores.length);
  const sink = new Float64Array(sinks.length * T);
  for (let row = 0; row < sink.length; row++) {
    const s = scores.subarray(row * n, (row + 1) * n);
    const sinkLogit = sinks[Math.floor(row / T)]!;
    let max = sinkLogit;
    for (const value of s) if (value > max) max = value;
    const power = (value: number): number =>
      wide(exp(subtractsRowMaximum ? round(value - max) : wide(value - max)));

    const sinkPower = power(sinkLogit);
    let sum = 0;
    for (let j = 0; j < n; j++) {
      const p = s[j] === Number.NEGATIVE_INFINITY ? 0 : power(s[j]!);
      weights[row * n + j] = p;
      sum += p;
    }
    sum = wide(sum + sinkPower);
    for (let j = 0; j < n; j++) weights[row * n + j] = round(wide(weights[row * n + j]! / sum));
    sink[row] = round(wide(sinkPower / sum));
  }
  return { weights, sink };
}

/** "hqk,khd->qhd" over the visible keys, in order of position. */
export function context(
  weights: Float64Array,
  heads: number,
  span: AttentionSpan,
  { round }: Dialect,
): Float64Array {
  const ring = ringOf(span.ring);
  const { headDim } = ring;
  const T = span.tokens;
  const n = keysOf(span);
  const queriesPerKey = heads / (ring.width / headDim);
  const out = new Float64Array(T * heads * headDim);
  for (let h = 0; h < heads; h++) {
    const valueAt = Math.floor(h / queriesPerKey) * headDim;
    for (let t = 0; t < T; t++) {
      const position = span.position + t;
      const at = (t * heads + h) * headDim;
      for (let p = oldestVisible(span, position); p <= position; p++) {
        const weight = weights[(h * T + t) * n + p - span.first]!;
        const row = (p % ring.capacity) * ring.width + valueAt;
        for (let i = 0; i < headDim; i++) out[at + i]! += weight * ring.values[row + i]!;
      }
      for (let i = 0; i < headDim; i++) out[at + i] = round(out[at + i]!);
    }
  }
  return out;
}
