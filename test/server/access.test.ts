import { request } from "node:http";
import { afterAll, expect, test } from "vitest";
import { Session } from "../../src/index.ts";
import { harmonyIds, scriptedModel } from "../support/scripted-model.ts";
import { listen, MODEL, post, type Running } from "./support.ts";

const { model } = scriptedModel(["<|channel|>final<|message|>Hi<|return|>"]);
const servers: Running[] = [];
afterAll(async () => {
  for (const server of servers) await server[Symbol.asyncDispose]();
});
async function start(options: Parameters<typeof listen>[1] = {}): Promise<Running> {
  const server = await listen(model, { source: new Session(model), ...options });
  servers.push(server);
  return server;
}
const running = await start();
const CHAT = { model: MODEL, messages: [{ role: "user", content: "?" }] };

async function errorOf(response: Response) {
  expect(response.headers.get("x-request-id")).toMatch(/^req_/);
  const { error } = (await response.json()) as {
    error: Record<"message" | "type" | "param" | "code", string | null>;
  };
  expect(Object.keys(error).sort()).toEqual(["code", "message", "param", "type"]);
  return { status: response.status, ...error };
}

/** With headers that fetch wouldn't send. */
function get(url: string, headers: Record<string, string>): Promise<number> {
  return new Promise((resolve, reject) => {
    request(url, { headers }, (response) => {
      response.resume();
      resolve(response.statusCode!);
    })
      .on("error", reject)
      .end();
  });
}

test("health, models and what there is not", async () => {
  const { url, client } = running;
  expect(await (await fetch(`${url}/health`)).json()).toEqual({ status: "ok", running: 0, queued: 0 });
  expect((await client.models.list()).data.map(({ id }) => id)).toEqual([MODEL]);
  expect(await client.models.retrieve(MODEL)).toMatchObject({ object: "model" });
  await expect(client.models.retrieve("gpt-5")).rejects.toMatchObject({
    status: 404,
    code: "model_not_found",
  });
  expect(await errorOf(await fetch(`${url}/v1/nothing`))).toMatchObject({ status: 404, code: "not_found" });
  const wrong = await fetch(`${url}/v1/chat/completions`);
  expect(wrong.headers.get("allow")).toBe("POST");
  expect(await errorOf(wrong)).toMatchObject({ status: 405, code: "method_not_allowed" });
});

test("aliases name the model too", async () => {
  const { client } = await start({ aliases: ["gpt-4o"] });
  expect((await client.chat.completions.create({ ...CHAT, model: "gpt-4o" } as never)).model).toBe(MODEL);
});

test.each<[string, number, string, RequestInit]>([
  [
    "another content type",
    415,
    "unsupported_media_type",
    { headers: { "content-type": "text/plain" }, body: "{}" },
  ],
  ["no JSON", 400, "invalid_json", { body: "{" }],
  ["no UTF-8", 400, "invalid_json", { body: new Uint8Array([0x22, 0xff, 0x22]) }],
  ["deep nesting", 400, "invalid_json", { body: "[".repeat(100_000) }],
  ["brackets in a string", 400, "invalid_value", { body: `{"model":"${"[".repeat(1000)}","messages":[]}` }],
  ["an array", 400, "invalid_value", { body: "[]" }],
  ["a large body", 413, "request_too_large", { body: `"${"x".repeat(5 * 2 ** 20)}"` }],
])("%s is a %i", async (_, status, code, init) => {
  const headers = { "content-type": "application/json" };
  const response = await fetch(`${running.url}/v1/chat/completions`, { method: "POST", headers, ...init });
  expect(await errorOf(response)).toMatchObject({ status, code });
});

