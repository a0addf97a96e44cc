import { setTimeout as sleep } from "node:timers/promises";
import type OpenAI from "openai";
import { describe, expect, it, vi } from "vitest";
import { openStore } from "../../src/server/index.ts";
import { scriptedServer } from "../support/api-client.ts";

const thought = (text: string): string => `<|channel|>analysis<|message|>${text}<|end|>`;
const answer = (text: string): string => `<|start|>assistant<|channel|>final<|message|>${text}<|return|>`;
const call = (name: string, args: string): string =>
  `<|start|>assistant to=functions.${name}<|channel|>commentary <|constrain|>json<|message|>${args}<|call|>`;
const HELLO = thought("They greet.") + answer("Hello.");

const ask = { model: "scripted", input: "Hi" } as const;
const weather = {
  type: "function",
  name: "get_weather",
  description: "Weather in a city",
  parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  strict: false,
} as const;

/** Status, param and code of the error that a request ends in. */
async function refusal(request: Promise<unknown>): Promise<{ status: number; param: string; code: string }> {
  try {
    await request;
  } catch (error) {
    const { status, param, code } = error as { status: number; param: string; code: string };
    return { status, param, code };
  }
  throw new Error("the request was accepted");
}

async function waitFor(client: OpenAI, id: string): Promise<OpenAI.Responses.Response> {
  for (;;) {
    const response = await client.responses.retrieve(id);
    if (response.status !== "queued" && response.status !== "in_progress") return response;
    await sleep(5);
  }
}

const TEXT = "twenty words ".repeat(20);

