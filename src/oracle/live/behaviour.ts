import { GptOssError } from "../../errors.ts";
import {
  developerMessage,
  functionTools,
  type Message,
  renderForCompletion,
  systemMessage,
} from "../../harmony/index.ts";
import type { Tokenizer } from "../../tokenizer/index.ts";
import { type LiveClient, ServerError } from "./client.ts";
import { Answer } from "./fields.ts";

/** The outcome of one case. */
export interface CaseResult {
  readonly name: string;
  readonly status: "ok" | "failed" | "not offered";
  /** What was seen. */
  readonly detail: string;
  /** What most likely lies behind a failure. */
  readonly cause?: string;
}

export interface ServerUnderTest {
  readonly client: LiveClient;
  /** Name that requests carry. */
  readonly model: string;
  readonly tokenizer: Tokenizer;
  /** Tokens that an answer may take. */
  readonly maxTokens: number;
}

class Failed extends Error {
  readonly likely: string | undefined;
  constructor(detail: string, likely?: string) {
    super(detail);
    this.likely = likely;
  }
}

type Case = readonly [name: string, run: (server: ServerUnderTest) => Promise<string>];

const QUESTION = "What is 47 + 38?";
const WEATHER = "Get the weather in Paris.";

const FUNCTIONS = [
  {
    name: "get_weather",
    description: "Get the weather.",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
  {
    name: "book_table",
    description: "Book a table.",
    parameters: {
      type: "object",
      properties: { people: { type: "integer" }, date: { type: "string" } },
      required: ["people", "date"],
    },
  },
];
const TOOLS = FUNCTIONS.map((each) => ({ type: "function", function: each }));

const PERSON = {
  type: "object",
  properties: { name: { type: "string" }, age: { type: "integer" } },
  required: ["name", "age"],
  additionalProperties: false,
};

/** What isn't a matter of numbers: ids, channels, calls, formats. */
export const CASES: readonly Case[] = [
  [
    "tokens of text",
    async (server) => {
      const text = "What's 47 + 38?\n\n  naïve 日本語 💖 DON'T";
      return compareIds(await tokenize(server, text), server.tokenizer.encode(text), server, "");
    },
  ],
  [
    "control tokens",
    async (server) => {
      const ids = renderForCompletion(server.tokenizer, [{ role: "user", content: QUESTION }]);
      const cause =
        "Control tokens aren't marked as such in the server's vocabulary, or texts get another one in front.";
      return compareIds(await tokenize(server, server.tokenizer.decode(ids)), ids, server, cause);
    },
  ],
  ["prompt of a chat", (server) => checkPrompt(server, {}, [])],
  [
    "prompt with instructions",
    (server) =>
      checkPrompt(
        server,
        {},
        [developerMessage("Answer briefly.")],
        [{ role: "system", content: "Answer briefly." }],
      ),
  ],
  [
    "prompt with functions",
    (server) =>
      checkPrompt(server, { tools: TOOLS }, [developerMessage(null, { tools: [functionTools(FUNCTIONS)] })]),
  ],
  [
    "channels",
    async (server) => {
      const { message, finish } = await chat(server, [{ role: "user", content: QUESTION }]);
      const content = cleanText(message.at("content"));
      const reasoning = reasoningOf(message);
      if (content === "" && finish === "stop")
        throw new Failed(
          "the answer is empty",
          "<|end|> is taken for the end of the turn: only <|return|> and <|call|> are.",
        );
      if (finish !== "stop")
        throw new Failed(`the answer ends with finish_reason ${finish}`, "A stop token is missing.");
      if (reasoning === "")
        throw new Failed(
          "no reasoning beside the content",
          "The server doesn't tell the analysis channel apart, or doesn't pass it on (reasoning_content, reasoning).",
        );
      return `reasoning of ${reasoning.length} characters, answer ${quoted(content)}`;
    },
  ],
  [
    "tool call",
    async (server) => {
      const { message, finish } = await chat(server, [{ role: "user", content: WEATHER }], { tools: TOOLS });
      const call = readCall(message);
      if (finish !== "tool_calls")
        throw new Failed(`a call with finish_reason ${finish}`, "Clients look for tool_calls.");
      return `${call.name}(${call.arguments})`;
    },
  ],
  [
    "tool result",
    async (server) => {
      const call = {
        id: "call_1",
        type: "function",
        function: { name: "get_weather", arguments: '{"city":"Paris"}' },
      };
      const result = '{"temperature":21,"sky":"cloudy"}';
      const messages = [
        { role: "user", content: WEATHER },
        { role: "assistant", content: null, tool_calls: [call] },
        { role: "tool", tool_call_id: "call_1", content: result },
      ];
      const { message } = await chat(server, messages, { tools: TOOLS });
      const content = cleanText(message.at("content"));
      if (/21|cloudy/.test(content)) return quoted(content);
      throw new Failed(
        `the answer says nothing of the result: ${quoted(content)}`,
        "The call or its result is left out of the prompt, or put in with quotes of its own around it.",
      );
    },
  ],
  [
    "JSON schema",
    async (server) => {
      const format = { type: "json_schema", json_schema: { name: "person", strict: true, schema: PERSON } };
      const messages = [{ role: "user", content: "Ann is 31 years old." }];
      const { message } = await chat(server, messages, { response_format: format });
      const content = cleanText(message.at("content"));
      const value = parsed(content);
      if (typeof value !== "object" || value === null)
        throw new Failed(
          `no JSON: ${quoted(content)}`,
          "The grammar is applied to Harmony's own tokens, or ends the answer at once; it belongs within the final channel.",
        );
      const { name, age, ...rest } = value as Record<string, unknown>;
      const fits = typeof name === "string" && Number.isInteger(age) && Object.keys(rest).length === 0;
      if (!fits)
        throw new Failed(`not as the schema says: ${quoted(content)}`, "response_format isn't enforced.");
      return quoted(content);
    },
  ],
  [
    "reasoning effort",
    async (server) => {
      const ask = async (reasoning_effort: string): Promise<string> =>
        reasoningOf(
          (await chat(server, [{ role: "user", content: QUESTION }], { reasoning_effort })).message,
        );
      const [low, high] = [await ask("low"), await ask("high")];
      const lengths = `${low.length} characters of reasoning at low, ${high.length} at high effort`;
      if (low === high) throw new Failed(lengths, "reasoning_effort isn't passed on to the system message.");
      if (low.length < high.length) return lengths;
      throw new Failed(lengths, "The efforts are mixed up, or the model pays no heed.");
    },
  ],
  [
    "responses",
    async ({ client, model, maxTokens }) => {
      const body = { model, input: QUESTION, max_output_tokens: maxTokens, temperature: 0 };
      const output = new Answer(await client.post("/v1/responses", body), "/v1/responses")
        .at("output")
        .list(100);
      const of = (type: string): Answer | undefined => output.find((item) => item.at("type").value === type);
      const message = of("message");
      if (message === undefined) throw new Failed("no message among the items");
      const content = cleanText(message.at("content", 0, "text"));
      if (of("reasoning") === undefined)
        throw new Failed(
          "no reasoning item",
          "The server drops the analysis channel: calls lose their thread.",
        );
      return `reasoning, and ${quoted(content)}`;
    },
  ],
];

export async function runCase([name, run]: Case, server: ServerUnderTest): Promise<CaseResult> {
  try {
    return { name, status: "ok", detail: await run(server) };
  } catch (error) {
    if (error instanceof Failed) {
      const { message: detail, likely } = error;
      return { name, status: "failed", detail, ...(likely === undefined ? {} : { cause: likely }) };
    }
    if (!(error instanceof GptOssError)) throw error;
    const refused = error instanceof ServerError && error.isRefusal;
    return { name, status: refused ? "not offered" : "failed", detail: error.message };
  }
}

/** llama.cpp's and vLLM's /tokenize differ in names; each ignores the other's. */
async function tokenize({ client, model }: ServerUnderTest, text: string): Promise<number[]> {
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

function compareIds(
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
async function checkPrompt(
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

async function chat(
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
function cleanText(answer: Answer): string {
  const text = answer.textOrNone();
  const leaked = /<\|\w+\|>|^(analysis|assistant(final|commentary|analysis))/.exec(text);
  if (leaked === null) return text;
  throw new Failed(
    `${quoted(leaked[0])} shows in the text ${quoted(text)}`,
    "The answer isn't parsed as Harmony, or is parsed as text after control tokens were dropped.",
  );
}

function reasoningOf(message: Answer): string {
  const names = ["reasoning_content", "reasoning", "thinking"];
  return names.map((name) => cleanText(message.at(name))).find((text) => text !== "") ?? "";
}

function readCall(message: Answer): { name: string; arguments: string } {
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

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}
