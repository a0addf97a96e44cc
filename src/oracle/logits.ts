import type { HostTensor } from "../engine/ops.ts";
import { exp, log } from "../numerics/elementary.ts";

/** How far two runs' predictions lie apart. */
export interface LogitsDistance {
  readonly tokens: number;
  /** Mean KL(B ‖ A) over tokens, in nats. */
  readonly meanKl: number;
  /** Standard error of that mean, from the spread between tokens; NaN for one token. */
  readonly klStandardError: number;
  readonly maxKl: number;
  readonly maxKlToken: number;
  /** Share of tokens whose most probable next token is the same. */
  readonly top1Agreement: number;
  /** Mean share of the five most probable next tokens that both have. */
  readonly top5Agreement: number;
}

/** Compares [T, vocab] with [T, vocab]; where one has a single token, it is the last. */
export function compareLogits(a: HostTensor, b: HostTensor): LogitsDistance | undefined {
  const [Ta, vocab] = a.shape as [number, number];
  const Tb = b.shape[0]!;
  if (a.shape.length !== 2 || b.shape[1] !== vocab || vocab === 0) return undefined;
  const T = Math.min(Ta, Tb);
  const [skipA, skipB] = T === 1 ? [Ta - 1, Tb - 1] : [0, 0];
  const kls: number[] = [];
  let same = 0;
  let shared = 0;
  const k = Math.min(5, vocab);
  for (let t = 0; t < T; t++) {
    const rowB = b.data.subarray((t + skipB) * vocab, (t + skipB + 1) * vocab);
    const rowA = a.data.subarray((t + skipA) * vocab, (t + skipA + 1) * vocab);
    const [p, q] = [logSoftmax(rowB), logSoftmax(rowA)];
    let kl = 0;
    for (let i = 0; i < vocab; i++) kl += exp(p[i]!) * (p[i]! - q[i]!);
    kls.push(kl);
    const [bestB, bestA] = [largest(rowB, k), largest(rowA, k)];
    if (bestB[0] === bestA[0]) same++;
    shared += bestB.filter((id) => bestA.includes(id)).length / k;
  }
  const meanKl = kls.reduce((x, y) => x + y, 0) / T;
  const variance = kls.reduce((sum, kl) => sum + (kl - meanKl) ** 2, 0) / (T - 1);
  const maxKl = kls.reduce((x, y) => Math.max(x, y), Number.NEGATIVE_INFINITY);
  return {
    tokens: T,
    meanKl,
    klStandardError: Math.sqrt(variance / T),
    maxKl,
    maxKlToken: kls.indexOf(maxKl) + Math.max(skipA, skipB),
    top1Agreement: same / T,
    top5Agreement: shared / T,
  };
}

function logSoftmax(row: HostTensor["data"]): Float64Array {
  let best = Number.NEGATIVE_INFINITY;
  for (const value of row) if (value > best) best = value;
  const shifted = Float64Array.from(row, (value) => value - best);
  const logSum = log(shifted.reduce((sum, value) => sum + exp(value), 0));
  return shifted.map((value) => value - logSum);
}

/** Places of the k largest values, descending; of equal ones the first. */
function largest(row: HostTensor["data"], k: number): number[] {
  const best: number[] = [];
  for (let i = 0; i < row.length; i++) {
    if (best.length === k && !(row[i]! > row[best[k - 1]!]!)) continue;
    let at = best.length;
    while (at > 0 && row[i]! > row[best[at - 1]!]!) at--;
    best.splice(at, 0, i);
    if (best.length > k) best.pop();
  }
  return best;
}
