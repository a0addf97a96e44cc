import { type Message, renderForCompletion, systemMessage } from "../../harmony/index.ts";
import type { Tokenizer } from "../../tokenizer/index.ts";
import { type LiveClient, ServerError } from "./client.ts";
import { Answer } from "./fields.ts";

/** The requests of `behaviour.ts`, and what every answer to them must be. */

export interface ServerUnderTest {
  readonly client: LiveClient;
  /** Name that requests carry. */
  readonly model: string;
  readonly tokenizer: Tokenizer;
  /** Tokens that an answer may take. */
  readonly maxTokens: number;
}

/** A case that went wrong, and perhaps why. */
export class Failed extends Error {
  readonly likely: string | undefined;
  constructor(detail: string, likely?: string) {
    super(detail);
    this.likely = likely;
  }
}

export const QUESTION = "What is 47 + 38?";

/** llama.cpp's and vLLM's /tokenize differ in names; each ignores the other's. */
export async function tokenize({ client, model }: ServerUnderTest, text: string): Promise<number[]> {
  const body = {
    ...{ model, content: text, add_special: false, parse_special: true },
    ...{ prompt: text, add_special_tokens: false },
  };
  const answer = new Answer(await client.post("/tokenize", body), "/tokenize");
  return answer
    .at("tokens")
    .list(1 << 16)
    .map((each) => each.integer(2 ** 31));
}

export function compareIds(
  found: readonly number[],
  expected: readonly number[],
  server: ServerUnderTest,
  cause: string,
): string {
  const at = expected.findIndex((id, i) => found[i] !== id);
  if (at < 0 && found.length === expected.length) return `${expected.length} ids`;
  const place = at < 0 ? expected.length : at;
  const show = (id: number | undefined): string =>
    id === undefined ? "the end" : `${id} ${quoted(server.tokenizer.decode([id]))}`;
  throw new Failed(
    `token ${place} is ${show(found[place])} instead of ${show(expected[place])}`,
    cause || undefined,
  );
}

/** The prompt that a chat becomes: by llama.cpp's /apply-template, else by the number of its tokens. */
export async function checkPrompt(
  server: ServerUnderTest,
  fields: object,
  developer: readonly Message[],
  instructions: readonly object[] = [],
): Promise<string> {
  const { client, model, tokenizer } = server;
  const messages = [...instructions, { role: "user", content: QUESTION }];
  const prompt = (date: string | undefined): number[] => {
    const system = systemMessage(date === undefined ? {} : { conversationStartDate: date });
    return renderForCompletion(tokenizer, [system, ...developer, { role: "user", content: QUESTION }]);
  };
  const cause = "The chat template differs from the prompts that the model was trained on.";
  const text = await client.post("/apply-template", { model, messages, ...fields }).then(
    (json) => new Answer(json, "/apply-template").at("prompt").text(),
    (error: unknown) => {
      if (error instanceof ServerError && error.isRefusal) return undefined;
      throw error;
    },
  );
  if (text !== undefined) {
    const date = /^Current date: (\d{4}-\d\d-\d\d)$/m.exec(text)?.[1];
    const expected = tokenizer.decode(prompt(date));
    if (text === expected) return "to the character";
    let at = 0;
    while (at < text.length && text[at] === expected[at]) at++;
    throw new Failed(
      `at character ${at} ${quoted(text.slice(at, at + 40))} instead of ${quoted(expected.slice(at, at + 40))}`,
      cause,
    );
  }
  const json = await client.post("/v1/chat/completions", { model, messages, ...fields, max_tokens: 1 });
  const count = new Answer(json, "/v1/chat/completions").at("usage", "prompt_tokens").integer(2 ** 31);
  const today = new Date().toISOString().slice(0, 10);
  const expected = [prompt(undefined), prompt(today)].map((ids) => ids.length);
  if (expected.includes(count)) return `${count} tokens, as many as expected`;
  throw new Failed(`${count} tokens, expected ${expected.join(", or with a date ")}`, cause);
}

export async function chat(
  { client, model, maxTokens }: ServerUnderTest,
  messages: readonly object[],
  fields: object = {},
): Promise<{ message: Answer; finish: string }> {
  const body = { model, messages, temperature: 0, max_tokens: maxTokens, ...fields };
  const choice = new Answer(await client.post("/v1/chat/completions", body), "/v1/chat/completions").at(
    "choices",
    0,
  );
  const finish = choice.at("finish_reason").textOrNone();
  if (finish === "length")
    throw new Failed(`no end within ${maxTokens} tokens`, "A stop token is missing: 200002, 200012.");
  return { message: choice.at("message"), finish };
}

/** A text in which no control token shows. */
export function cleanText(answer: Answer): string {
  const text = answer.textOrNone();
  const leaked = /<\|\w+\|>|^(analysis|assistant(final|commentary|analysis))/.exec(text);
  if (leaked === null) return text;
  throw new Failed(
    `${quoted(leaked[0])} shows in the text ${quoted(text)}`,
    "The answer isn't parsed as Harmony, or is parsed as text after control tokens were dropped.",
  );
}

export function reasoningOf(message: Answer): string {
  const names = ["reasoning_content", "reasoning", "thinking"];
  return names.map((name) => cleanText(message.at(name))).find((text) => text !== "") ?? "";
}

export function readCall(message: Answer): { name: string; arguments: string } {
  const calls = message.at("tool_calls");
  if (!calls.exists || calls.list(100).length === 0) {
    const content = message.at("content").textOrNone();
    throw new Failed(
      `no call: ${quoted(content)}`,
      /get_weather|"city"/.test(content)
        ? "The call is told by its recipient, on whatever channel; the server takes it for text."
        : "The functions may be missing from the prompt.",
    );
  }
  const call = calls.at(0, "function");
  const [name, text] = [call.at("name").text(), call.at("arguments").text()];
  if (name !== "get_weather")
    throw new Failed(`a call of ${quoted(name)}`, "The name is read with parts of the header around it.");
  const value = parsed(text);
  if (typeof (value as { city?: unknown } | null)?.city !== "string")
    throw new Failed(`arguments ${quoted(text)}`, "Arguments are JSON of the declared parameters.");
  return { name, arguments: text };
}

export function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export function quoted(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}
