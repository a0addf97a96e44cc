import type { Exponentials, Tensor } from "../engine/ops.ts";
import { UsageError } from "../errors.ts";
import type { Hooks } from "../model/hooks.ts";
import type { KvCache } from "../model/kv-cache.ts";
import type { Transformer } from "../model/transformer.ts";
import type { Tokenizer } from "../tokenizer/index.ts";
import { draw, logProbabilities, type SamplingOptions, softmaxOf, type TokenProbability } from "./sampler.ts";
import { StopStrings } from "./stop-strings.ts";

type Logits = Float32Array | Float64Array;

export interface GenerateOptions extends SamplingOptions {
  /** Tokens to generate at most. Default: until the model's context is full. */
  readonly maxTokens?: number;
  /** Ids that end the generation; the id itself is still yielded, with no text. */
  readonly stopTokens?: readonly number[];
  /** Strings that end the generation; they and what follows are cut from the text. Needs a tokenizer. */
  readonly stop?: readonly string[];
  /** How many of the most probable tokens to report at each step. Default 0. */
  readonly topLogprobs?: number;
  /** Changes a copy of the logits [vocab] in place ahead of sampling: bias, bans, grammars. Log-probabilities stay the model's. */
  readonly adjustLogits?: (logits: Logits, position: number) => void;
  /**
   * Chooses the next token in place of `sample`, which it may call for the draw; temperature, top-k and the like are its own
   * affair then. Gets a copy of the logits [vocab] of its own, adjusted; −∞ marks what a format forbids. Returns the token's id.
   */
  readonly sampler?: (logits: Logits, position: number) => number;
  /** Prompt tokens per forward pass; it changes speed and memory, never a bit of the result. Default 512, or 128 beside others. */
  readonly chunkSize?: number;
  /** Positions, up to the prompt's end, that the cache is to be able to return to: see KvCache.checkpoint. */
  readonly checkpoints?: readonly number[];
  readonly hooks?: Hooks;
  /** Aborting rejects the pending step with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Called once, ahead of the prompt: how many of the sequence's tokens were in a cache already. */
  readonly onReuse?: (tokens: number) => void;
  /** Called after each chunk of the prompt. */
  readonly onPrefill?: (done: number, total: number) => void;
}

export interface GeneratedToken extends TokenProbability {
  /** The text that this token completes; empty in the middle of a character, and for stop tokens. */
  readonly text: string;
  /** Absolute position of the token. */
  readonly position: number;
  readonly topLogprobs: readonly TokenProbability[];
  /** Set on the last token: a stop token or string, or the limit. */
  readonly finishReason?: FinishReason;
}

interface Choice {
  readonly id: number;
  readonly logprob: number;
  readonly top: readonly TokenProbability[];
}

/** What a sampler of the caller's chose, if it was free to. */
function chosenBy(
  sampler: NonNullable<GenerateOptions["sampler"]>,
  logits: Logits,
  position: number,
): number {
  const id = sampler(logits, position);
  if (Number.isInteger(id) && logits[id]! > Number.NEGATIVE_INFINITY) return id;
  throw new UsageError("the sampler chose no token that is allowed", {
    where: `position ${position}`,
    expected: `an id below ${logits.length} whose logit is above −∞`,
    found: id,
  });
}

export type FinishReason = "stop" | "length";

/**
 * The decoding loop: prefill in chunks, then one token at a time.
 *
 * @param prompt ids that follow those in the cache; at least one
 * @param tokenizer turns tokens into text; without it, `text` stays empty
 * @yields each token as soon as it is known
 */
export async function* generate(
  transformer: Transformer,
  prompt: readonly number[],
  cache: KvCache,
  tokenizer: Tokenizer | undefined,
  options: GenerateOptions = {},
): AsyncGenerator<GeneratedToken, void, void> {
  const { config, ops } = transformer;
  const { maxTokens = Number.POSITIVE_INFINITY, stopTokens = [], stop = [], signal } = options;
  if (!(maxTokens >= 1))
    throw new UsageError("maxTokens is out of range", { expected: "1 or more", found: maxTokens });
  const { chunkSize } = options;
  if (chunkSize !== undefined && !(Number.isInteger(chunkSize) && chunkSize >= 1)) {
    throw new UsageError("chunkSize is out of range", {
      expected: "an integer of 1 or more",
      found: chunkSize,
    });
  }
  if (stop.length > 0 && tokenizer === undefined) throw new UsageError("stop strings need a tokenizer");
  const pass = { lastOnly: true, ...(options.hooks && { hooks: options.hooks }), ...(signal && { signal }) };

  const prefill = cache.length + prompt.length;
  if (prefill > config.maxContextLength) {
    throw new UsageError("prompt longer than the model's context", {
      expected: `at most ${config.maxContextLength} tokens`,
      found: prefill,
    });
  }
  const end = Math.min(config.maxContextLength, prefill + maxTokens);
  const stopIds = new Set(stopTokens);
  const stopStrings = new StopStrings(stop);
  const decoder = tokenizer?.stream();

  /** The token at a position. Logits are good until the next pass, perhaps another sequence's: they are used at once. */
  const choose = (logits: Tensor, position: number): Choice => {
    const row = ops.read(logits).data as Logits;
    const weigh = (temperature: number): Exponentials => ops.exponentials(logits, temperature);
    const { adjustLogits, sampler, topLogprobs = 0 } = options;
    const adjusted = adjustLogits || sampler ? row.slice() : row;
    adjustLogits?.(adjusted, position);
    const { id, softmax } = sampler
      ? { id: chosenBy(sampler, adjusted, position), softmax: undefined }
      : draw(adjusted, position, options, adjusted === row ? weigh : undefined);
    const known = adjusted === row ? softmax : undefined;
    return { id, ...logProbabilities(row, id, topLogprobs, known ?? softmaxOf(weigh(1))) };
  };

  const start = cache.length;
  options.onReuse?.(start);
  const cuts = [...(options.checkpoints ?? []), prefill].toSorted((a, b) => a - b);
  let choice: Choice | undefined;
  do {
    const at = cache.length;
    const most = at + (chunkSize ?? transformer.chunkSize(cache));
    const to = Math.min(most, cuts.find((cut) => cut > at) ?? prefill);
    const logits = await transformer.forward(prompt.slice(at - start, to - start), cache, pass);
    if (to === prefill) choice = choose(logits, prefill);
    if (options.checkpoints?.includes(to)) await cache.checkpoint();
    options.onPrefill?.(to - start, prompt.length);
  } while (choice === undefined);

  for (let position = prefill; ; position++) {
    signal?.throwIfAborted();
    const { id, logprob, top } = choice;
    const isStop = stopIds.has(id);
    let text = isStop || !decoder ? "" : stopStrings.push(decoder.push(id));
    const finishReason = isStop || stopStrings.found ? "stop" : position + 1 >= end ? "length" : undefined;
    if (finishReason && !stopStrings.found && decoder)
      text += stopStrings.push(decoder.end()) + stopStrings.end();
    yield { id, text, logprob, topLogprobs: top, position, ...(finishReason && { finishReason }) };
    if (finishReason) return;
    choice = choose(await transformer.forward([id], cache, pass), position + 1);
  }
}
