import type OpenAI from "openai";
import { describe, expect, it } from "vitest";
import type { BuiltInTools } from "../../src/server/index.ts";
import { browserTool, type Tool } from "../../src/tools/index.ts";
import { collect, outline, scriptedServer } from "../support/api-client.ts";

const PAGE = "<html><head><title>Otters</title></head><body><p>Giant otters came back.</p></body></html>";

const browser = (): Tool =>
  browserTool({
    backend: {
      name: "web",
      search: async () => [
        { title: "Otters", url: "https://otters.example/back", summary: "They are back." },
      ],
      fetch: async (url) => ({ kind: "html", content: PAGE, url, title: "Otters" }),
    },
  });

let closed = 0;
const python = (): Tool => ({
  namespace: { name: "python", description: "Python", tools: [] },
  placement: "system",
  call: async ({ content }) =>
    content === "1/0" ? { text: "ZeroDivisionError", isError: true } : { text: `ran ${content}` },
  close: () => void closed++,
});

const notes = (name: string): Tool => ({
  namespace: {
    name: "functions",
    tools: [
      { name, description: "", parameters: { type: "object", properties: { key: { type: "string" } } } },
    ],
  },
  placement: "developer",
  call: async ({ content }) => ({ text: `noted ${content}` }),
});

const made: Readonly<Record<string, () => Tool[]>> = {
  browser: () => [browser()],
  python: () => [python()],
  notebook: () => [notes("take_note"), notes("drop_note")],
};
const builtInTools: BuiltInTools = {
  names: Object.keys(made),
  open: async (names) => names.flatMap((name) => made[name]!()),
};

const search = '<|channel|>analysis to=browser.search<|message|>{"query":"otters"}<|call|>';
const open = '<|channel|>analysis to=browser.open<|message|>{"cursor":0,"id":0}<|call|>';
const find = '<|channel|>analysis to=browser.find<|message|>{"pattern":"came","cursor":1}<|call|>';
const cited = "<|channel|>final<|message|>They came back【1†L0】, it says.<|return|>";
const code = "<|channel|>analysis to=python code<|message|>print(1)<|call|>";
const answer = "<|channel|>final<|message|>One.<|return|>";

const ask = { model: "scripted", input: "Hi" } as const;
const web = { ...ask, tools: [{ type: "web_search" as const }] };
const interpreter = {
  ...ask,
  tools: [{ type: "code_interpreter" as const, container: { type: "auto" as const } }],
};

describe("web search", () => {
  it("becomes items for what was searched, opened and found, and citations with their places", async () => {
    const { client, prompts } = scriptedServer([search, open, find, cited], { builtInTools });
    const response = await client.responses.create(web);
    const url = "https://otters.example/back";
    expect(response.output.slice(0, 3)).toMatchObject([
      { type: "web_search_call", status: "completed", action: { type: "search", query: "otters" } },
      { type: "web_search_call", status: "completed", action: { type: "open_page", url } },
      {
        type: "web_search_call",
        status: "completed",
        action: { type: "find_in_page", pattern: "came", url },
      },
    ]);
    expect(response.output_text).toBe(`They came back ([otters.example](${url})) , it says.`);
    const message = response.output.at(-1) as OpenAI.Responses.ResponseOutputMessage;
    const { text, annotations } = message.content[0] as OpenAI.Responses.ResponseOutputText;
    expect(annotations).toMatchObject([{ type: "url_citation", url, title: "otters.example" }]);
    const { start_index, end_index } = annotations[0] as OpenAI.Responses.ResponseOutputText.URLCitation;
    expect(text.slice(start_index, end_index)).toBe(` ([otters.example](${url})) `);
    expect(prompts[1]).toContain(
      "<|start|>browser.search to=assistant<|channel|>analysis<|message|>[0] otters",
    );
    expect(prompts[0]).toContain("namespace browser {");
  });

  // as in openai/gpt-oss, tests-data/web-search-event-stream.txt, which has no reasoning
  it("has the events of OpenAI's API, in its order, with its fields", async () => {
    const { client } = scriptedServer([search, cited.replace("1†", "0†")], { builtInTools });
    const events = await collect(await client.responses.create({ ...web, stream: true }));
    expect(outline(events)).toEqual([
      "created",
      "in_progress",
      "output_item.added",
      "web_search_call.in_progress",
      "web_search_call.searching",
      "web_search_call.completed",
      "output_item.done",
      "output_item.added",
      "content_part.added",
      "output_text.delta",
      "output_text.done",
      "content_part.done",
      "output_item.done",
      "completed",
    ]);
    const added = events.find(({ type }) => type === "response.output_item.added")!;
    expect(Object.keys(added["item"] as object).sort()).toEqual(["action", "id", "status", "type"]);
    for (const { type, sequence_number: _, ...fields } of events.filter((e) =>
      e.type.includes("web_search_call"),
    )) {
      expect([type, Object.keys(fields).sort()]).toEqual([type, ["item_id", "output_index"]]);
    }
  });

  it("tells of citations as they come", async () => {
    const { client } = scriptedServer([search, open, cited], { builtInTools });
    const events = await collect(await client.responses.create({ ...web, stream: true }));
    const annotation = events.find(({ type }) => type === "response.output_text.annotation.added")!;
    expect(annotation).toMatchObject({
      output_index: 2,
      content_index: 0,
      annotation_index: 0,
      annotation: { type: "url_citation", url: "https://otters.example/back" },
    });
    const deltas = events.filter(({ type }) => type === "response.output_text.delta");
    const text = deltas.map(({ delta }) => delta).join("");
    expect(text).toBe("They came back ([otters.example](https://otters.example/back)) , it says.");
  });

  it("that fails is an item that failed, and the model goes on", async () => {
    const { client, prompts } = scriptedServer([open.replace('"cursor":0', '"cursor":7'), answer], {
      builtInTools,
    });
    const { output } = await client.responses.create(web);
    expect(output).toMatchObject([{ type: "web_search_call", status: "failed" }, { type: "message" }]);
    expect(prompts[1]).toContain("No pages to access!");
  });
});

