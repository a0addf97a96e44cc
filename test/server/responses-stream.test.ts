import type OpenAI from "openai";
import { describe, expect, it } from "vitest";
import { openStore } from "../../src/server/index.ts";
import { collect, outline, scriptedServer } from "../support/api-client.ts";

/*
 * Names, order and fields of events are those that OpenAI's API sends: read off its transcripts in openai/gpt-oss,
 * tests-data/basic-event-stream.txt and web-search-event-stream.txt, and for events that these don't have, off the API reference.
 */
const FIELDS: Readonly<Record<string, readonly string[]>> = {
  "response.created": ["response"],
  "response.in_progress": ["response"],
  "response.completed": ["response"],
  "response.incomplete": ["response"],
  "response.output_item.added": ["output_index", "item"],
  "response.output_item.done": ["output_index", "item"],
  "response.content_part.added": ["item_id", "output_index", "content_index", "part"],
  "response.content_part.done": ["item_id", "output_index", "content_index", "part"],
  "response.reasoning_text.delta": ["item_id", "output_index", "content_index", "delta"],
  "response.reasoning_text.done": ["item_id", "output_index", "content_index", "text"],
  "response.output_text.delta": ["item_id", "output_index", "content_index", "delta", "logprobs"],
  "response.output_text.done": ["item_id", "output_index", "content_index", "text", "logprobs"],
  "response.function_call_arguments.delta": ["item_id", "output_index", "delta"],
  "response.function_call_arguments.done": ["item_id", "output_index", "name", "arguments"],
};

const RESPONSE_FIELDS = [
  "id",
  "object",
  "created_at",
  "status",
  "background",
  "error",
  "incomplete_details",
  "instructions",
  "max_output_tokens",
  "max_tool_calls",
  "model",
  "output",
  "parallel_tool_calls",
  "previous_response_id",
  "prompt_cache_key",
  "reasoning",
  "safety_identifier",
  "service_tier",
  "store",
  "temperature",
  "text",
  "tool_choice",
  "tools",
  "top_logprobs",
  "top_p",
  "truncation",
  "usage",
  "user",
  "metadata",
];

const HELLO =
  "<|channel|>analysis<|message|>They greet.<|end|><|start|>assistant<|channel|>final<|message|>Hello there!<|return|>";
const ask = { model: "scripted", input: "Hi", stream: true } as const;

const MESSAGE = [
  "output_item.added",
  "content_part.added",
  "output_text.delta",
  "output_text.done",
  "content_part.done",
  "output_item.done",
];
const REASONING = [
  "output_item.added",
  "content_part.added",
  "reasoning_text.delta",
  "reasoning_text.done",
  "content_part.done",
  "output_item.done",
];

