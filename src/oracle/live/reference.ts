import type { OpenCheckpoint } from "../../checkpoint/open.ts";
import { quantizeDense } from "../../checkpoint/quantize.ts";
import type { LoadOptions } from "../../generation/model.ts";
import { logProbabilities } from "../../generation/sampler.ts";
import type { DialectName } from "../../numerics/dialects.ts";
import { exp, log } from "../../numerics/elementary.ts";
import type { Mutant } from "../mutants/mutant.ts";
import { MutantRunner } from "../mutants/runner.ts";
import { distanceAt, type PositionDistance } from "./agreement.ts";
import type { TextScores, TopScores } from "./scores.ts";
import type { HarmonyText } from "./texts.ts";

/** One of our runs: the checkpoint in some dialect, perhaps with a known bug. */
export interface Run {
  readonly runner: MutantRunner;
  readonly dialect: DialectName;
  readonly mutant?: Mutant;
}

/** Runs a checkpoint, its matrices quantised if that is asked for. */
export function createRunner(
  { config, weights }: OpenCheckpoint,
  { dense, ...engine }: LoadOptions,
): MutantRunner {
  return new MutantRunner({ config, weights: dense === "q8_0" ? quantizeDense(weights) : weights }, engine);
}

/** The logits behind each position of a text but the last. */
type Visit = (text: number, position: number, logits: ArrayLike<number>) => void;

async function visitTexts(
  { runner, dialect, mutant }: Run,
  texts: readonly HarmonyText[],
  visit: Visit,
): Promise<void> {
  for (const [t, { ids }] of texts.entries()) {
    const { data, shape } = await runner.logits(ids, dialect, mutant ? [mutant.change] : []);
    const vocabSize = shape[1]!;
    for (let i = 0; i < ids.length - 1; i++) visit(t, i, data.subarray(i * vocabSize, (i + 1) * vocabSize));
  }
}

/** What a run would tell as a server: its most probable tokens at these positions. */
export async function scoresOf(
  run: Run,
  texts: readonly HarmonyText[],
  positions: readonly (readonly number[])[],
  top: number,
): Promise<TextScores[]> {
  const wanted = positions.map((each) => new Set(each));
  const scores = texts.map(() => new Map<number, TopScores>());
  await visitTexts(run, texts, (t, position, logits) => {
    if (!wanted[t]!.has(position)) return;
    const best = logProbabilities(logits, 0, top).top;
    scores[t]!.set(position, new Map(best.map(({ id, logprob }) => [id, logprob])));
  });
  return scores;
}

/** How likely a run finds the texts. */
export interface TextLikelihood {
  readonly name: string;
  /** Tokens that have one before them, and the mean of −ln p over them, in nats. */
  readonly tokens: number;
  readonly nll: number;
  /** The same for the assistant's tokens. */
  readonly assistantTokens: number;
  readonly assistantNll: number;
}

/** Distances of several sets of scores from one run, in the order of texts and positions; and the run's likelihoods. */
export async function distancesFrom(
  run: Run,
  texts: readonly HarmonyText[],
  sets: readonly (readonly TextScores[])[],
): Promise<{ distances: PositionDistance[][]; likelihoods: TextLikelihood[] }> {
  const distances = sets.map((): PositionDistance[] => []);
  const sums = texts.map(() => ({ all: 0, assistant: 0 }));
  await visitTexts(run, texts, (t, position, logits) => {
    const { best, logprob } = normalized(logits);
    const next = position + 1;
    const nll = -logprob(texts[t]!.ids[next]!);
    sums[t]!.all += nll;
    if (texts[t]!.assistant[next]) sums[t]!.assistant += nll;
    for (const [i, set] of sets.entries()) {
      const scores = set[t]?.get(position);
      if (scores) distances[i]!.push(distanceAt(scores, logprob, best));
    }
  });
  const likelihoods = texts.map(({ name, ids, assistant }, t) => {
    const assistantTokens = assistant.filter((is, i) => is && i > 0).length;
    const { all, assistant: theirs } = sums[t]!;
    return {
      ...{ name, tokens: ids.length - 1, nll: all / (ids.length - 1) },
      ...{ assistantTokens, assistantNll: theirs / Math.max(assistantTokens, 1) },
    };
  });
  return { distances, likelihoods };
}

function normalized(logits: ArrayLike<number>): { best: number; logprob: (id: number) => number } {
  let best = 0;
  for (let id = 1; id < logits.length; id++) if (logits[id]! > logits[best]!) best = id;
  let sum = 0;
  for (let id = 0; id < logits.length; id++) sum += exp(logits[id]! - logits[best]!);
  const logSum = logits[best]! + log(sum);
  return { best, logprob: (id) => logits[id]! - logSum };
}