describe("the code interpreter", () => {
  const types = ["code_interpreter_call", "message"];

  it("shows code, and output where that is asked for", async () => {
    const { client } = scriptedServer([code, answer], { builtInTools });
    const plain = await client.responses.create(interpreter);
    expect(plain.output.map(({ type }) => type)).toEqual(types);
    expect(plain.output[0]).toMatchObject({ status: "completed", code: "print(1)", outputs: null });
    const include = ["code_interpreter_call.outputs" as const];
    const outputs = [{ type: "logs", logs: "ran print(1)" }];
    expect((await client.responses.retrieve(plain.id, { include })).output[0]).toMatchObject({ outputs });
    expect((await client.responses.retrieve(plain.id)).output[0]).toMatchObject({ outputs: null });

    const full = scriptedServer([code, answer], { builtInTools }).client;
    expect((await full.responses.create({ ...interpreter, include })).output[0]).toMatchObject({ outputs });
  });

  it("streams the code", async () => {
    const { client } = scriptedServer([code, answer], { builtInTools });
    const events = await collect(await client.responses.create({ ...interpreter, stream: true }));
    expect(outline(events).slice(2, 9)).toEqual([
      "output_item.added",
      "code_interpreter_call.in_progress",
      "code_interpreter_call_code.delta",
      "code_interpreter_call_code.done",
      "code_interpreter_call.interpreting",
      "code_interpreter_call.completed",
      "output_item.done",
    ]);
  });

  it("is closed with the response", async () => {
    const before = closed;
    const { client } = scriptedServer([code, answer], { builtInTools });
    await client.responses.create(interpreter);
    expect(closed).toBe(before + 1);
  });

  it("isn't called more often than max_tool_calls", async () => {
    const { client, prompts } = scriptedServer([code, code, answer], { builtInTools });
    const limited = (max_tool_calls: number) => ({ ...interpreter, max_tool_calls });
    const response = await client.responses.create(limited(1));
    expect(response.output).toMatchObject([
      { type: "code_interpreter_call", status: "completed" },
      { type: "code_interpreter_call" },
      { type: "message" },
    ]);
    expect(prompts[2]).toContain("No more calls are allowed.");
    const endless = scriptedServer([code], { builtInTools }).client;
    await expect(endless.responses.create(limited(2))).rejects.toMatchObject({
      status: 500,
    });
  });

  it("comes back with its output when a function call follows it", async () => {
    const called = "<|channel|>commentary to=functions.f <|constrain|>json<|message|>{}<|call|>";
    const { client, prompts } = scriptedServer([code, called, answer], { builtInTools });
    const tools = [
      ...interpreter.tools,
      { type: "function" as const, name: "f", parameters: { type: "object" }, strict: false },
    ];
    const first = await client.responses.create({ ...ask, tools });
    const { call_id } = first.output.at(-1) as OpenAI.Responses.ResponseFunctionToolCall;
    await client.responses.create({
      ...ask,
      tools,
      input: [
        { role: "user", content: "Hi" },
        ...(first.output as OpenAI.Responses.ResponseInputItem[]),
        { type: "function_call_output", call_id, output: "done" },
      ],
    });
    // the item says nothing of the output, the store does
    expect(prompts[2]).toContain(
      "<|start|>python to=assistant<|channel|>analysis<|message|>ran print(1)<|end|>",
    );
  });
});

describe("MCP servers", () => {
  const note = '<|channel|>commentary to=functions.take_note <|constrain|>json<|message|>{"key":"a"}<|call|>';
  const mcp = { type: "mcp" as const, server_label: "notebook", require_approval: "never" as const };

  it("of the operator's are called by the server", async () => {
    const { client, prompts } = scriptedServer([note, answer], { builtInTools });
    const response = await client.responses.create({
      ...ask,
      tools: [{ ...mcp, allowed_tools: ["take_note"] }],
    });
    expect(response.output).toMatchObject([
      {
        type: "mcp_call",
        server_label: "notebook",
        name: "take_note",
        arguments: '{"key":"a"}',
        output: 'noted {"key":"a"}',
        error: null,
      },
      { type: "message" },
    ]);
    expect(prompts[0]).toContain("take_note");
    expect(prompts[0]).not.toContain("drop_note");
  });

  it("are never those of the client", async () => {
    const { client } = scriptedServer([answer], { builtInTools });
    const create = (tool: object) => client.responses.create({ ...ask, tools: [{ ...mcp, ...tool }] });
    await expect(create({ server_url: "http://127.0.0.1" })).rejects.toMatchObject({
      param: "tools[0].server_url",
    });
    await expect(create({ require_approval: "always" })).rejects.toMatchObject({
      param: "tools[0].require_approval",
    });
    const { tools } = await client.responses.create({
      ...ask,
      tools: [{ ...mcp, headers: { a: "secret" } }],
    });
    expect(JSON.stringify(tools)).not.toContain("secret");
  });
});