describe("the stream of a response", () => {
  it("has the events of OpenAI's API, in its order, with its fields", async () => {
    const { client } = scriptedServer([HELLO]);
    const events = await collect(await client.responses.create(ask));
    expect(outline(events)).toEqual(["created", "in_progress", ...REASONING, ...MESSAGE, "completed"]);
    for (const [index, { type, sequence_number, ...fields }] of events.entries()) {
      expect(sequence_number).toBe(index);
      expect([type, Object.keys(fields).sort()]).toEqual([type, [...FIELDS[type]!].sort()]);
    }
    const [first] = events as unknown as [{ response: OpenAI.Responses.Response }];
    const last = events.at(-1)!["response"] as OpenAI.Responses.Response;
    for (const field of RESPONSE_FIELDS) expect(first.response).toHaveProperty(field);
    expect(first.response).toMatchObject({ status: "in_progress", output: [], usage: null, error: null });
    expect(last).toMatchObject({ id: first.response.id, status: "completed" });
    expect(Object.keys(last.usage!)).toEqual(
      expect.arrayContaining([
        "input_tokens",
        "input_tokens_details",
        "output_tokens",
        "output_tokens_details",
        "total_tokens",
      ]),
    );
  });

  it("puts every event at its item's place, and its deltas add up to the whole", async () => {
    const { client } = scriptedServer([HELLO]);
    const events = await collect(await client.responses.create(ask));
    const { output } = events.at(-1)!["response"] as OpenAI.Responses.Response;
    const text = (type: string): string =>
      events.flatMap((event) => (event.type === `response.${type}` ? [event["delta"]] : [])).join("");
    expect(text("reasoning_text.delta")).toBe("They greet.");
    expect(text("output_text.delta")).toBe("Hello there!");
    for (const event of events) {
      if (typeof event["output_index"] !== "number") continue;
      const item = output[event["output_index"]]!;
      const { item_id = (event["item"] as { id: string }).id } = event;
      expect(item_id).toBe(item.id);
    }
    const done = events.filter(({ type }) => type === "response.output_item.done");
    expect(done.map(({ item }) => item)).toEqual(output);
    const part = events.find(({ type }) => type === "response.content_part.done" && type)!;
    expect(part["part"]).toEqual({ type: "reasoning_text", text: "They greet." });
    const added = events.findLast(({ type }) => type === "response.output_item.added")!;
    expect(added["item"]).toMatchObject({
      type: "message",
      status: "in_progress",
      content: [],
      role: "assistant",
    });
  });

  it("streams the arguments of a function call", async () => {
    const { client } = scriptedServer([
      '<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"a":12345}<|call|>',
    ]);
    const tools = [{ type: "function", name: "f", parameters: { type: "object" }, strict: false }] as const;
    const events = await collect(await client.responses.create({ ...ask, tools: [...tools] }));
    expect(outline(events)).toEqual([
      "created",
      "in_progress",
      "output_item.added",
      "function_call_arguments.delta",
      "function_call_arguments.done",
      "output_item.done",
      "completed",
    ]);
    for (const { type, sequence_number: _, ...fields } of events)
      expect([type, Object.keys(fields).sort()]).toEqual([type, [...FIELDS[type]!].sort()]);
    const deltas = events.filter(({ type }) => type.endsWith("arguments.delta"));
    expect(deltas.map(({ delta }) => delta).join("")).toBe('{"a":12345}');
    expect(deltas.length).toBeGreaterThan(1);
    expect(events.at(-2)!["item"]).toMatchObject({
      name: "f",
      arguments: '{"a":12345}',
      status: "completed",
    });
  });

  it("ends with response.incomplete when the tokens are used up, all items closed", async () => {
    const { client } = scriptedServer([HELLO]);
    const events = await collect(await client.responses.create({ ...ask, max_output_tokens: 8 }));
    expect(outline(events)).toEqual(["created", "in_progress", ...REASONING, "incomplete"]);
    expect(events.at(-1)!["response"]).toMatchObject({
      status: "incomplete",
      output: [{ type: "reasoning", status: "incomplete" }],
    });
  });

  it("is read by the client's own accumulator", async () => {
    const { client } = scriptedServer([HELLO]);
    const { stream: _, ...params } = ask;
    const final = await client.responses.stream(params).finalResponse();
    expect(final.output_text).toBe("Hello there!");
  });

  it("stops the work when the client goes, and the response is cancelled", async () => {
    const store = await openStore();
    const long = `<|channel|>analysis<|message|>${"Hm. ".repeat(500)}<|end|>`;
    const { client, server } = scriptedServer([long], { store });
    let id = "";
    for await (const event of await client.responses.create(ask)) {
      if (event.type === "response.created") ({ id } = event.response);
      if (event.type === "response.reasoning_text.delta") break;
    }
    await server.context.admission.idle();
    expect(await store.get(id)).toMatchObject({ status: "cancelled" });
    const [item] = await store.items(id, "output");
    expect(item).toMatchObject({ item: { type: "reasoning", status: "incomplete" }, messages: [] });
    await store.close();
  });

  it("ends with response.failed when the model fails", async () => {
    const { client } = scriptedServer([HELLO], {
      source: {
        requireTokenizer: () => {
          throw new Error("never asked");
        },
        generate: () => {
          throw new Error("secret details");
        },
      },
    });
    const events = await collect(await client.responses.create(ask));
    expect(outline(events)).toEqual(["created", "in_progress", "failed"]);
    const { status, error, id } = events.at(-1)!["response"] as OpenAI.Responses.Response;
    expect({ status, code: error!.code }).toEqual({ status: "failed", code: "server_error" });
    expect(error!.message).not.toContain("secret");
    expect(await client.responses.retrieve(id)).toMatchObject({ status: "failed" });
    const plain = client.responses.create({ ...ask, stream: false });
    await expect(plain).rejects.toMatchObject({ status: 500 });
  });
});

describe("the stream of a background response", () => {
  it("can be left and come back to, from any event on, also when it has ended", async () => {
    const { client } = scriptedServer([HELLO]);
    const stream = await client.responses.create({ ...ask, background: true });
    let id = "";
    for await (const event of stream) {
      if (event.type === "response.created") ({ id } = event.response);
      if (event.type === "response.in_progress") break;
    }
    const rest = await collect(await client.responses.retrieve(id, { stream: true, starting_after: 2 }));
    const whole = await collect(await client.responses.retrieve(id, { stream: true }));
    expect(outline(whole).slice(0, 3)).toEqual(["created", "queued", "in_progress"]);
    expect(outline(whole).at(-1)).toBe("completed");
    expect(whole.map((event) => event["sequence_number"])).toEqual([...whole.keys()]);
    expect(rest).toEqual(whole.slice(3));
    expect(await client.responses.retrieve(id)).toMatchObject({ output_text: "Hello there!" });
    await client.responses.delete(id);
    await expect(client.responses.retrieve(id, { stream: true })).rejects.toMatchObject({ status: 404 });
  });

  it("tells that it was cancelled", async () => {
    const { client } = scriptedServer([`<|channel|>analysis<|message|>${"Hm. ".repeat(500)}<|end|>`]);
    let [id, type] = ["", ""];
    let isAsked = false;
    for await (const event of await client.responses.create({ ...ask, background: true })) {
      ({ type } = event);
      if (event.type === "response.created") ({ id } = event.response);
      if (isAsked || event.type !== "response.reasoning_text.delta") continue;
      isAsked = true;
      await client.responses.cancel(id);
    }
    expect(type).toBe("response.cancelled");
  });

  it("is refused where nobody has kept it", async () => {
    const { client } = scriptedServer([HELLO]);
    const { stream: _, ...params } = ask;
    const { id } = await client.responses.create(params);
    await expect(client.responses.retrieve(id, { stream: true })).rejects.toMatchObject({
      status: 400,
      param: "stream",
    });
  });
});
