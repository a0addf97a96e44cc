import { UsageError } from "../errors.ts";
import {
  createParser,
  type Header,
  type Message,
  type RenderOptions,
  renderForCompletion,
} from "../harmony/index.ts";
import type { Tokenizer } from "../tokenizer/index.ts";
import type { GeneratedToken, GenerateOptions } from "./generate.ts";
import { StopStrings } from "./stop-strings.ts";
import { generateStructured, type StructuredOptions } from "./structured.ts";

/** What generates: a Model, or a Session that keeps its cache from turn to turn. */
export interface TokenSource {
  requireTokenizer(): Tokenizer;
  generate(prompt: readonly number[], options?: GenerateOptions): AsyncIterable<GeneratedToken>;
}

/** One generated token, and what it adds to the message that the model is writing. */
export interface ChatToken extends GeneratedToken {
  /** Header of the message that the text belongs to: `analysis` is reasoning, `final` the answer. */
  readonly header: Header | undefined;
  /** Content that this token completes; control tokens and headers add none. */
  readonly delta: string;
  /** A message that this token ends. */
  readonly message?: Message;
  /** What wasn't Harmony at this token, and was mended. */
  readonly repairs?: readonly string[];
}

/**
 * Answers a conversation: renders it in Harmony, generates, and tells reasoning and answer apart.
 *
 * Stop strings count in the final channel only: elsewhere they could cut a header or the reasoning.
 *
 * @param messages the conversation so far, ending with what the model is to answer
 * @yields every token until `<|return|>`, `<|call|>` or the limit
 */
export function chat(
  source: TokenSource,
  messages: readonly Message[],
  options: GenerateOptions & RenderOptions & StructuredOptions = {},
): AsyncGenerator<ChatToken, void, void> {
  const prompt = renderForCompletion(source.requireTokenizer(), messages, options);
  return complete(source, prompt, options);
}

/** As {@link chat}, for a conversation that is rendered already, up to and including `<|start|>assistant`. */
export async function* complete(
  source: TokenSource,
  prompt: readonly number[],
  options: GenerateOptions & StructuredOptions = {},
): AsyncGenerator<ChatToken, void, void> {
  const { stop = [], ...rest } = options;
  const stops = new StopStrings(stop);
  let answer = ""; // what was shown of the final message
  const parser = createParser(source.requireTokenizer(), { role: "assistant" });

  if (options.responseFormat && stop.length > 0) {
    throw new UsageError("stop strings and a format of the answer exclude each other");
  }

  for await (const token of generateStructured(source, prompt, rest)) {
    const events = parser.push(token.id);
    if (token.finishReason) events.push(...parser.end());
    let header = parser.header;
    let delta = "";
    let message: Message | undefined;
    const repairs: string[] = [];
    for (const event of events) {
      if (event.type === "repair") repairs.push(event.what);
      if (event.type === "text") delta += event.delta;
      if (event.type === "header") header = event.header;
      if (event.type === "end") {
        message = event.message;
        header ??= event.message;
      }
    }
    if (header?.channel === "final" && stop.length > 0) {
      delta = stops.push(delta) + (message && !stops.found ? stops.end() : "");
      answer += delta;
      if (stops.found) {
        yield { ...token, finishReason: "stop", header, delta, message: { ...header, content: answer } };
        return;
      }
    }
    yield { ...token, header, delta, ...(message && { message }), ...(repairs.length > 0 && { repairs }) };
  }
}
