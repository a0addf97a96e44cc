import { UsageError } from "../errors.ts";
import {
  developerMessage,
  type Message,
  type ReasoningEffort,
  type ResponseFormat,
  renderForCompletion,
  systemMessage,
  type ToolDescription,
  type ToolNamespace,
} from "../harmony/index.ts";
import { completionSteps } from "../harmony/render.ts";
import type { Tokenizer } from "../tokenizer/index.ts";
import { limitTokens } from "../tokenizer/limit.ts";
import type { Steps } from "../tokenizer/steps.ts";
import type { Tool } from "../tools/tool.ts";

/** What the conversation opens with. */
export interface Opening {
  readonly effort: ReasoningEffort;
  readonly date?: string | undefined;
  readonly instructions?: string | undefined;
  readonly tools: readonly Tool[];
  readonly responseFormat?: ResponseFormat | undefined;
}

/** The system message, and a developer message if there is anything to say in it. */
export function openingMessages({ effort, date, instructions, tools, responseFormat }: Opening): Message[] {
  const system = namespaces(tools.filter(({ placement }) => placement === "system"));
  const developer = namespaces(tools.filter(({ placement }) => placement === "developer"));
  const messages = [
    systemMessage({
      reasoningEffort: effort,
      ...(date !== undefined && { conversationStartDate: date }),
      ...(system.length > 0 && { tools: system }),
    }),
  ];
  const told = [instructions, ...tools.map((tool) => tool.instructions)].filter((text) => text !== undefined);
  const responseFormats = responseFormat ? [responseFormat] : [];
  if (told.length > 0 || developer.length > 0 || responseFormat)
    messages.push(
      developerMessage(told.length > 0 ? told.join("\n\n") : null, { tools: developer, responseFormats }),
    );
  return messages;
}

/** What the tools say of themselves; those of the same name as one. */
export function namespaces(tools: readonly Tool[]): ToolNamespace[] {
  const merged = new Map<string, ToolNamespace & { tools: ToolDescription[] }>();
  for (const { namespace } of tools) {
    const { name } = namespace;
    const known = merged.get(name);
    const twice = namespace.tools.find((tool) => known?.tools.some((other) => other.name === tool.name));
    if (twice || (known && namespace.tools.length === 0)) {
      throw new UsageError("two tools of the same name", {
        where: twice ? `${name}.${twice.name}` : name,
        hint: "Give one of them another name.",
      });
    }
    merged.set(name, { ...namespace, tools: [...(known?.tools ?? []), ...namespace.tools] });
  }
  return [...merged.values()];
}

/**
 * The conversation as the model is to see it: reasoning of earlier turns, and calls and replies on its channel, are gone
 * once they led to an answer; those of the current turn stay.
 */
function withoutSpentReasoning(messages: readonly Message[]): Message[] {
  const lastQuestion = messages.findLastIndex(({ role }) => role === "user");
  return messages.filter(({ channel }, index) => index > lastQuestion || channel !== "analysis");
}

/** Renders a conversation as the model is to see it, however long it is, step by step. */
export function renderShown(
  tokenizer: Tokenizer,
  opening: readonly Message[],
  messages: readonly Message[],
): Steps<number[]> {
  return completionSteps(tokenizer, [...opening, ...withoutSpentReasoning(messages)], {
    dropAnalysis: false,
  });
}

export interface Prompt {
  readonly ids: number[];
  /** Tokens of the opening: a position that every later prompt shares. */
  readonly opening: number;
  /** How many of the conversation's oldest messages aren't in it. */
  readonly dropped: number;
}

/**
 * Renders a conversation step by step, without its oldest turns if it is longer than `limit` tokens. So much is then dropped that half
 * of the limit is free: to drop a little each turn would mean to compute everything anew each turn.
 *
 * @param from messages ahead of this one have been dropped before
 * @throws UsageError if the latest turn alone is too long
 */
export function* renderPrompt(
  tokenizer: Tokenizer,
  opening: readonly Message[],
  messages: readonly Message[],
  from: number,
  limit: number,
): Steps<Prompt> {
  const tooLong = new UsageError("the conversation is longer than the model's context", {
    expected: `at most ${limit} tokens`,
    hint: "The latest message alone, with instructions and tools, is too long: shorten it.",
  });
  /** Undefined if it is longer than `most` tokens. */
  const render = function* (first: number, most = limit): Steps<number[] | undefined> {
    const limited = limitTokens(tokenizer, most, () => {
      throw tooLong;
    });
    try {
      const ids = yield* renderShown(limited, opening, messages.slice(first));
      return ids.length <= most ? ids : undefined;
    } catch (error) {
      if (error === tooLong) return undefined;
      throw error;
    }
  };
  const start = renderForCompletion(tokenizer, []).length;
  const common = { opening: (yield* renderShown(tokenizer, opening, [])).length - start };
  const whole = yield* render(from);
  if (whole) return { ids: whole, ...common, dropped: from };

  const questions = [...messages.keys()].filter((i) => i > from && messages[i]!.role === "user");
  // the less is dropped, the longer: the first that leaves half of the limit free
  let [low, high] = [0, questions.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (yield* render(questions[middle]!, Math.floor(limit / 2))) high = middle;
    else low = middle + 1;
  }
  const first = questions[low] ?? questions.at(-1);
  const ids = first === undefined ? undefined : yield* render(first);
  if (first === undefined || !ids) throw tooLong;
  return { ids, ...common, dropped: first };
}
