import type { Exponentials } from "../engine/ops.ts";
import { UsageError } from "../errors.ts";
import { log } from "../numerics/elementary.ts";
import { exponentials } from "../numerics/exponentials.ts";
import { uniform } from "./random.ts";

export interface SamplingOptions {
  /** 0 takes the most probable token; OpenAI recommends 1 for gpt-oss. Default 0. */
  readonly temperature?: number;
  /** Keep the k most probable tokens; 0 keeps all. Default 0. */
  readonly topK?: number;
  /** Keep the most probable tokens until their probabilities reach this sum. Default 1. */
  readonly topP?: number;
  /** Keep tokens at least this probable, as a fraction of the most probable one. Default 0. */
  readonly minP?: number;
  /** Any safe integer. The draw at a position depends on the seed and the position alone. Default 0. */
  readonly seed?: number;
}

export interface TokenProbability {
  readonly id: number;
  /** Natural logarithm of the softmax over the model's own logits, whatever the temperature. */
  readonly logprob: number;
}

/**
 * Chooses the next token: temperature first, then top-k, top-p and min-p on what is left, in the order of transformers.
 *
 * @param logits [vocab]; −∞ forbids a token, ∞ forces it, NaN is an error
 * @param position absolute position of the token that is drawn
 * @throws UsageError when the options are out of range, or no token is allowed
 */
export function sample(logits: ArrayLike<number>, position: number, options: SamplingOptions = {}): number {
  return draw(logits, position, options).id;
}

/** What normalises logits to log-probabilities: the largest, and ln Σ exp(logit − largest). */
interface Softmax {
  readonly max: number;
  readonly logSum: number;
}

/**
 * As {@link sample}; the softmax too where the draw has computed it.
 *
 * @param weigh computes the logits' exponentials; an engine does it faster
 */
export function draw(
  logits: ArrayLike<number>,
  position: number,
  options: SamplingOptions,
  weigh: (temperature: number) => Exponentials = (temperature) => exponentialsOf(logits, temperature),
): { id: number; softmax?: Softmax } {
  const { temperature = 0, topK = 0, topP = 1, minP = 0, seed = 0 } = options;
  checkRange(
    "temperature",
    temperature,
    temperature >= 0 && temperature < Number.POSITIVE_INFINITY,
    "0 or more",
  );
  checkRange("topK", topK, Number.isInteger(topK) && topK >= 0, "an integer of 0 or more");
  checkRange("topP", topP, topP > 0 && topP <= 1, "above 0 and at most 1");
  checkRange("minP", minP, minP >= 0 && minP <= 1, "0 to 1");
  checkRange("seed", seed, Number.isSafeInteger(seed), "a safe integer");

  // so low a temperature that dividing by it would overflow is greedy too
  if (temperature < 1e-6 || topK === 1) return { id: argmax(logits) };
  const exponentials = weigh(temperature);
  const { max, weights } = exponentials;
  // a logit of ∞ forces its token; others than numbers are an error
  if (!Number.isFinite(max)) return { id: argmax(logits) };

  let { total } = exponentials;
  const softmax = temperature === 1 ? { softmax: softmaxOf(exponentials) } : {};
  const u = uniform(seed, position);
  if (topK === 0 && topP === 1 && minP === 0) return { id: drawFrom(weights, u * total), ...softmax };

  // a little more than topP, since sums in another order differ in their last digits
  const mass = topP * total * (1 + 2 ** -30);
  const sorted = largest(weights, (floor, count, sum) =>
    topK > 0 ? count >= topK : sum >= mass || floor <= minP,
  );
  let kept = topK > 0 ? Math.min(topK, sorted.length) : sorted.length;
  if (kept < sorted.length) total = sum(sorted, kept);
  if (topP < 1) kept = nucleus(sorted, kept, topP * total);
  while (sorted[kept - 1]! < minP) kept--;
  const drawn = drawFrom(sorted.subarray(0, kept), u * sum(sorted, kept));
  return { id: tokenAt(drawn, sorted, weights), ...softmax };
}

