import { expect, test } from "vitest";
import { type Event, outline, scriptedServer } from "../../support/api-client.ts";

/** What Codex CLI sends to a provider of `wire_api = "responses"`. */
const request = (input: readonly object[]) => ({
  model: "scripted",
  instructions: "You are Codex, a coding agent.",
  input,
  tools: [
    {
      type: "function",
      name: "update_plan",
      description: "Updates the task plan.",
      strict: false,
      parameters: {
        type: "object",
        properties: { plan: { type: "array", items: { type: "object" } } },
        required: ["plan"],
        additionalProperties: false,
      },
    },
    { type: "local_shell" },
    {
      type: "custom",
      name: "apply_patch",
      description: "Edits files.",
      format: { type: "grammar", syntax: "lark", definition: 'start: "*** Begin Patch" LF' },
    },
    {
      type: "namespace",
      name: "agents",
      description: "Other agents.",
      tools: [
        {
          type: "function",
          name: "close",
          description: "Closes one.",
          strict: false,
          parameters: { type: "object", properties: { target: { type: "string" } }, required: ["target"] },
        },
        { type: "custom", name: "tell", description: "Tells all." },
      ],
    },
    { type: "web_search", external_web_access: false },
  ],
  tool_choice: "auto",
  parallel_tool_calls: false,
  reasoning: { effort: "medium", summary: "auto" },
  store: false,
  stream: true,
  include: ["reasoning.encrypted_content"],
  prompt_cache_key: "0199c0de-0000-7000-8000-000000000000",
});
const said = (role: string, text: string) => ({
  type: "message",
  role,
  content: [{ type: "input_text", text }],
});
const conversation = [
  said("developer", "<permissions instructions>Read only.</permissions instructions>"),
  said("user", "<environment_context><cwd>/tmp</cwd></environment_context>"),
  said("user", "What is in the folder?"),
];

const thought = "<|channel|>analysis<|message|>Look.<|end|><|start|>assistant";
const shell =
  '<|channel|>commentary to=functions.local_shell <|constrain|>json<|message|>{"command":["ls","-a"]}<|call|>';
const patch =
  '<|channel|>commentary to=functions.apply_patch <|constrain|>json<|message|>{"input":"*** Begin Patch\\n*** End Patch\\n"}<|call|>';
const answer = "<|channel|>final<|message|>Nothing.<|return|>";

type Item = Readonly<Record<string, unknown>>;

/** Asks as Codex does, and takes what it takes: the items that are done, and the end. */
async function ask({ server }: ReturnType<typeof scriptedServer>, input: readonly object[]) {
  const response = await server.fetch(
    new Request("http://localhost/v1/responses", {
      method: "POST",
      headers: {
        "content-type": "application/json",
        accept: "text/event-stream",
        originator: "codex_cli_rs",
      },
      body: JSON.stringify(request(input)),
    }),
  );
  const text = await response.text();
  expect(response.status, text).toBe(200);
  const events = [...text.matchAll(/^data: (.*)$/gm)].map(([, json]) => JSON.parse(json!) as Event);
  const items = events
    .filter(({ type }) => type === "response.output_item.done")
    .map((event) => event["item"] as Item);
  return { events, items, end: events.at(-1) as unknown as { type: string; response: Item } };
}

test("a request of Codex's is answered by a stream, without the web search that isn't there", async () => {
  const scripted = scriptedServer([thought + answer]);
  const { events, items, end } = await ask(scripted, conversation);
  expect(outline(events).slice(0, 2)).toEqual(["created", "in_progress"]);
  expect(items).toMatchObject([{ type: "reasoning" }, { type: "message", content: [{ text: "Nothing." }] }]);
  expect(end).toMatchObject({
    type: "response.completed",
    response: { status: "completed", usage: { input_tokens_details: { cached_tokens: 0 } } },
  });
  expect((end.response["tools"] as Item[]).map(({ type }) => type)).toEqual([
    "function",
    "local_shell",
    "custom",
    "namespace",
  ]);
  const [prompt] = scripted.prompts;
  for (const part of [
    "You are Codex, a coding agent.",
    "Read only.",
    "type update_plan = ",
    "type local_shell = ",
    "type apply_patch = ",
    '*** Begin Patch" LF',
  ])
    expect(prompt).toContain(part);
  expect(prompt).not.toContain("namespace browser");
});

