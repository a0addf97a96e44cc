import { log } from "../../numerics/elementary.ts";
import type { TopScores } from "./scores.ts";

/** How far a server is from the truth at one position, as far as its most probable tokens tell. */
export interface PositionDistance {
  /**
   * KL(truth ‖ server) in nats, with all tokens that the server doesn't name as one outcome: at most the whole
   * distributions' distance, and near it where the named tokens are nearly all.
   */
  readonly kl: number;
  /** Whether both find the same token most probable; or the server one that the truth finds as probable, to 1e-3. */
  readonly sameTop: boolean;
  /** |Δ log p| averaged over the named tokens by the truth's probabilities. */
  readonly delta: number;
}

/** @param logprob the truth's, of a token */
export function distanceAt(
  theirs: TopScores,
  logprob: (id: number) => number,
  best: number,
): PositionDistance {
  let [kl, named, theirNamed, weighted] = [0, 0, 0, 0];
  let [top, topScore] = [-1, Number.NEGATIVE_INFINITY];
  for (const [id, q] of theirs) {
    const p = logprob(id);
    const probability = Math.exp(p);
    kl += probability * (p - q);
    weighted += probability * Math.abs(p - q);
    named += probability;
    theirNamed += Math.exp(q);
    if (q > topScore) [top, topScore] = [id, q];
  }
  const [rest, theirRest] = [1 - named, 1 - theirNamed];
  if (rest > TINY) kl += rest * log(rest / Math.max(theirRest, TINY));
  const sameTop = top === best || logprob(best) - logprob(top) < 1e-3;
  return { kl: Math.max(kl, 0), sameTop, delta: named > 0 ? weighted / named : 0 };
}

/** Servers print some seven digits: what is left of 1 below this is rounding. */
const TINY = 1e-6;

/** Distances at many positions together. */
export interface Distance {
  readonly positions: number;
  /** Mean KL in nats, and its standard error over positions. */
  readonly kl: number;
  readonly klError: number;
  readonly medianKl: number;
  /** Mean |Δ log p|, weighted by the truth's probabilities. */
  readonly delta: number;
  /** Share of positions with the same most probable token, and how many there are without. */
  readonly top1: number;
  readonly flips: number;
}

export function summarize(distances: readonly PositionDistance[]): Distance {
  const { length } = distances;
  const kls = distances.map(({ kl }) => kl).sort((a, b) => a - b);
  const { mean, error } = meanAndError(kls);
  const flips = distances.filter(({ sameTop }) => !sameTop).length;
  return {
    positions: length,
    kl: mean,
    klError: error,
    medianKl: kls[length >> 1] ?? 0,
    delta: meanAndError(distances.map(({ delta }) => delta)).mean,
    top1: length === 0 ? 1 : 1 - flips / length,
    flips,
  };
}

function meanAndError(values: readonly number[]): { mean: number; error: number } {
  const n = Math.max(values.length, 1);
  const mean = values.reduce((sum, value) => sum + value, 0) / n;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / Math.max(n - 1, 1);
  return { mean, error: Math.sqrt(variance / n) };
}

/** A distance that is this many times what rounding makes is more than rounding. */
const FACTOR = 4;
/** Distances below this are what seven printed digits leave. */
const PRINTED = 1e-7;

/** Whether a distance is no larger than rounding explains: in the mean, which rare flips rule, and in the median. */
export function isNoise(distance: Distance, noise: Distance): boolean {
  return distance.kl <= FACTOR * noise.kl + PRINTED && distance.medianKl <= FACTOR * noise.medianKl + PRINTED;
}

/**
 * By how many standard errors `a` is nearer than `b`, position by position: of the logarithm of their ratio, since distances
 * spread over decades and a few large ones would say nothing of the rest.
 */
export function nearerBy(a: readonly PositionDistance[], b: readonly PositionDistance[]): number {
  const { mean, error } = meanAndError(a.map(({ kl }, i) => log((b[i]!.kl + PRINTED) / (kl + PRINTED))));
  return error > 0 ? mean / error : 0;
}
