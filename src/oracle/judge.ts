import type { HostTensor } from "../engine/ops.ts";
import { tokenAxis } from "./trace.ts";

/**
 * How many times the measured noise an operation may stray. The noise of two correct runs is equal in the mean, not in each
 * token: in golden/model, transformers' operations stray up to 2.9 times as far from float64 as ours do in the other bf16 dialect.
 */
const FACTOR = 5;
/** What a sum of some thousand float32 may stray beside that, in whatever order it is taken (4e-6 of the result). */
const FLOOR = 2 ** -18;

/** The size of an error beside that of the noise, token by token. */
export interface Judgement {
  /** rms(theirs − truth) / rms(truth), over the tokens that are judged. */
  readonly error: number;
  /** rms(ours − truth) / rms(truth), ours in the dialect nearest to theirs. */
  readonly noise: number;
  /** Tokens beyond the noise. */
  readonly wrong: readonly number[];
  /** Tokens judged. */
  readonly judged: number;
}

/**
 * Judges one activation by what a correct run makes of the same inputs, in float64 (`truth`) and in the dialect nearest to theirs
 * (`ours`). All three have the same layout.
 *
 * @param firstToken position of their first token
 * @param leaveOut tokens that can't be judged
 */
export function judge(
  point: string,
  theirs: HostTensor,
  ours: HostTensor,
  truth: HostTensor,
  { firstToken = 0, leaveOut = () => false }: { firstToken?: number; leaveOut?: (token: number) => boolean },
): Judgement {
  const axis = tokenAxis(point);
  const T = theirs.shape[axis]!;
  const heads = axis === 1 ? theirs.shape[0]! : 1;
  const width = theirs.data.length / (T * heads);
  const [error, noise, signal] = [new Float64Array(T), new Float64Array(T), new Float64Array(T)];
  for (let i = 0; i < theirs.data.length; i++) {
    const t = Math.floor(i / width) % T;
    const x = truth.data[i]!;
    error[t]! += squared(theirs.data[i]!, x);
    noise[t]! += squared(ours.data[i]!, x);
    if (Number.isFinite(x)) signal[t]! += x * x;
  }
  const tokens = Array.from({ length: T }, (_, t) => t).filter((t) => !leaveOut(t + firstToken));
  const mean = (sums: Float64Array): number => tokens.reduce((sum, t) => sum + sums[t]!, 0) / tokens.length;
  const [meanNoise, meanSignal] = [finite(mean(noise)), mean(signal)];
  const beyond = (t: number): number =>
    Math.sqrt(error[t]!) /
    (Math.sqrt(Math.max(finite(noise[t]!), meanNoise)) +
      (FLOOR / FACTOR) * Math.sqrt(Math.max(signal[t]!, meanSignal)));
  const wrong = tokens.filter((t) => error[t]! > 0 && !(beyond(t) <= FACTOR));
  const relative = (sums: Float64Array): number =>
    mean(sums) === 0 ? 0 : Math.sqrt(mean(sums) / meanSignal);
  return {
    error: tokens.length === 0 ? 0 : relative(error),
    noise: tokens.length === 0 ? 0 : relative(noise),
    wrong: wrong.map((t) => t + firstToken),
    judged: tokens.length,
  };
}

/** Infinite where one is NaN or infinite, and the other is not the same. */
function squared(a: number, b: number): number {
  if (a === b || (Number.isNaN(a) && Number.isNaN(b))) return 0;
  return Number.isFinite(a) && Number.isFinite(b) ? (a - b) ** 2 : Number.POSITIVE_INFINITY;
}

function finite(x: number): number {
  return Number.isFinite(x) ? x : 0;
}

/** How wide a choice between experts is: differences of logits up to this are near ties. */
export function tieWidth(noise: number, logits: HostTensor["data"]): number {
  return FACTOR * noise + FLOOR * Math.max(...Array.from(logits, Math.abs));
}
