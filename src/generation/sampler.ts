import { UsageError } from "../errors.ts";
import { exp, log } from "../numerics/elementary.ts";
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

/** As {@link sample}; the softmax too where the draw has computed it. */
export function draw(
  logits: ArrayLike<number>,
  position: number,
  options: SamplingOptions,
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

  const best = argmax(logits);
  const max = logits[best]!;
  // so low a temperature that dividing by it would overflow is greedy too; a logit of ∞ forces its token
  if (temperature < 1e-6 || topK === 1 || max === Number.POSITIVE_INFINITY) return { id: best };

  const weights = weightsOf(logits.length);
  let total = 0;
  for (let id = 0; id < weights.length; id++) {
    const weight = exp((logits[id]! - max) / temperature); // the most probable token's is 1
    weights[id] = weight;
    total += weight;
  }
  const softmax = temperature === 1 ? { softmax: { max, logSum: log(total) } } : {};
  const u = uniform(seed, position);
  if (topK === 0 && topP === 1 && minP === 0) return { id: drawFrom(weights, u * total), ...softmax };

  // a token below this could not be in the nucleus: all of them together hold less than 1 − topP
  const floor = topP < 1 && topK === 0 ? ((1 - topP) / logits.length) * total : 0;
  let candidates: Candidate[] = [];
  for (const [id, weight] of weights.entries()) {
    if (weight > 0 && weight >= floor) candidates.push({ id, weight });
  }
  candidates.sort((a, b) => b.weight - a.weight || a.id - b.id);
  if (topK > 0 && topK < candidates.length) {
    candidates.length = topK;
    total = sum(candidates);
  }
  if (topP < 1) candidates = nucleus(candidates, topP * total);
  candidates = candidates.filter(({ weight }) => weight >= minP);
  const kept = Float64Array.from(candidates, ({ weight }) => weight);
  return { id: candidates[drawFrom(kept, u * sum(candidates))]!.id, ...softmax };
}

/** Room for a number a token, the same at each draw: there are two hundred thousand. */
function weightsOf(vocabSize: number): Float64Array {
  if (room.length !== vocabSize) room = new Float64Array(vocabSize);
  return room;
}
let room = new Float64Array();

/** Index of the largest logit, the lowest on ties. */
export function argmax(logits: ArrayLike<number>): number {
  let best = -1;
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id]!;
    if (Number.isNaN(logit)) throw new UsageError("logit is not a number", { where: `token id ${id}` });
    if (logit > (best < 0 ? Number.NEGATIVE_INFINITY : logits[best]!)) best = id;
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
  { max, logSum }: Softmax = softmaxOf(logits),
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

function softmaxOf(logits: ArrayLike<number>): Softmax {
  const max = logits[argmax(logits)]!;
  let total = 0;
  for (let id = 0; id < logits.length; id++) total += exp(logits[id]! - max);
  return { max, logSum: log(total) };
}

interface Candidate {
  readonly id: number;
  /** Not normalised: the most probable token's is 1. */
  readonly weight: number;
}

/** The shortest prefix whose weights reach `target`. */
function nucleus(sorted: Candidate[], target: number): Candidate[] {
  let reached = 0;
  const end = sorted.findIndex(({ weight }) => {
    reached += weight;
    return reached >= target;
  });
  return end < 0 ? sorted : sorted.slice(0, end + 1);
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

function sum(candidates: readonly Candidate[]): number {
  return candidates.reduce((total, { weight }) => total + weight, 0);
}

function checkRange(name: string, value: number, holds: boolean, expected: string): void {
  if (!holds) throw new UsageError(`${name} is out of range`, { expected, found: value });
}
