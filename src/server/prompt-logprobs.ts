import type { Model } from "../generation/model.ts";
import { logProbabilities, type TokenProbability } from "../generation/sampler.ts";

/** A token of a prompt, and how probable the model found it; null for the first one, which nothing goes before. */
export interface PromptToken {
  readonly id: number;
  readonly logprob: number | null;
  readonly topLogprobs: readonly TokenProbability[];
}

/** Positions whose logits are held at a time: each is a number for each token of the vocabulary. */
const CHUNK = 32;

/** What the model makes of a prompt's own tokens. */
export async function* scorePrompt(
  { transformer }: Model,
  ids: readonly number[],
  count: number,
  signal: AbortSignal,
): AsyncGenerator<PromptToken, void, void> {
  using cache = transformer.createCache();
  yield { id: ids[0]!, logprob: null, topLogprobs: [] };
  const { vocabSize } = transformer.config;
  for (let from = 0; from < ids.length - 1; from += CHUNK) {
    const chunk = ids.slice(from, Math.min(from + CHUNK, ids.length - 1));
    const { data } = transformer.ops.read(await transformer.forward(chunk, cache, { signal }));
    for (const i of chunk.keys()) {
      const id = ids[from + i + 1]!;
      const row = data.subarray(i * vocabSize, (i + 1) * vocabSize);
      const { logprob, top } = logProbabilities(row, id, count);
      yield { id, logprob, topLogprobs: top };
    }
    await new Promise((resolve) => setTimeout(resolve)); // other requests have their turn
  }
}
