import { recipientOf } from "../agent/calls.ts";
import type { ChatToken } from "../generation/chat.ts";
import type { Message } from "../harmony/index.ts";
import type { Tokenizer } from "../tokenizer/index.ts";
import { calledFunction, type FunctionDeclaration } from "./conversation.ts";
import { type TokenLogprobs, tokenLogprobs } from "./logprobs.ts";

/** What a token adds to an answer, as clients see answers. */
export type TurnEvent =
  | { readonly type: "reasoning"; readonly delta: string }
  /** Text for the user. `logprobs` is there for each token of it, also where the token completes no character. */
  | { readonly type: "content"; readonly delta: string; readonly logprobs?: TokenLogprobs }
  /** A call begins. */
  | { readonly type: "call"; readonly name: string }
  | { readonly type: "arguments"; readonly delta: string }
  | { readonly type: "end"; readonly finishReason: "stop" | "length" | "tool_calls" };

export interface TurnOptions {
  readonly tokenizer: Tokenizer;
  readonly functions: readonly FunctionDeclaration[];
  readonly logprobs: boolean;
}

type Part = "reasoning" | "content" | "arguments";

/** Messages of one kind, which the model wrote one after the other, are shown with a blank line in between. */
const GAP = "\n\n";

/** Reads what the model writes as reasoning, content and calls. */
export async function* readTurn(
  tokens: AsyncIterable<ChatToken>,
  { tokenizer, functions, logprobs }: TurnOptions,
): AsyncGenerator<TurnEvent, void, void> {
  const shown = new Set<Part>();
  let isOpen = false; // whether a message is being written
  let isBlank = true; // whether nothing of it has been shown
  let called = false;
  for await (const token of tokens) {
    const { header, message, finishReason } = token;
    if (header) {
      const part = partOf({ ...header, content: "" }, functions);
      if (!isOpen) isBlank = true;
      if (!isOpen && part === "arguments") yield { type: "call", name: calledFunction(header, functions) };
      let { delta } = token;
      if (delta !== "" && isBlank) {
        if (shown.has(part) && part !== "arguments") delta = GAP + delta;
        shown.add(part);
        isBlank = false;
      }
      if (logprobs && part === "content" && !tokenizer.isSpecial(token.id))
        yield { type: part, delta, logprobs: tokenLogprobs(tokenizer, token) };
      else if (delta !== "") yield { type: part, delta };
      // a function without parameters may be called with nothing; clients parse the arguments all the same
      if (message && part === "arguments" && isBlank && finishReason !== "length")
        yield { type: part, delta: "{}" };
      isOpen = message === undefined;
      called ||= part === "arguments" && !isOpen;
    }
    if (finishReason)
      yield { type: "end", finishReason: finishReason === "stop" && called ? "tool_calls" : finishReason };
  }
}

/** Remarks on the commentary channel are for the user; so is what calls somebody although there is nobody to call. */
function partOf(message: Message, functions: readonly FunctionDeclaration[]): Part {
  if (functions.length > 0 && recipientOf(message) !== undefined) return "arguments";
  return message.channel === "analysis" ? "reasoning" : "content";
}
