import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type OpenAI from "openai";
import { zodTextFormat } from "openai/helpers/zod";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { PrefixCache } from "../../src/generation/prefix-cache.ts";
import { load, type Model } from "../../src/index.ts";
import { createServer, openStore } from "../../src/server/index.ts";
import { clientOf } from "../support/api-client.ts";

/** The small checkpoint, which really answers, behind OpenAI's own client. */
let model: Model;
let cache: PrefixCache;
let client: OpenAI;
beforeAll(async () => {
  model = await load("golden/small");
  cache = new PrefixCache(model, { bytes: 64 * 2 ** 20 });
  client = clientOf(createServer(model, { id: "small", source: cache, today: () => undefined }));
});
afterAll(async () => {
  cache[Symbol.dispose]();
  await model.close();
});

const low = { model: "small", temperature: 0, reasoning: { effort: "low" } } as const;

const parametersOf = (properties: object, required: string[]) => ({
  type: "object",
  properties,
  required,
  additionalProperties: false,
});
const tools: OpenAI.Responses.FunctionTool[] = [
  {
    type: "function",
    name: "get_weather",
    description: "Get the weather in a city",
    parameters: parametersOf({ city: { type: "string" } }, ["city"]),
    strict: true,
  },
];

describe("responses of the small checkpoint", () => {
  it("calls a function, reads its output and answers", async () => {
    const first = await client.responses.create({ ...low, tools, input: "Get the weather in Paris." });
    const call = first.output.find((item) => item.type === "function_call")!;
    expect(call).toMatchObject({ name: "get_weather" });
    expect(JSON.parse(call.arguments)).toEqual({ city: "Paris" });
    const output = '{"temperature":21,"sky":"cloudy"}';
    const second = await client.responses.create({
      ...low,
      tools,
      previous_response_id: first.id,
      input: [{ type: "function_call_output", call_id: call.call_id, output }],
    });
    expect(second.output_text).toMatch(/cloudy/);
    expect(second.output_text).toMatch(/21/);
    // all that the first prompt had is there; its last token at least is computed anew
    const { cached_tokens } = second.usage!.input_tokens_details;
    expect(cached_tokens).toBeGreaterThanOrEqual(first.usage!.input_tokens - 1);
    expect(cached_tokens).toBeLessThan(second.usage!.input_tokens);
  });

  it("calls the function that it has to call, whatever was asked", async () => {
    const input = "Who are you?";
    for (const tool_choice of ["required", { type: "function", name: "get_weather" }] as const) {
      const { output } = await client.responses.create({ ...low, tools, input, tool_choice });
      const call = output.at(-1) as OpenAI.Responses.ResponseFunctionToolCall;
      expect(call).toMatchObject({ type: "function_call", name: "get_weather", status: "completed" });
      expect(Object.keys(JSON.parse(call.arguments))).toEqual(["city"]);
    }
  });

  it("fills a zod schema, and the client parses it", async () => {
    const person = z.object({ name: z.string(), age: z.number() });
    const { output_parsed } = await client.responses.parse({
      ...low,
      input: "Ann is 31 years old.",
      text: { format: zodTextFormat(person, "person") },
    });
    expect(output_parsed).toEqual({ name: "Ann", age: 31 });
  });

  it("gives the same answer for the same seed, streamed or not", async () => {
    const ask = { ...low, temperature: 1, input: "What is 47 + 38?", seed: 7 };
    const { output_text } = await client.responses.create(ask);
    const streamed = await client.responses.stream(ask).finalResponse();
    expect(streamed.output_text).toBe(output_text);
  });

  it("goes on with a conversation after the server was started anew", async () => {
    const folder = mkdtempSync(join(tmpdir(), "responses-"));
    const file = join(folder, "responses.db");
    try {
      const before = await openStore({ file });
      const ask = { ...low, input: "What is 47 + 38?" };
      const first = await clientOf(createServer(model, { store: before, id: "small" })).responses.create(ask);
      expect(first.output_text).toContain("85");
      await before.close();

      const after = await openStore({ file });
      const again = clientOf(createServer(model, { store: after, id: "small" }));
      expect(await again.responses.retrieve(first.id)).toMatchObject({ output: first.output });
      const second = await again.responses.create({
        ...low,
        input: "What is 12 + 13?",
        previous_response_id: first.id,
      });
      expect(second.output_text).toContain("25");
      expect(second.usage!.input_tokens).toBeGreaterThan(first.usage!.input_tokens + 10);
      await after.close();
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