describe("creating a response", () => {
  it("gives reasoning and answer as items, with what was used", async () => {
    const { client, prompts } = scriptedServer([HELLO]);
    const response = await client.responses.create({
      ...ask,
      instructions: "Be kind.",
      metadata: { a: "b" },
    });
    expect(response).toMatchObject({
      object: "response",
      status: "completed",
      instructions: "Be kind.",
      metadata: { a: "b" },
      error: null,
      incomplete_details: null,
      output_text: "Hello.",
    });
    expect(response.id).toMatch(/^resp_\w{20,}$/);
    expect(response.output).toMatchObject([
      { type: "reasoning", summary: [], content: [{ type: "reasoning_text", text: "They greet." }] },
      {
        type: "message",
        role: "assistant",
        status: "completed",
        content: [{ type: "output_text", text: "Hello.", annotations: [] }],
      },
    ]);
    expect(prompts[0]).toContain("Current date: 2026-01-02\n\nReasoning: medium");
    expect(prompts[0]).toContain("<|start|>developer<|message|># Instructions\n\nBe kind.<|end|>");
    expect(prompts[0]).toMatch(/<\|start\|>user<\|message\|>Hi<\|end\|><\|start\|>assistant$/);
    const { usage } = response;
    expect(usage!.total_tokens).toBe(usage!.input_tokens + usage!.output_tokens);
    expect(usage!.output_tokens_details.reasoning_tokens).toBeGreaterThan(0);
    expect(usage!.output_tokens_details.reasoning_tokens).toBeLessThan(usage!.output_tokens);
  });

  it("reads messages of all roles and parts; the developer's at the beginning join the instructions", async () => {
    const { client, prompts } = scriptedServer([HELLO]);
    await client.responses.create({
      model: "scripted",
      instructions: "First.",
      reasoning: { effort: "high" },
      input: [
        { role: "system", content: "Second." },
        { role: "developer", content: [{ type: "input_text", text: "Third." }] },
        {
          role: "user",
          content: [
            { type: "input_text", text: "One, " },
            { type: "input_text", text: "two?" },
          ],
        },
        { role: "assistant", content: "Three." },
        { type: "message", role: "developer", content: "Count down." },
        { role: "user", content: "Go on." },
      ],
    });
    expect(prompts[0]).toContain("Reasoning: high");
    expect(prompts[0]).toMatch(
      /<\|start\|>developer<\|message\|># Instructions\n\nFirst\.\n\nSecond\.\n\nThird\.<\|end\|><\|start\|>user<\|message\|>One, two\?<\|end\|><\|start\|>assistant<\|channel\|>final<\|message\|>Three\.<\|end\|><\|start\|>developer<\|message\|># Instructions\n\nCount down\.<\|end\|><\|start\|>user<\|message\|>Go on\.<\|end\|><\|start\|>assistant$/,
    );
  });

  it("ends incomplete at max_output_tokens, with what there was of the answer", async () => {
    const { client } = scriptedServer([answer(TEXT).replace("<|start|>assistant", "")]);
    const response = await client.responses.create({ ...ask, max_output_tokens: 25 });
    expect(response.status).toBe("incomplete");
    expect(response.incomplete_details).toEqual({ reason: "max_output_tokens" });
    expect(response.usage!.output_tokens).toBe(25);
    expect(response.output.at(-1)).toMatchObject({ type: "message", status: "incomplete" });
    expect(TEXT.startsWith(response.output_text)).toBe(true);
    expect(response.output_text.length).toBeGreaterThan(3);
  });

  it("shows remarks ahead of a call as messages of their own", async () => {
    const remark = "<|start|>assistant<|channel|>commentary<|message|>Let me look.<|end|>";
    const { client } = scriptedServer([
      thought("Look it up.") + remark + call("get_weather", '{"city":"Rome"}'),
    ]);
    const { output } = await client.responses.create({ ...ask, tools: [weather] });
    expect(output).toMatchObject([
      { type: "reasoning" },
      { type: "message", phase: "commentary", content: [{ text: "Let me look." }] },
      { type: "function_call", name: "get_weather", arguments: '{"city":"Rome"}', status: "completed" },
    ]);
  });

  it("gives log-probabilities where they are asked for", async () => {
    const { client } = scriptedServer([HELLO]);
    const include = ["message.output_text.logprobs" as const];
    const { output } = await client.responses.create({ ...ask, include, top_logprobs: 2 });
    const message = output.at(-1) as OpenAI.Responses.ResponseOutputMessage;
    const { logprobs = [] } = message.content[0] as OpenAI.Responses.ResponseOutputText;
    expect(logprobs.map(({ token }) => token).join("")).toBe("Hello.");
    expect(logprobs[0]).toMatchObject({ logprob: 0, top_logprobs: [{ logprob: 0 }, { logprob: -200 }] });
    const bytes = new Uint8Array(logprobs.flatMap((each) => each.bytes));
    expect(new TextDecoder().decode(bytes)).toBe("Hello.");
  });

  it("refuses what it can't honour, and says which field", async () => {
    const { client } = scriptedServer([HELLO]);
    const create = (fields: object) => refusal(client.responses.create({ ...ask, ...fields }));
    const items = (...input: object[]) => create({ input });
    expect(await create({ model: "gpt-5" })).toMatchObject({ status: 404, param: "model" });
    expect(await create({ input: [] })).toMatchObject({ status: 400, param: "input" });
    expect(await create({ temperature: 3 })).toMatchObject({ status: 400, param: "temperature" });
    expect(await create({ conversation: "conv_1" })).toMatchObject({ status: 400, param: "conversation" });
    expect(await create({ prompt: { id: "p" } })).toMatchObject({ status: 400, param: "prompt" });
    expect(await create({ previous_response_id: "resp_none" })).toMatchObject({
      status: 400,
      param: "previous_response_id",
      code: "previous_response_not_found",
    });
    expect(
      await create({ tools: [{ type: "code_interpreter", container: { type: "auto" } }] }),
    ).toMatchObject({
      status: 400,
      param: "tools[0]",
    });
    expect(
      await create({ tools: [{ type: "mcp", server_label: "x", server_url: "http://x" }] }),
    ).toMatchObject({
      status: 400,
      param: "tools[0]",
    });
    expect(await create({ tools: [{ type: "file_search" }] })).toMatchObject({ param: "tools[0].type" });
    expect(await create({ tool_choice: "required" })).toMatchObject({ param: "tool_choice" });
    expect(
      await create({ tools: [weather], tool_choice: { type: "function", name: "other" } }),
    ).toMatchObject({ param: "tool_choice" });
    expect(await create({ tools: [weather, weather] })).toMatchObject({ status: 400 });
    expect(await create({ background: true, store: false })).toMatchObject({ param: "background" });
    expect(await create({ top_logprobs: 3 })).toMatchObject({ param: "top_logprobs" });
    expect(await create({ metadata: { a: "x".repeat(513) } })).toMatchObject({ param: "metadata.a" });
    expect(
      await create({
        text: {
          format: { type: "json_schema", name: "x", schema: { type: "object", dependentSchemas: { a: {} } } },
        },
      }),
    ).toMatchObject({ status: 400, param: "text.format.schema" });
    expect(
      await items({ role: "user", content: [{ type: "input_image", image_url: "data:" }] }),
    ).toMatchObject({
      status: 400,
      param: "input[0].content[0].type",
    });
    expect(await items({ type: "computer_call", id: "x" })).toMatchObject({ param: "input[0].type" });
    expect(await items({ type: "item_reference", id: "msg_none" })).toMatchObject({ param: "input[0].id" });
    expect(await items({ type: "function_call_output", call_id: "c", output: "" })).toMatchObject({
      param: "input[0].call_id",
    });
    expect(
      await items(
        { type: "function_call", call_id: "c", name: "f", arguments: "{}" },
        { role: "user", content: "?" },
      ),
    ).toMatchObject({ status: 400, param: "input" });
    const long = { role: "user", content: "word ".repeat(5000) };
    expect(await items(long)).toMatchObject({ status: 400, code: "context_length_exceeded" });
  });

  it("leaves out old turns when truncation is auto", async () => {
    const { client, prompts } = scriptedServer([HELLO]);
    const turn = [
      { role: "user", content: "old ".repeat(1500) },
      { role: "assistant", content: "Yes." },
    ] as const;
    const input = [...turn, ...turn, ...turn, { role: "user", content: "new" } as const];
    expect(await refusal(client.responses.create({ model: "scripted", input }))).toMatchObject({
      status: 400,
    });
    const response = await client.responses.create({ model: "scripted", input, truncation: "auto" });
    expect(response.output_text).toBe("Hello.");
    expect(prompts.at(-1)).toContain("<|start|>user<|message|>new<|end|>");
  });
});

