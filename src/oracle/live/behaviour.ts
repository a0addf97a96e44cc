import { GptOssError } from "../../errors.ts";
import { developerMessage, functionTools, renderForCompletion } from "../../harmony/index.ts";
import { ServerError } from "./client.ts";
import { Answer } from "./fields.ts";
import {
  chat,
  checkPrompt,
  cleanText,
  compareIds,
  Failed,
  parsed,
  QUESTION,
  quoted,
  readCall,
  reasoningOf,
  type ServerUnderTest,
  tokenize,
} from "./requests.ts";

/** The outcome of one case. */
export interface CaseResult {
  readonly name: string;
  readonly status: "ok" | "failed" | "not offered";
  /** What was seen. */
  readonly detail: string;
  /** What most likely lies behind a failure. */
  readonly cause?: string;
}

type Case = readonly [name: string, run: (server: ServerUnderTest) => Promise<string>];

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
