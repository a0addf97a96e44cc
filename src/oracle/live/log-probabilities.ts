import type { OpenCheckpoint } from "../../checkpoint/open.ts";
import type { LoadOptions } from "../../generation/model.ts";
import type { DialectName } from "../../numerics/dialects.ts";
import { MUTANTS, type Mutant } from "../mutants/index.ts";
import type { MutantRunner } from "../mutants/runner.ts";
import { type Distance, isNoise, nearerBy, type PositionDistance, summarize } from "./agreement.ts";
import { createRunner, distancesFrom, type Run, scoresOf, type TextLikelihood } from "./reference.ts";
import type { Scorer, TextScores } from "./scores.ts";
import { type HarmonyText, spread } from "./texts.ts";

export interface AgreementOptions {
  readonly checkpoint: OpenCheckpoint;
  /** How our own runs are computed; the dialect is what the server is measured against. */
  readonly load: LoadOptions & { readonly dialect: DialectName };
  /** The dialect whose distance from that one says what rounding makes. */
  readonly noiseDialect: DialectName;
  /** Positions of each text that are asked for, where each takes a request. */
  readonly positions: number;
  /** Known bugs to try; default: those that are but another configuration. */
  readonly mutants?: readonly Mutant[];
  readonly onProgress?: (what: string) => void;
}

/** What the server's log-probabilities say of its model. */
export interface Agreement {
  readonly verdict: "agrees" | "explained" | "differs";
  readonly dialect: DialectName;
  readonly theirs: Distance;
  readonly noise: Distance;
  readonly noiseDialect: DialectName;
  readonly texts: readonly { readonly name: string; readonly distance: Distance }[];
  readonly likelihoods: readonly TextLikelihood[];
  /** Known bugs that were tried, the nearest first; none where the server agrees. */
  readonly explanations: readonly Explained[];
}

export interface Explained {
  readonly explanation: Pick<Mutant, "name" | "description" | "seen" | "fix">;
  readonly distance: Distance;
  /** By how many standard errors it is nearer to the server than the right model is, position by position. */
  readonly nearerBy: number;
  /** Whether what is left is no more than rounding. */
  readonly fits: boolean;
}

/** Standard errors from which on one model is held to be nearer than another. */
export const SIGNIFICANT = 3;

/** Compares a server's log-probabilities with ours; where they differ by more than rounding, with those of known bugs. */
export async function compareLogProbabilities(
  scorer: Scorer,
  texts: readonly HarmonyText[],
  options: AgreementOptions,
): Promise<Agreement> {
  const { load, noiseDialect, onProgress = () => {} } = options;
  const atOnce = scorer.way === "echo" || scorer.way === "prompt_logprobs";
  const positions = texts.map(({ ids }) => spread(ids.length, atOnce ? ids.length : options.positions));
  const theirs: TextScores[] = [];
  for (const [i, text] of texts.entries()) {
    onProgress(`asking the server about ${text.name}`);
    theirs.push(await scorer.score(text.ids, positions[i]!));
  }
  onProgress(`computing ${noiseDialect}`);
  const noisy = await withRunner(options, (runner) =>
    scoresOf({ runner, dialect: noiseDialect }, texts, positions, scorer.top),
  );
  return withRunner(options, async (runner) => {
    onProgress(`computing ${load.dialect}`);
    const right: Run = { runner, dialect: load.dialect };
    const { distances, likelihoods } = await distancesFrom(right, texts, [theirs, noisy]);
    const [ours, floor] = distances as [PositionDistance[], PositionDistance[]];
    const [distance, noise] = [summarize(ours), summarize(floor)];
    const base = {
      ...{ dialect: load.dialect, theirs: distance, noise, noiseDialect, likelihoods },
      texts: perText(texts, positions, ours),
    };
    if (isNoise(distance, noise)) return { verdict: "agrees", ...base, explanations: [] };
    const explanations = await explain(right, texts, theirs, { ours, noise }, options);
    const [nearest] = explanations;
    const explained = nearest?.fits && nearest.nearerBy > SIGNIFICANT;
    return { verdict: explained ? "explained" : "differs", ...base, explanations };
  });
}

/** Known bugs that are compared on all texts: the nearest ones on the first of several hundred tokens. */
const FINALISTS = 8;

async function explain(
  right: Run,
  texts: readonly HarmonyText[],
  theirs: readonly TextScores[],
  { ours, noise }: { readonly ours: readonly PositionDistance[]; readonly noise: Distance },
  { checkpoint, mutants, onProgress = () => {} }: AgreementOptions,
): Promise<Explained[]> {
  const { config } = checkpoint;
  const possible = (mutants ?? CONFIG_MUTANTS).filter(({ from }) => (from?.(config) ?? 0) < 128);
  const run = async (mutant: Mutant, only?: number): Promise<PositionDistance[]> => {
    onProgress(`computing ${mutant.name}`);
    const pick = <T>(list: readonly T[]): readonly T[] => (only === undefined ? list : [list[only]!]);
    return (await distancesFrom({ ...right, mutant }, pick(texts), [pick(theirs)])).distances[0]!;
  };
  const trial = Math.max(
    texts.findIndex(({ ids }) => ids.length >= 256),
    0,
  );
  const tried: { mutant: Mutant; kl: number }[] = [];
  for (const mutant of possible) tried.push({ mutant, kl: summarize(await run(mutant, trial)).kl });
  tried.sort((a, b) => a.kl - b.kl);
  const explanations: Explained[] = [];
  for (const { mutant } of tried.slice(0, FINALISTS)) {
    const distances = await run(mutant);
    const distance = summarize(distances);
    const { name, description, seen, fix } = mutant;
    explanations.push({
      explanation: { name, description, seen, fix },
      ...{ distance, nearerBy: nearerBy(distances, ours), fits: isNoise(distance, noise) },
    });
  }
  return explanations.sort((a, b) => a.distance.kl - b.distance.kl);
}

/** Known bugs that are but another configuration: as fast as the model itself. */
const CONFIG_MUTANTS: readonly Mutant[] = MUTANTS.filter(
  ({ change }) => change.config && !change.ops && !change.weights,
);

async function withRunner<T>(
  { checkpoint, load }: Pick<AgreementOptions, "checkpoint"> & { readonly load: LoadOptions },
  use: (runner: MutantRunner) => Promise<T>,
): Promise<T> {
  await using runner = createRunner(checkpoint, load);
  return await use(runner);
}

function perText(
  texts: readonly HarmonyText[],
  positions: readonly (readonly number[])[],
  distances: readonly PositionDistance[],
): { name: string; distance: Distance }[] {
  let at = 0;
  return texts.map(({ name }, i) => {
    const from = at;
    at += positions[i]!.length;
    return { name, distance: summarize(distances.slice(from, at)) };
  });
}

/** The likelihoods alone, without a server. */
export async function referenceLikelihoods(
  checkpoint: OpenCheckpoint,
  load: LoadOptions,
  texts: readonly HarmonyText[],
): Promise<TextLikelihood[]> {
  return withRunner({ checkpoint, load }, async (runner) => {
    const run = { runner, dialect: load.dialect ?? "int16" };
    return (await distancesFrom(run, texts, [])).likelihoods;
  });
}
