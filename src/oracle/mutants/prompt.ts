import type { ModelConfig } from "../../config.ts";
import { uniform } from "../../generation/random.ts";
import { MUTANTS } from "./index.ts";

/** Tokens beyond the first that shows a mutant: one would be too few to tell it from its like. */
const BEYOND = 64;

/** What the shortest prompt takes that shows every mutant well. */
export function tokensToShowAll(config: ModelConfig): number {
  const starts = MUTANTS.map(({ from }) => from?.(config) ?? 0).filter(Number.isFinite);
  return Math.max(...starts) + BEYOND;
}

/** A prompt of random ids: every row of the embedding is as likely, and no two runs of tokens repeat. */
export function promptToShowAll(
  config: ModelConfig,
  tokens: number = Math.max(300, tokensToShowAll(config)),
): number[] {
  // gpt-oss's special tokens are the last 1090 of 201088
  const ordinary = Math.floor(config.vocabSize * 0.99);
  return Array.from({ length: tokens }, (_, position) => Math.floor(uniform(1, position) * ordinary));
}
