import { quantile, type Rows, rowDistances } from "./rows.ts";

/**
 * Statistics that decide which of several runs another one is. All are over tokens, each of which has as many values as logits were
 * sampled, and all are medians or counts: near ties of router logits send some tokens of a correct bf16 run far away.
 */

/** Whether theirs lies nearer to run a than to run b. */
export interface Contrast {
  /** Tokens at which a and b differ by more than rounding. */
  readonly tokens: number;
  /** Share of those at which theirs is nearer to a. */
  readonly nearer: number;
  /** Median of the distance to a over the distance to b. */
  readonly ratio: number;
  /** Median of how much of the way from b to a theirs has gone: 1 at a, 0 at b, along the line that joins them. */
  readonly way: number;
}

/**
 * @param floor distance of two runs that differ by rounding alone, in the unit of `norms`
 * @param norms what each token's distances are relative to
 */
export function contrast(theirs: Rows, a: Rows, b: Rows, floor: number, norms: Float64Array): Contrast {
  const apart = rowDistances(a, b);
  const [toA, toB] = [rowDistances(theirs, a), rowDistances(theirs, b)];
  const tokens = [...norms.keys()].filter((t) => apart[t]! > floor * norms[t]!);
  const ratios = tokens.map((t) => (toA[t]! === 0 ? 0 : toA[t]! / toB[t]!));
  return {
    tokens: tokens.length,
    nearer: ratios.filter((ratio) => ratio < 1).length / tokens.length,
    ratio: quantile(ratios, 0.5),
    // |x − b|² − |x − a|² = (2 · way − 1) · |a − b|²
    way: quantile(
      tokens.map((t) => ((toB[t]! ** 2 - toA[t]! ** 2) / apart[t]! ** 2 + 1) / 2),
      0.5,
    ),
  };
}

/**
 * Whether that is more than chance. Either theirs is at most half as far from a as from b, a quarter where few tokens tell; or so many
 * more tokens than half are nearer to a that it would be six standard deviations of a fair coin, and they have gone all of the way: so
 * an effect shows that is smaller than the noise around it.
 */
export function decides({ tokens, nearer, ratio, way }: Contrast): boolean {
  if (tokens === 0) return false;
  const clear = nearer >= 0.8 && ratio <= (tokens < 8 ? 0.25 : 0.5);
  const many = (2 * nearer - 1) * Math.sqrt(tokens) >= 6 && way >= 0.7 && way <= 1.4;
  return clear || many;
}

/** Sum over tokens of log(1 + d² / s²), which a few far tokens don't rule: the smaller, the nearer. */
export function score(distances: Float64Array, scale: number): number {
  return distances.reduce((sum, d) => sum + Math.log1p((d / scale) ** 2), 0);
}

/**
 * Whether distances look like noise: about as large in the middle and among the largest tenth, and spread over the tokens alike. A bug
 * that shows at some tokens leaves the others much nearer than noise would.
 */
export function looksLike(distances: Float64Array, noise: Float64Array, slack: number): boolean {
  const [low, middle, high] = [0.1, 0.5, 0.9].map((q) => quantile(distances, q)) as [number, number, number];
  const [noiseLow, noiseMiddle, noiseHigh] = [0.1, 0.5, 0.9].map((q) => quantile(noise, q)) as [
    number,
    number,
    number,
  ];
  if (!(middle <= slack * noiseMiddle && high <= slack * noiseHigh)) return false;
  return distances.length < 10 || high * noiseLow <= 10 * noiseHigh * Math.max(low, noiseLow / 100);
}