const call = { id: "a", type: "function", function: { name: "f", arguments: "{}" } };
const tool = (fields: object) => ({ type: "function", function: { name: "f", ...fields } });
test.each<[object, string]>([
  [{ messages: [] }, "messages"],
  [{ messages: [{ role: "bot", content: "x" }] }, "messages[0].role"],
  [{ messages: [{ role: "user", content: [{ type: "image_url" }] }] }, "messages[0].content[0].type"],
  [{ messages: [{ role: "user", content: "x", name: "<|end|>" }] }, "messages[0].name"],
  [{ messages: [{ role: "tool", content: "x", tool_call_id: "a" }] }, "messages[0]"],
  [{ messages: [{ role: "assistant", tool_calls: [call] }] }, "messages[0].tool_calls"],
  [
    {
      messages: [
        { role: "assistant", tool_calls: [call] },
        { role: "tool", content: "x", tool_call_id: "b" },
      ],
    },
    "messages[1].tool_call_id",
  ],
  [{ messages: Array.from({ length: 3000 }, () => ({ role: "user", content: "x" })) }, "messages"],
  [{ tools: Array.from({ length: 200 }, () => tool({})) }, "tools"],
  [{ tools: [tool({}), tool({})] }, "tools[1].function.name"],
  [{ tools: [tool({ name: "a b" })] }, "tools[0].function.name"],
  [{ tools: [{ type: "web_search" }] }, "tools[0].type"],
  [{ tools: [tool({ strict: true, parameters: { type: "array" } })] }, "tools[0].function.parameters"],
  [{ tool_choice: "required" }, "tool_choice"],
  [{ tools: [tool({})], tool_choice: { type: "function", function: { name: "g" } } }, "tool_choice"],
  [{ tool_choice: "always" }, "tool_choice"],
  [{ response_format: { type: "xml" } }, "response_format.type"],
  [
    { response_format: { type: "json_schema", json_schema: { name: "a", schema: { if: true } } } },
    "response_format.json_schema.schema",
  ],
  [{ response_format: { type: "json_object" }, stop: "x" }, "stop"],
  [{ reasoning_effort: "extreme" }, "reasoning_effort"],
  [{ temperature: 3 }, "temperature"],
  [{ temperature: "1" }, "temperature"],
  [{ top_p: 0 }, "top_p"],
  [{ n: 9 }, "n"],
  [{ stop: ["a", "b", "c", "d", "e"] }, "stop"],
  [{ top_logprobs: 21 }, "top_logprobs"],
  [{ max_tokens: 0 }, "max_tokens"],
  [{ functions: [] }, "functions"],
  [{ modalities: ["audio"] }, "modalities[0]"],
  [{ web_search_options: {} }, "web_search_options"],
])("chat %j is a 400 that names %s", async (fields, param) => {
  const error = await errorOf(await post(`${running.url}/v1/chat/completions`, { ...CHAT, ...fields }));
  expect(error).toMatchObject({ status: 400, type: "invalid_request_error", param });
  expect(error.message!.length).toBeLessThan(500);
});

test("unknown fields and nulls are ignored", async () => {
  const body = {
    ...CHAT,
    user: "u",
    metadata: { a: "b" },
    store: true,
    foo: 1,
    tools: null,
    temperature: null,
    stop: null,
  };
  expect((await post(`${running.url}/v1/chat/completions`, body)).status).toBe(200);
});

test("a prompt beyond the context is a 400 of its own code, also where the operator has set a smaller one", async () => {
  const long = { ...CHAT, messages: [{ role: "user", content: "word ".repeat(5000) }] };
  const expected = { status: 400, code: "context_length_exceeded", param: "messages" };
  expect(await errorOf(await post(`${running.url}/v1/chat/completions`, long))).toMatchObject(expected);
  const { url } = await start({ limits: { contextTokens: 10 } });
  expect(await errorOf(await post(`${url}/v1/chat/completions`, CHAT))).toMatchObject(expected);
});

test("the answer ends where the operator's context does", async () => {
  const text = "<|channel|>final<|message|>one two three four five six seven eight<|return|>";
  const { model } = scriptedModel([text]);
  const measure = await listen(model, { source: new Session(model) });
  servers.push(measure);
  const prompt = (await measure.client.chat.completions.create(CHAT as never)).usage!.prompt_tokens;
  const { client } = await start({ source: new Session(model), limits: { contextTokens: prompt + 5 } });
  const { choices, usage } = await client.chat.completions.create(CHAT as never);
  expect(usage!.completion_tokens).toBe(5);
  expect(harmonyIds(text).length).toBeGreaterThan(5);
  expect(choices[0]!.finish_reason).toBe("length");
});

test("with keys, the API and metrics ask for one of them; health and the document don't", async () => {
  const { url, client } = await start({ apiKeys: ["sk-first", "sk-second"] });
  await expect(client.models.list()).resolves.toBeDefined();
  const as = (authorization: string) => fetch(`${url}/v1/models`, { headers: { authorization } });
  expect((await as("Bearer sk-second")).status).toBe(200);
  for (const wrong of ["Bearer sk-firs", "Bearer sk-first2", "Bearer ", "sk-first", "Basic sk-first"])
    expect(await errorOf(await as(wrong))).toMatchObject({ status: 401, code: "invalid_api_key" });
  expect((await fetch(`${url}/metrics`)).status).toBe(401);
  expect((await post(`${url}/v1/chat/completions`, CHAT)).status).toBe(401);
  expect((await fetch(`${url}/health`)).status).toBe(200);
  expect((await fetch(`${url}/openapi.json`)).status).toBe(200);
});

