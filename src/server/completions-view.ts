import type { FinishReason } from "../generation/generate.ts";
import type { TokenProbability } from "../generation/sampler.ts";
import type { ChatAbout } from "./chat-view.ts";
import { finite } from "./logprobs.ts";
import { merge } from "./merge.ts";
import type { ServerSentEvent } from "./sse.ts";

/** A token of the prompt or of the answer; the end of an answer may come without one. */
export interface CompletionPiece {
  readonly id?: number;
  readonly text: string;
  readonly isPrompt: boolean;
  readonly logprobs?: {
    readonly token: string;
    readonly logprob: number | null;
    readonly top: readonly (TokenProbability & { readonly token: string })[];
  };
  readonly finishReason?: FinishReason;
}

export interface CompletionUsage {
  readonly prompt: number;
  readonly cached: number;
  readonly generated: number;
}

type Choices = readonly AsyncGenerator<CompletionPiece, void, void>[];
type Indexed = CompletionPiece & { readonly index: number };

async function* indexed(
  pieces: AsyncGenerator<CompletionPiece, void, void>,
  index: number,
): AsyncGenerator<Indexed, void, void> {
  for await (const piece of pieces) yield { ...piece, index };
}

export async function textCompletion(
  about: ChatAbout,
  choices: Choices,
  stop: AbortController,
  usage: CompletionUsage,
): Promise<object> {
  const all = choices.map((): Indexed[] => []);
  for await (const piece of merge(choices.map(indexed), stop)) all[piece.index]!.push(piece);
  return {
    ...about,
    object: "text_completion",
    choices: all.map((pieces, index) => choiceObject(index, pieces, 0)),
    usage: usageObject(usage),
  };
}

export async function* textCompletionChunks(
  about: ChatAbout,
  choices: Choices,
  stop: AbortController,
  usage: CompletionUsage,
  includeUsage: boolean,
): AsyncGenerator<ServerSentEvent, void, void> {
  const chunk = (choices: readonly object[], usage: object | null): ServerSentEvent => ({
    data: { ...about, object: "text_completion", choices, ...(includeUsage && { usage }) },
  });
  const lengths = choices.map(() => 0);
  for await (const piece of merge(choices.map(indexed), stop)) {
    const { index, text } = piece;
    yield chunk([choiceObject(index, [piece], lengths[index]!)], null);
    lengths[index]! += text.length;
  }
  if (includeUsage) yield chunk([], usageObject(usage));
  yield { data: "[DONE]" };
}

/**
 * A choice in OpenAI's old shape. Its texts of tokens are ambiguous, so ids are added: `token_ids` of what was generated, and
 * with log-probabilities those of every token shown and of its rivals.
 *
 * @param offset characters that have been sent before
 */
function choiceObject(index: number, pieces: readonly CompletionPiece[], offset: number): object {
  const shown = pieces.flatMap(({ id, text, logprobs }) =>
    id !== undefined && logprobs ? [{ id, text, ...logprobs }] : [],
  );
  let at = offset;
  const offsets = shown.map(({ text }) => {
    at += text.length;
    return at - text.length;
  });
  const rivals = shown.map(({ id, token, logprob, top }) => {
    const others = top.filter((other) => other.id !== id);
    return logprob === null ? [] : [{ id, token, logprob }, ...others].sort((a, b) => b.logprob - a.logprob);
  });
  return {
    index,
    text: pieces.map(({ text }) => text).join(""),
    logprobs:
      shown.length === 0
        ? null
        : {
            tokens: shown.map(({ token }) => token),
            token_logprobs: shown.map(({ logprob }) => (logprob === null ? null : finite(logprob))),
            top_logprobs: rivals.map((all) =>
              all.length === 0 ? null : recordOf(all, ({ token }) => token),
            ),
            text_offset: offsets,
            token_ids: shown.map(({ id }) => id),
            top_token_ids: rivals.map((all) =>
              all.length === 0 ? null : recordOf(all, ({ id }) => String(id)),
            ),
          },
    token_ids: pieces.flatMap(({ id, isPrompt }) => (id === undefined || isPrompt ? [] : [id])),
    finish_reason: pieces.at(-1)?.finishReason ?? null,
  };
}

/** Log-probabilities by key; of several tokens with one text, that of the most probable. */
function recordOf<T extends TokenProbability>(
  all: readonly T[],
  key: (each: T) => string,
): Record<string, number> {
  return Object.fromEntries(all.toReversed().map((each) => [key(each), finite(each.logprob)]));
}

function usageObject({ prompt, cached, generated }: CompletionUsage): object {
  return {
    prompt_tokens: prompt,
    completion_tokens: generated,
    total_tokens: prompt + generated,
    prompt_tokens_details: { cached_tokens: cached },
  };
}