/**
 * The largest weights, in descending order: those above a floor that is low enough, for to sort them all takes long.
 *
 * @param enough asked for ever lower floors, with the number of weights that reach them, and their sum
 */
function largest(
  weights: Float64Array,
  enough: (floor: number, count: number, sum: number) => boolean,
): Float64Array {
  let floor = 1 / 16;
  for (; floor > 0; floor *= floor) {
    let [count, sum] = [0, 0];
    for (let id = 0; id < weights.length; id++) {
      if (weights[id]! < floor) continue;
      count++;
      sum += weights[id]!;
    }
    if (enough(floor, count, sum)) break;
  }
  return weights
    .filter((weight) => weight > 0 && weight >= floor)
    .sort()
    .reverse();
}

function sum(weights: Float64Array, count: number): number {
  let total = 0;
  for (let i = 0; i < count; i++) total += weights[i]!;
  return total;
}

/** How many of the largest weights it takes to reach `target`, of `kept` that there are. */
function nucleus(sorted: Float64Array, kept: number, target: number): number {
  let reached = 0;
  for (let i = 0; i < kept; i++) {
    reached += sorted[i]!;
    if (reached >= target) return i + 1;
  }
  return kept;
}

/** The token whose weight stands at a place of the sorted ones: of equal weights, the lowest id comes first. */
function tokenAt(place: number, sorted: Float64Array, weights: Float64Array): number {
  const weight = sorted[place]!;
  let id = weights.indexOf(weight);
  for (let i = sorted.indexOf(weight); i < place; i++) id = weights.indexOf(weight, id + 1);
  return id;
}

/** In plain JavaScript. The weights lie where those of the next call will: there are two hundred thousand. */
export function exponentialsOf(logits: ArrayLike<number>, temperature: number): Exponentials {
  if (room.length !== logits.length) room = new Float64Array(logits.length);
  const max = logits[argmax(logits)]!;
  return { max, weights: room, total: exponentials(logits, max, temperature, room) };
}
let room = new Float64Array();

/** Index of the largest logit, the lowest on ties. */
export function argmax(logits: ArrayLike<number>): number {
  let best = -1;
  let max = Number.NEGATIVE_INFINITY;
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id]!;
    if (logit <= max) continue;
    if (Number.isNaN(logit)) throw new UsageError("logit is not a number", { where: `token id ${id}` });
    [best, max] = [id, logit];
  }
  if (best < 0) throw new UsageError("no token is allowed: all logits are −∞");
  return best;
}

/**
 * log-probabilities of `chosen` and of the `count` most probable tokens, in descending order.
 *
 * @param softmax of these logits, if it is known
 */
export function logProbabilities(
  logits: ArrayLike<number>,
  chosen: number,
  count: number,
  { max, logSum }: Softmax = softmaxOf(exponentialsOf(logits, 1)),
): { logprob: number; top: TokenProbability[] } {
  const top: TokenProbability[] = [];
  for (let id = 0; count > 0 && id < logits.length; id++) {
    const logprob = logits[id]! - max - logSum;
    if (top.length === count && logprob <= top[count - 1]!.logprob) continue;
    const at = top.findIndex((other) => other.logprob < logprob);
    top.splice(at < 0 ? top.length : at, 0, { id, logprob });
    if (top.length > count) top.pop();
  }
  return { logprob: logits[chosen]! - max - logSum, top };
}

/** @throws UsageError if a logit is NaN */
export function softmaxOf({ max, total }: Exponentials): Softmax {
  if (Number.isNaN(max)) throw new UsageError("a logit is not a number");
  return { max, logSum: log(total) };
}

/** The first index up to which the weights add up to more than `target`, or the last one that weighs anything. */
function drawFrom(weights: Float64Array, target: number): number {
  let reached = 0;
  let last = 0;
  for (let i = 0; i < weights.length; i++) {
    if (weights[i] === 0) continue;
    reached += weights[i]!;
    if (reached > target) return i;
    last = i;
  }
  return last;
}

function checkRange(name: string, value: number, holds: boolean, expected: string): void {
  if (!holds) throw new UsageError(`${name} is out of range`, { expected, found: value });
}
