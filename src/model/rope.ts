import type { RopeConfig } from "../config.ts";
import type { RopeTable } from "../engine/ops.ts";
import type { Dialect } from "../numerics/dialects.ts";
import { cos, log, pow, sin } from "../numerics/elementary.ts";

/**
 * Rotary position embedding (arXiv:2104.09864) with YaRN (arXiv:2309.00071).
 *
 * RoPE turns each pair of dimensions of a query or key by an angle proportional to its position, so that their
 * product depends on the distance alone. A pair is dimension i with i + headDim / 2 (not 2i with 2i + 1), on sliding and
 * full layers alike. gpt-oss was trained on 4096 tokens first, then stretched to 131072 by YaRN, "NTK by parts": pairs
 * that turn often within 4096 tokens keep their frequency (they encode short distances, which a longer context has
 * too), those that hardly turn are slowed down by the factor 32, and a ramp joins the two, from pair 8.1 to 17.4 of 32.
 * All of it holds from position 0 on, however short the text.
 */

/**
 * Radians per token of each pair of dimensions, [headDim / 2].
 *
 * @param wide rounding of each step: the references compute these in float32
 */
export function inverseFrequencies(
  rope: RopeConfig,
  headDim: number,
  wide: (x: number) => number,
): Float64Array {
  const half = headDim / 2;
  const [low, high] = rampBounds(rope, headDim);
  return Float64Array.from({ length: half }, (_, i) => {
    const frequency = wide(pow(wide(rope.theta), wide((2 * i) / headDim)));
    const extrapolation = wide(1 / frequency);
    if (rope.factor === 1) return extrapolation;
    const interpolation = wide(1 / wide(rope.factor * frequency));
    const ramp = wide(wide(i - wide(low)) / wide(high - low));
    const keep = wide(1 - Math.min(Math.max(ramp, 0), 1));
    return wide(wide(interpolation * wide(1 - keep)) + wide(extrapolation * keep));
  });
}

/** Pairs at which the ramp starts and ends: those that turn betaFast and betaSlow times in the original context. */
export function rampBounds(rope: RopeConfig, headDim: number): [low: number, high: number] {
  const pairTurning = (times: number): number =>
    ((headDim / 2) * log(rope.originalContextLength / (times * 2 * Math.PI))) / log(rope.theta);
  let low = pairTurning(rope.betaFast);
  let high = pairTurning(rope.betaSlow);
  // gpt-oss doesn't round them; YaRN's own code does (to 8 and 18), and several runtimes by mistake
  if (rope.truncate) [low, high] = [Math.floor(low), Math.ceil(high)];
  // transformers' bounds for models whose ramp leaves the dimensions; gpt-oss's lies within
  [low, high] = [Math.max(low, 0), Math.min(high, headDim - 1)];
  return low === high ? [low, high + 0.001] : [low, high];
}

/**
 * YaRN's fixed temperature, 0.1 · ln 32 + 1 = 1.347 for gpt-oss. It scales cos and sin, hence queries and keys both: every
 * score is 1.81 times as large, at any length.
 */
export function concentration(rope: RopeConfig): number {
  return rope.factor > 1 ? 0.1 * log(rope.factor) + 1 : 1;
}

/** cos and sin for each of some positions. */
export function ropeTable(
  frequencies: Float64Array,
  rope: RopeConfig,
  positions: readonly number[],
  { round, wide }: Pick<Dialect, "round" | "wide">,
): RopeTable {
  const half = frequencies.length;
  const scale = wide(concentration(rope));
  const size = positions.length * half;
  const table = { cos: new Float64Array(size), sin: new Float64Array(size) };
  for (const [t, position] of positions.entries()) {
    for (let i = 0; i < half; i++) {
      const angle = wide(position * frequencies[i]!);
      table.cos[t * half + i] = round(wide(wide(cos(angle)) * scale));
      table.sin[t * half + i] = round(wide(wide(sin(angle)) * scale));
    }
  }
  return table;
}