describe("a stored response", () => {
  it("can be retrieved, listed and deleted", async () => {
    const { client } = scriptedServer([HELLO]);
    const created = await client.responses.create(ask);
    const { output_text: _, ...plain } = created;
    expect(await client.responses.retrieve(created.id)).toMatchObject(plain);
    await client.responses.delete(created.id);
    expect(await refusal(client.responses.retrieve(created.id))).toMatchObject({ status: 404 });
    expect(await refusal(client.responses.delete(created.id))).toMatchObject({ status: 404 });
    expect(await refusal(client.responses.inputItems.list(created.id))).toMatchObject({ status: 404 });
  });

  it("isn't there if store is false", async () => {
    const { client } = scriptedServer([HELLO]);
    const { id, store } = { store: false, ...(await client.responses.create({ ...ask, store: false })) };
    expect(store).toBe(false);
    expect(await refusal(client.responses.retrieve(id))).toMatchObject({ status: 404 });
  });

  it("lists its input in pages, either way round", async () => {
    const { client } = scriptedServer([HELLO]);
    const input = ["a", "b", "c", "d", "e"].map((content) => ({ role: "user", content }) as const);
    const { id } = await client.responses.create({ model: "scripted", input });
    const text = (item: object): string => (item as { content: { text: string }[] }).content[0]!.text;
    const all: string[] = [];
    for await (const item of client.responses.inputItems.list(id, { order: "asc", limit: 2 }))
      all.push(text(item));
    expect(all).toEqual(["a", "b", "c", "d", "e"]);
    const latest = await client.responses.inputItems.list(id, { limit: 2 });
    expect(latest.data.map(text)).toEqual(["e", "d"]);
    expect(latest.has_more).toBe(true);
    expect(latest.data[0]).toMatchObject({ type: "message", role: "user", status: "completed" });
    expect(await refusal(client.responses.inputItems.list(id, { after: "none" }))).toMatchObject({
      param: "after",
    });
    expect(await refusal(client.responses.inputItems.list(id, { limit: 0 }))).toMatchObject({
      param: "limit",
    });
  });

  it("is gone on with; its instructions and its reasoning are not", async () => {
    const { client, prompts } = scriptedServer([HELLO, thought("Again.") + answer("Bye.")]);
    const first = await client.responses.create({ ...ask, instructions: "Be kind." });
    const second = await client.responses.create({
      model: "scripted",
      input: "And now?",
      instructions: "Be brief.",
      previous_response_id: first.id,
    });
    expect(second.previous_response_id).toBe(first.id);
    expect(prompts[1]).toContain("# Instructions\n\nBe brief.");
    expect(prompts[1]).not.toContain("Be kind.");
    expect(prompts[1]).not.toContain("They greet.");
    expect(prompts[1]).toContain(
      "<|start|>user<|message|>Hi<|end|><|start|>assistant<|channel|>final<|message|>Hello.<|end|><|start|>user<|message|>And now?<|end|>",
    );
    await client.responses.delete(first.id);
    const third = client.responses.create({ ...ask, previous_response_id: second.id });
    expect(await refusal(third)).toMatchObject({ code: "previous_response_not_found" });
  });

  it("has items that a later request may refer to", async () => {
    const { client, prompts } = scriptedServer([HELLO]);
    const first = await client.responses.create(ask);
    const message = first.output.find(({ type }) => type === "message")!;
    await client.responses.create({
      model: "scripted",
      input: [
        { type: "item_reference", id: message.id! },
        { role: "user", content: "Again" },
      ],
    });
    expect(prompts[1]).toContain("<|channel|>final<|message|>Hello.<|end|><|start|>user<|message|>Again");
  });
});

