import { describe, expect, it } from "vitest";
import { renderForCompletion, systemMessage } from "../../../src/harmony/index.ts";
import { CASES, type CaseResult, runCase } from "../../../src/oracle/live/behaviour.ts";
import { LiveClient } from "../../../src/oracle/live/client.ts";
import { tokenizer } from "../../support/scripted-model.ts";
import { fakeServer, type Got, Refusal, type Route } from "./fake-server.ts";

async function check(name: string, routes: Readonly<Record<string, Route>>): Promise<CaseResult> {
  await using server = await fakeServer(routes);
  const about = { client: new LiveClient(server.url), model: "m", tokenizer, maxTokens: 100 };
  return await runCase(CASES.find(([each]) => each === name)!, about);
}

/** A server whose chat answers like this. */
const chat = (message: object, finish_reason = "stop"): Readonly<Record<string, Route>> => ({
  "/v1/chat/completions": () => ({ choices: [{ message, finish_reason }] }),
});
const call = (name: string, text: string): object => ({
  content: null,
  tool_calls: [{ id: "1", type: "function", function: { name, arguments: text } }],
});

describe("the check of a server's", () => {
  it.each<[string, object, string, CaseResult["status"], RegExp]>([
    ["channels", { content: "85", reasoning_content: "40+30" }, "stop", "ok", /answer "85"/],
    ["channels", { content: "85", reasoning: "40+30" }, "stop", "ok", /answer "85"/],
    ["channels", { content: "85" }, "stop", "failed", /no reasoning.*analysis channel apart/s],
    ["channels", { content: "" }, "stop", "failed", /the answer is empty.*<\|end\|> is taken for the end/s],
    [
      "channels",
      { content: "analysis40+30assistantfinal85" },
      "stop",
      "failed",
      /"analysis" shows in the text.*as text/s,
    ],
    ["channels", { content: "<|channel|>final" }, "stop", "failed", /"<\|channel\|>" shows/],
    ["channels", { content: "85", reasoning: "x" }, "length", "failed", /no end within 100 tokens.*200002/s],
    ["channels", { content: 7 }, "stop", "failed", /message\.content\): expected a text, found 7/],
    ["tool call", call("get_weather", '{"city":"Paris"}'), "tool_calls", "ok", /get_weather\(/],
    ["tool call", call("get_weather", '{"city":"Paris"}'), "stop", "failed", /finish_reason stop/],
    [
      "tool call",
      call("get_weather<|channel|>commentary", "{}"),
      "tool_calls",
      "failed",
      /parts of the header/,
    ],
    ["tool call", call("get_weather", "Paris"), "tool_calls", "failed", /arguments "Paris"/],
    ["tool call", { content: '{"city":"Paris"}' }, "stop", "failed", /no call.*told by its recipient/s],
    ["tool result", { content: "It is 21 degrees." }, "stop", "ok", /21/],
    ["tool result", { content: "Hello." }, "stop", "failed", /nothing of the result.*quotes of its own/s],
    ["JSON schema", { content: '{"name":"Ann","age":31}' }, "stop", "ok", /Ann/],
    [
      "JSON schema",
      { content: '{"name":"Ann"}' },
      "stop",
      "failed",
      /not as the schema says.*isn't enforced/s,
    ],
    ["JSON schema", { content: "Ann" }, "stop", "failed", /no JSON.*final channel/s],
  ])("%s: %o, %s", async (name, message, finish, status, seen) => {
    const result = await check(name, chat(message, finish));
    expect(result.status).toBe(status);
    expect(`${result.detail}\n${result.cause ?? ""}`).toMatch(seen);
  });
  it("tool result puts the call and its result into the request", async () => {
    await using server = await fakeServer(chat({ content: "21" }));
    const about = { client: new LiveClient(server.url), model: "m", tokenizer, maxTokens: 100 };
    await runCase(CASES.find(([name]) => name === "tool result")!, about);
    const { messages, tools } = server.got[0]!.body;
    expect(messages.map(({ role }: { role: string }) => role)).toEqual(["user", "assistant", "tool"]);
    expect(messages[2].tool_call_id).toBe(messages[1].tool_calls[0].id);
    expect(tools).toHaveLength(2);
  });
  it("reasoning effort wants more of it at high", async () => {
    const answer =
      (lengths: Record<string, number>): Route =>
      ({ body }) => ({
        choices: [
          {
            finish_reason: "stop",
            message: { content: "85", reasoning: "x".repeat(lengths[body.reasoning_effort]!) },
          },
        ],
      });
    const ask = (low: number, high: number) =>
      check("reasoning effort", { "/v1/chat/completions": answer({ low, high }) });
    expect(await ask(5, 50)).toMatchObject({ status: "ok" });
    expect(await ask(5, 5)).toMatchObject({
      status: "failed",
      cause: expect.stringMatching(/isn't passed on/),
    });
    expect(await ask(50, 5)).toMatchObject({ status: "failed", cause: expect.stringMatching(/mixed up/) });
  });
  it("responses wants reasoning beside the message", async () => {
    const message = { type: "message", content: [{ type: "output_text", text: "85" }] };
    const ask = (output: unknown[]) => check("responses", { "/v1/responses": () => ({ output }) });
    expect(await ask([{ type: "reasoning" }, message])).toMatchObject({ status: "ok" });
    expect(await ask([message])).toMatchObject({ status: "failed", detail: "no reasoning item" });
    expect(await ask([])).toMatchObject({ status: "failed", detail: "no message among the items" });
  });
  it("tokens tells the first that differs", async () => {
    const text = "What's 47 + 38?\n\n  naïve 日本語 💖 DON'T";
    const ids = tokenizer.encode(text);
    const ask = (tokens: unknown[]) => check("tokens of text", { "/tokenize": () => ({ tokens }) });
    expect(await ask(ids)).toMatchObject({ status: "ok", detail: `${ids.length} ids` });
    expect(await ask(ids.with(2, 7))).toMatchObject({
      status: "failed",
      detail: expect.stringMatching(/^token 2 is 7 "\("/),
    });
    expect(await ask(ids.slice(0, -1))).toMatchObject({
      detail: expect.stringMatching(/is the end instead of/),
    });
    expect(await ask(["x"])).toMatchObject({
      status: "failed",
      detail: expect.stringMatching(/expected an integer/),
    });
  });
  it("prompt compares the template's text, whatever its date, or else the number of tokens", async () => {
    const user = { role: "user", content: "What is 47 + 38?" } as const;
    const ids = renderForCompletion(tokenizer, [
      systemMessage({ conversationStartDate: "2031-05-06" }),
      user,
    ]);
    const template = (prompt: string): Record<string, Route> => ({ "/apply-template": () => ({ prompt }) });
    const text = tokenizer.decode(ids);
    expect(await check("prompt of a chat", template(text))).toMatchObject({ status: "ok" });
    expect(await check("prompt of a chat", template(text.replace("<|end|>", "\n<|end|>")))).toMatchObject({
      status: "failed",
      detail: expect.stringMatching(/instead of "<\|end\|>/),
    });
    const usage = (prompt_tokens: number): Record<string, Route> => ({
      "/v1/chat/completions": ({ body }: Got) =>
        body.max_tokens === 1 ? { choices: [], usage: { prompt_tokens } } : new Refusal(),
    });
    expect(await check("prompt of a chat", usage(999))).toMatchObject({ status: "failed" });
    const without = renderForCompletion(tokenizer, [systemMessage(), user]).length;
    expect(await check("prompt of a chat", usage(without))).toMatchObject({ status: "ok" });
  });
  it("cases that it doesn't offer are no failures", async () => {
    for (const [name] of CASES) expect(await check(name, {})).toMatchObject({ name, status: "not offered" });
  });
  it("cases fail where it breaks down", async () => {
    const broken: Route = () => new Refusal(500);
    const result = await check("channels", { "/v1/chat/completions": broken });
    expect(result).toMatchObject({ status: "failed", detail: expect.stringMatching(/status 500, not here/) });
  });
});
