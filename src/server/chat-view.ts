import type { TokenLogprobs } from "./logprobs.ts";
import { merge } from "./merge.ts";
import type { ServerSentEvent } from "./sse.ts";
import type { TurnEvent } from "./turn.ts";

/** What all objects of one answer say of it. */
export interface ChatAbout {
  readonly id: string;
  readonly created: number;
  readonly model: string;
}

export interface ChatUsage {
  prompt: number;
  /** Of the prompt, what had been computed before. */
  cached: number;
  generated: number;
  /** Of what was generated, what is reasoning. */
  reasoning: number;
}

type Choices = readonly AsyncGenerator<TurnEvent, void, void>[];
type Indexed = TurnEvent & { readonly index: number };
type NewId = (prefix: string) => string;

async function* indexed(
  events: AsyncGenerator<TurnEvent, void, void>,
  index: number,
): AsyncGenerator<Indexed, void, void> {
  for await (const event of events) yield { ...event, index };
}

/** The answer as one `chat.completion`. */
export async function completion(
  about: ChatAbout,
  choices: Choices,
  stop: AbortController,
  usage: ChatUsage,
  newId: NewId,
): Promise<object> {
  const answers = choices.map(() => new Answer());
  for await (const event of merge(choices.map(indexed), stop)) answers[event.index]!.add(event, newId);
  return {
    ...about,
    object: "chat.completion",
    choices: answers.map((answer, index) => ({ index, ...answer.toChoice() })),
    usage: usageObject(usage),
  };
}

class Answer {
  #content = "";
  #reasoning = "";
  readonly #calls: { readonly id: string; readonly name: string; arguments: string }[] = [];
  readonly #logprobs: TokenLogprobs[] = [];
  #finishReason = "stop";

  add(event: TurnEvent, newId: NewId): void {
    if (event.type === "content") {
      this.#content += event.delta;
      if (event.logprobs) this.#logprobs.push(event.logprobs);
    } else if (event.type === "reasoning") this.#reasoning += event.delta;
    else if (event.type === "call") this.#calls.push({ id: newId("call_"), name: event.name, arguments: "" });
    else if (event.type === "arguments") this.#calls.at(-1)!.arguments += event.delta;
    else this.#finishReason = event.finishReason;
  }

  toChoice(): object {
    const reasoning = this.#reasoning;
    const calls = this.#calls.map(({ id, name, arguments: text }) => ({
      id,
      type: "function",
      function: { name, arguments: text },
    }));
    return {
      message: {
        role: "assistant",
        content: this.#content === "" && calls.length > 0 ? null : this.#content,
        refusal: null,
        ...(reasoning !== "" && { reasoning, reasoning_content: reasoning }),
        ...(calls.length > 0 && { tool_calls: calls }),
      },
      logprobs: this.#logprobs.length > 0 ? { content: this.#logprobs, refusal: null } : null,
      finish_reason: this.#finishReason,
    };
  }
}

/** The answer as a stream of `chat.completion.chunk`s and `[DONE]`. */
export async function* chunks(
  about: ChatAbout,
  choices: Choices,
  stop: AbortController,
  usage: ChatUsage,
  newId: NewId,
  includeUsage: boolean,
): AsyncGenerator<ServerSentEvent, void, void> {
  const chunk = (choices: readonly object[]): { data: object } => ({
    data: { ...about, object: "chat.completion.chunk", choices, ...(includeUsage && { usage: null }) },
  });
  const choice = (
    index: number,
    delta: object,
    finishReason: string | null,
    logprobs?: TokenLogprobs,
  ): object => ({
    index,
    delta,
    logprobs: logprobs ? { content: [logprobs], refusal: null } : null,
    finish_reason: finishReason,
  });
  const calls = choices.map(() => -1); // index of the call that is being written, of each choice
  for (const index of choices.keys()) yield chunk([choice(index, { role: "assistant", content: "" }, null)]);
  for await (const event of merge(choices.map(indexed), stop)) {
    const { index } = event;
    if (event.type === "end") yield chunk([choice(index, {}, event.finishReason)]);
    else {
      if (event.type === "call") calls[index]!++;
      const delta = deltaOf(event, calls[index]!, newId);
      yield chunk([choice(index, delta, null, event.type === "content" ? event.logprobs : undefined)]);
    }
  }
  if (includeUsage) yield { data: { ...chunk([]).data, usage: usageObject(usage) } };
  yield { data: "[DONE]" };
}

function deltaOf(event: Exclude<TurnEvent, { type: "end" }>, call: number, newId: NewId): object {
  switch (event.type) {
    case "reasoning":
      return { reasoning: event.delta, reasoning_content: event.delta };
    case "content":
      return { content: event.delta };
    case "call": {
      const begun = { index: call, id: newId("call_"), type: "function" };
      return { tool_calls: [{ ...begun, function: { name: event.name, arguments: "" } }] };
    }
    case "arguments":
      return { tool_calls: [{ index: call, function: { arguments: event.delta } }] };
  }
}

export function usageObject({ prompt, cached, generated, reasoning }: ChatUsage): object {
  return {
    prompt_tokens: prompt,
    completion_tokens: generated,
    total_tokens: prompt + generated,
    prompt_tokens_details: { cached_tokens: cached },
    completion_tokens_details: { reasoning_tokens: reasoning },
  };
}