describe("function calls", () => {
  const called = thought("I need the weather.") + call("get_weather", '{"city":"Rome"}');
  const told = thought("It is sunny.") + answer("Sun in Rome.");
  const shownAgain =
    "<|start|>assistant<|channel|>analysis<|message|>I need the weather.<|end|><|start|>assistant to=functions.get_weather<|channel|>commentary <|constrain|>json<|message|>" +
    '{"city":"Rome"}<|call|><|start|>functions.get_weather to=assistant<|channel|>commentary<|message|>sunny<|end|><|start|>assistant';

  it("go on with the reasoning that led to them, from the store", async () => {
    const { client, prompts } = scriptedServer([called, told]);
    const first = await client.responses.create({ ...ask, tools: [weather] });
    const asked = first.output.at(-1) as OpenAI.Responses.ResponseFunctionToolCall;
    expect(asked).toMatchObject({ type: "function_call", name: "get_weather", arguments: '{"city":"Rome"}' });
    expect(asked.call_id).toMatch(/^call_/);
    const second = await client.responses.create({
      model: "scripted",
      tools: [weather],
      previous_response_id: first.id,
      input: [{ type: "function_call_output", call_id: asked.call_id, output: "sunny" }],
    });
    expect(prompts[1]!.endsWith(shownAgain)).toBe(true);
    expect(second.output_text).toBe("Sun in Rome.");
    const third = await client.responses.create({ ...ask, previous_response_id: second.id });
    expect(third.status).toBe("completed");
    expect(prompts[2]).not.toContain("I need the weather.");
    expect(prompts[2]).toContain("Sun in Rome.");
    const unanswered = client.responses.create({ ...ask, previous_response_id: first.id });
    expect(await refusal(unanswered)).toMatchObject({ status: 400, param: "input" });
  });

  it("go on with the reasoning that led to them, from the request's own items", async () => {
    const { client, prompts } = scriptedServer([called, told]);
    const first = await client.responses.create({ ...ask, tools: [weather], store: false });
    const { call_id } = first.output.at(-1) as OpenAI.Responses.ResponseFunctionToolCall;
    await client.responses.create({
      model: "scripted",
      tools: [weather],
      store: false,
      input: [
        { role: "user", content: "Hi" },
        ...(first.output as OpenAI.Responses.ResponseInputItem[]),
        { type: "function_call_output", call_id, output: [{ type: "input_text", text: "sunny" }] },
      ],
    });
    expect(prompts[1]!.endsWith(shownAgain)).toBe(true);
  });

  it("of functions that don't exist are answered by the server, unseen by the client", async () => {
    const { client, prompts } = scriptedServer([
      call("get_wether", "{}").replace("<|start|>assistant", ""),
      HELLO,
    ]);
    const { output } = await client.responses.create(ask);
    expect(output.map(({ type }) => type)).toEqual(["reasoning", "message"]);
    expect(prompts[1]).toContain("Unknown tool: functions.get_wether. There are no tools.");
  });

  it("aren't offered if tool_choice is none", async () => {
    const { client, prompts } = scriptedServer([HELLO]);
    await client.responses.create({ ...ask, tools: [weather], tool_choice: "none" });
    expect(prompts[0]).not.toContain("get_weather");
  });
});

