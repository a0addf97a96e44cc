import type { OpenCheckpoint } from "../../checkpoint/open.ts";
import type { LoadOptions } from "../../generation/model.ts";
import type { DialectName } from "../../numerics/dialects.ts";
import { type Distance, isNoise, nearerBy, type PositionDistance, summarize } from "./agreement.ts";
import {
  distancesFrom,
  EXPLANATIONS,
  type Explanation,
  type Run,
  scoresOf,
  type TextLikelihood,
} from "./reference.ts";
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
  readonly explanations?: readonly Explanation[];
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
  readonly explanation: Pick<Explanation, "name" | "description" | "seen" | "fix">;
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
  const { checkpoint, load, noiseDialect, onProgress = () => {} } = options;
  const atOnce = scorer.way === "echo" || scorer.way === "prompt_logprobs";
  const positions = texts.map(({ ids }) => spread(ids.length, atOnce ? ids.length : options.positions));
  const theirs: TextScores[] = [];
  for (const [i, text] of texts.entries()) {
    onProgress(`asking the server about ${text.name}`);
    theirs.push(await scorer.score(text.ids, positions[i]!));
  }
  const right: Run = { checkpoint, options: load };
  onProgress(`computing ${noiseDialect}`);
  const noisy = await scoresOf(
    { checkpoint, options: { ...load, dialect: noiseDialect } },
    texts,
    positions,
    scorer.top,
  );
  onProgress(`computing ${load.dialect}`);
  const { distances, likelihoods } = await distancesFrom(right, texts, [theirs, noisy]);
  const [ours, floor] = distances as [PositionDistance[], PositionDistance[]];
  const noise = summarize(floor);
  const base = {
    ...{ dialect: load.dialect, theirs: summarize(ours), noise, noiseDialect, likelihoods },
    texts: perText(texts, positions, ours),
  };
  if (isNoise(base.theirs, noise)) return { verdict: "agrees", ...base, explanations: [] };
  const explanations: Explained[] = [];
  for (const explanation of options.explanations ?? EXPLANATIONS) {
    onProgress(`computing ${explanation.name}`);
    const run = await distancesFrom({ ...right, explanation }, texts, [theirs]);
    const distance = summarize(run.distances[0]!);
    const { name, description, seen, fix } = explanation;
    explanations.push({
      explanation: { name, description, seen, fix },
      ...{ distance, nearerBy: nearerBy(run.distances[0]!, ours), fits: isNoise(distance, noise) },
    });
  }
  explanations.sort((a, b) => a.distance.kl - b.distance.kl);
  const [nearest] = explanations;
  const explained = nearest?.fits && nearest.nearerBy > SIGNIFICANT;
  return { verdict: explained ? "explained" : "differs", ...base, explanations };
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
  return (await distancesFrom({ checkpoint, options: load }, texts, [])).likelihoods;
}