test("a name that was made to point here is refused", async () => {
  const { url } = running;
  expect(await get(`${url}/v1/models`, { host: "evil.example" })).toBe(403);
  expect(await get(`${url}/v1/models`, { host: "evil.example:8000" })).toBe(403);
  for (const host of ["localhost", "localhost:1234", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST"])
    expect(await get(`${url}/v1/models`, { host })).toBe(200);
  const open = await start({ hosts: "any" });
  expect(await get(`${open.url}/v1/models`, { host: "evil.example" })).toBe(200);
});

test("pages of other origins get in only if they are named", async () => {
  const origin = { origin: "https://app.example" };
  const { url } = running;
  expect(await errorOf(await post(`${url}/v1/chat/completions`, CHAT, origin))).toMatchObject({
    status: 403,
  });
  expect((await post(`${url}/v1/chat/completions`, CHAT, { origin: url })).status).toBe(200); // the server's own page
  const named = await start({ corsOrigins: ["https://app.example"] });
  const allowed = await post(`${named.url}/v1/chat/completions`, CHAT, origin);
  expect(allowed.status).toBe(200);
  expect(allowed.headers.get("access-control-allow-origin")).toBe("https://app.example");
  expect((await fetch(`${named.url}/health`, { headers: { origin: "https://evil.example" } })).status).toBe(
    403,
  );
  const all = await start({ corsOrigins: ["*"], apiKeys: ["k"] });
  const preflight = await fetch(`${all.url}/v1/models`, {
    method: "OPTIONS",
    headers: {
      ...origin,
      "access-control-request-method": "GET",
      "access-control-request-headers": "authorization",
    },
  });
  expect(preflight.status).toBe(204);
  expect(preflight.headers.get("access-control-allow-origin")).toBe("*");
  expect(preflight.headers.get("access-control-allow-headers")).toBe("authorization");
});

test("the log tells of requests, and nothing of what they say", async () => {
  const { client, url, log } = await start({ apiKeys: ["sk-secret"] });
  await client.chat.completions.create({
    ...CHAT,
    messages: [{ role: "user", content: "my secret" }],
  } as never);
  await fetch(`${url}/v1/secret%0Apath`);
  expect(log[0]).toMatch(/^req_\w+ POST \/v1\/chat\/completions 200 \d+ ms \d+ \(0 cached\) \+ \d+ tokens$/);
  expect(log.join("\n").split("\n")).toHaveLength(2);
  expect(log.join("\n")).not.toMatch(/my secret|sk-secret|Hi/);
});

test("metrics count requests and tokens", async () => {
  const { client, url } = await start();
  const { usage } = await client.chat.completions.create(CHAT as never);
  await fetch(`${url}/nothing`);
  const text = await (await fetch(`${url}/metrics`)).text();
  expect(text).toContain('gpt_oss_requests_total{route="/v1/chat/completions",status="200"} 1');
  expect(text).toContain('gpt_oss_requests_total{route="unknown",status="404"} 1');
  expect(text).toContain(`gpt_oss_tokens_total{kind="prompt"} ${usage!.prompt_tokens}`);
  expect(text).toContain(`gpt_oss_tokens_total{kind="generated"} ${usage!.completion_tokens}`);
  expect(text).toContain("gpt_oss_time_to_first_token_seconds_count 1");
  expect(text).toContain(`gpt_oss_token_latency_seconds_count ${usage!.completion_tokens - 1}`);
  expect(text).toContain("gpt_oss_running 0");
});

test("the OpenAPI document has every route, and bodies as they are checked", async () => {
  const document = (await (await fetch(`${running.url}/openapi.json`)).json()) as {
    openapi: string;
    paths: Record<string, Record<string, { requestBody?: { content: Record<string, { schema: object }> } }>>;
  };
  expect(document.openapi).toBe("3.1.0");
  const chat =
    document.paths["/v1/chat/completions"]!["post"]!.requestBody!.content["application/json"]!.schema;
  const { Ajv2020 } = await import("ajv/dist/2020.js");
  const validate = new Ajv2020({ strict: false }).compile(chat);
  expect(validate(CHAT)).toBe(true);
  expect(validate({ ...CHAT, temperature: 3 })).toBe(false);
  expect(validate({ model: MODEL })).toBe(false);
});