test("calls of the shell and of custom tools come as such, and go on with their outputs", async () => {
  const scripted = scriptedServer([thought + shell, patch, answer]);
  const first = await ask(scripted, conversation);
  const call = first.items[1]!;
  expect(call).toMatchObject({
    type: "local_shell_call",
    status: "completed",
    action: { type: "exec", command: ["ls", "-a"] },
  });

  const output = { type: "function_call_output", call_id: call["call_id"], output: ".\n.." };
  const second = await ask(scripted, [...conversation, ...first.items, output]);
  const [custom] = second.items;
  const input = "*** Begin Patch\n*** End Patch\n";
  expect(custom).toMatchObject({ type: "custom_tool_call", name: "apply_patch", input });
  expect(second.events.find(({ type }) => type.endsWith("_input.done"))).toMatchObject({ input });

  const done = { type: "custom_tool_call_output", call_id: custom!["call_id"], output: "Done." };
  const third = await ask(scripted, [...conversation, ...first.items, output, custom!, done]);
  expect(third.items).toMatchObject([{ type: "message" }]);
  const shown = scripted.prompts[2]!;
  expect(shown).toContain('{"command":["ls","-a"]}<|call|>');
  expect(shown).toContain("functions.local_shell to=assistant<|channel|>commentary<|message|>.\n..<|end|>");
  expect(shown).toContain('{"input":"*** Begin Patch\\n*** End Patch\\n"}<|call|>');
  expect(shown).toContain("functions.apply_patch to=assistant<|channel|>commentary<|message|>Done.<|end|>");
});

test("tools in a namespace are told and called as such, and answered under its name", async () => {
  const call = (name: string, args: string): string =>
    `<|channel|>commentary to=agents.${name} <|constrain|>json<|message|>${args}<|call|>`;
  const scripted = scriptedServer([call("close", '{"target":"a"}'), call("tell", '{"input":"Hi"}'), answer]);
  const { items, events } = await ask(scripted, conversation);
  expect(items).toMatchObject([
    { type: "function_call", name: "close", namespace: "agents", arguments: '{"target":"a"}' },
  ]);
  expect(events.find(({ type }) => type === "response.output_item.added")).toMatchObject({
    item: { name: "close", namespace: "agents" },
  });
  const closed = { type: "function_call_output", call_id: items[0]!["call_id"], output: "closed" };
  const second = await ask(scripted, [...conversation, ...items, closed]);
  expect(second.items).toMatchObject([
    { type: "custom_tool_call", name: "tell", namespace: "agents", input: "Hi" },
  ]);
  const told = { type: "custom_tool_call_output", call_id: second.items[0]!["call_id"], output: "told" };
  await ask(scripted, [...conversation, ...items, closed, ...second.items, told]);
  const shown = scripted.prompts[2]!;
  expect(shown).toMatch(/\/\/ Other agents\.\s+namespace agents \{\s+\/\/ Closes one\.\s+type close = /);
  expect(shown).toContain("assistant to=agents.close");
  expect(shown).toContain("agents.close to=assistant<|channel|>commentary<|message|>closed<|end|>");
  expect(shown).toContain("agents.tell to=assistant<|channel|>commentary<|message|>told<|end|>");
});

test.each([
  [{ name: "functions", tools: [] }, "tools[0].name"],
  [{ name: "a b", tools: [] }, "tools[0].name"],
  [{ name: "n", tools: [{ type: "local_shell" }] }, "tools[0].tools[0].type"],
  [{ name: "n", tools: [{ type: "function", name: "f", strict: true }] }, undefined],
  [
    {
      name: "n",
      tools: [{ type: "function", name: "f", strict: true, parameters: { type: "object", not: {} } }],
    },
    "tools[0].tools[0].parameters",
  ],
  [{ name: "n", tools: [] }, "tool_choice", "required"],
  [{ name: "n", tools: [{ type: "function", name: "f" }] }, undefined, { type: "function", name: "f" }],
  [{ name: "n", tools: [{ type: "function", name: "f" }] }, "tool_choice", { type: "function", name: "g" }],
])("a namespace is checked as functions are: %j", async (namespace, param, tool_choice = "auto") => {
  const { server } = scriptedServer([answer]);
  const response = await server.fetch(
    new Request("http://localhost/v1/responses", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        input: "Hi",
        tools: [{ type: "namespace", ...namespace }],
        tool_choice,
        max_output_tokens: 16,
      }),
    }),
  );
  const body = (await response.json()) as { error: { param: string } | null };
  expect(response.status).toBe(param === undefined ? 200 : 400);
  expect(body.error?.param).toBe(param);
});