describe("a background response", () => {
  it("is queued, then done", async () => {
    const { client } = scriptedServer([HELLO]);
    const { id, status } = await client.responses.create({ ...ask, background: true });
    expect(status).toBe("queued");
    const response = await waitFor(client, id);
    expect(response).toMatchObject({ status: "completed", background: true, output_text: "Hello." });
    expect(await client.responses.cancel(id)).toMatchObject({ status: "completed" });
  });

  it("can be cancelled, and others can't", async () => {
    const { client } = scriptedServer([thought("Hm. ".repeat(500)) + answer("Late.")]);
    const { id } = await client.responses.create({ ...ask, background: true });
    const cancelled = await client.responses.cancel(id);
    expect(cancelled.status).toBe("cancelled");
    expect(await client.responses.retrieve(id)).toMatchObject({ status: "cancelled", error: null });
    const other = await client.responses.create({ ...ask, max_output_tokens: 16 });
    expect(await refusal(client.responses.cancel(other.id))).toMatchObject({ status: 400 });
  });

  it("is refused at once if there is no room for it", async () => {
    const { client } = scriptedServer([thought("Hm. ".repeat(500)) + answer("Late.")], {
      parallel: 1,
      queue: 0,
    });
    const { id } = await client.responses.create({ ...ask, background: true });
    const another = client.responses.create({ ...ask, background: true });
    expect(await refusal(another)).toMatchObject({ status: 429 });
    await client.responses.cancel(id);
  });

  it("has failed if its end can't be stored, and is stored as such once that is possible", async () => {
    const store = await openStore();
    const write = store.update.bind(store);
    const update = vi.spyOn(store, "update").mockImplementation(async (response, output) => {
      if (response.status === "completed" || response.status === "failed") throw new Error("disk full");
      await write(response, output);
    });
    const { client } = scriptedServer([HELLO], { store });
    const { id } = await client.responses.create({ ...ask, background: true });
    const failed = { status: "failed", error: { code: "server_error" }, output: [] };
    expect(await waitFor(client, id)).toMatchObject(failed);
    expect(await client.responses.cancel(id)).toMatchObject(failed);
    expect(await store.get(id)).toMatchObject({ status: "in_progress" });
    update.mockRestore();
    expect(await client.responses.retrieve(id)).toMatchObject(failed);
    expect(await store.get(id)).toMatchObject({ status: "failed" });
    await store.close();
  });

  it("fails with the reason if it can't be done", async () => {
    const { client } = scriptedServer([HELLO]);
    const { id } = await client.responses.create({ ...ask, input: "word ".repeat(5000), background: true });
    expect(await waitFor(client, id)).toMatchObject({
      status: "failed",
      error: { code: "context_length_exceeded" },
    });
  });
});
