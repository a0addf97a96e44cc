import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import {
  APICallError,
  generateObject,
  generateText,
  Output,
  stepCountIs,
  streamObject,
  streamText,
  tool,
} from "ai";
import { afterAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { listen, MODEL, small } from "../support.ts";
import { answer, call, listenScripted, shown, thought } from "./support.ts";

/*
 * Vercel's AI SDK, by its provider for compatible servers.
 */
const running = await listen(small);
afterAll(async () => {
  await running[Symbol.asyncDispose]();
  await small.close();
});

const provider = (baseURL: string) =>
  createOpenAICompatible({ name: "ours", baseURL, includeUsage: true, supportsStructuredOutputs: true });
const model = provider(`${running.url}/v1`)(MODEL);
const low = {
  model,
  temperature: 0,
  maxRetries: 0,
  providerOptions: { ours: { reasoningEffort: "low" } },
} as const;

/** Two functions, and what they have been called with. */
function tools() {
  const calls: unknown[] = [];
  const made = {
    get_weather: tool({
      description: "Get the current weather in a city.",
      inputSchema: z.object({ city: z.string() }),
      execute: async (input) => {
        calls.push(input);
        return { temperature: 21, sky: "cloudy" };
      },
    }),
    book_table: tool({
      description: "Book a table.",
      inputSchema: z.object({ people: z.int(), date: z.string() }),
      execute: async () => "booked",
    }),
  };
  return { tools: made, calls };
}

describe("text", () => {
  const ask = { ...low, prompt: "What is 47 + 38?" };

  it("comes with its reasoning and usage", async () => {
    const { text, reasoningText, finishReason, usage } = await generateText(ask);
    expect(text).toContain("85");
    expect(reasoningText).toContain("7+8=15");
    expect(finishReason).toBe("stop");
    expect(usage.totalTokens).toBe(usage.inputTokens! + usage.outputTokens!);
    expect(usage.outputTokenDetails.reasoningTokens).toBeGreaterThan(0);
    expect(usage.outputTokenDetails.reasoningTokens).toBeLessThan(usage.outputTokens!);
  });

  it("streams, reasoning first", async () => {
    const whole = await generateText(ask);
    const result = streamText(ask);
    const types: string[] = [];
    const parts = { reasoning: "", text: "" };
    for await (const part of result.fullStream) {
      if (part.type === "reasoning-delta") parts.reasoning += part.text;
      if (part.type === "text-delta") parts.text += part.text;
      if (part.type !== types.at(-1)) types.push(part.type);
    }
    expect(types.filter((type) => /^(text|reasoning)-/.test(type))).toEqual([
      "reasoning-start",
      "reasoning-delta",
      "reasoning-end",
      "text-start",
      "text-delta",
      "text-end",
    ]);
    expect(parts).toEqual({ reasoning: whole.reasoningText, text: whole.text });
    expect(await result.totalUsage).toEqual(whole.totalUsage);
    expect(await result.finishReason).toBe("stop");
  });
});

describe("tools", () => {
  const ask = { ...low, prompt: "Get the weather in Paris.", stopWhen: stepCountIs(3) };

  it("are called in a loop until there is an answer", async () => {
    const { tools: some, calls } = tools();
    const { text, steps } = await generateText({ ...ask, tools: some });
    expect(calls).toEqual([{ city: "Paris" }]);
    expect(steps.map(({ finishReason }) => finishReason)).toEqual(["tool-calls", "stop"]);
    expect(text).toMatch(/21.*cloudy/);
  });

  it("are called in a loop while the answer streams", async () => {
    const { tools: some, calls } = tools();
    const result = streamText({ ...ask, tools: some });
    const types: string[] = [];
    for await (const { type } of result.fullStream) if (/^tool-(call|result)$/.test(type)) types.push(type);
    expect(types).toEqual(["tool-call", "tool-result"]);
    expect(calls).toEqual([{ city: "Paris" }]);
    expect(await result.text).toMatch(/21.*cloudy/);
  });

  it("have to be called if that is asked for", async () => {
    const { tools: some } = tools();
    for (const toolChoice of ["required", { type: "tool", toolName: "get_weather" }] as const) {
      const { toolCalls } = await generateText({
        ...ask,
        prompt: "Hi",
        tools: some,
        toolChoice,
        stopWhen: stepCountIs(1),
      });
      expect(toolCalls).toHaveLength(1);
      if (toolChoice !== "required") expect(toolCalls[0]!.toolName).toBe("get_weather");
    }
  });

  it.each([false, true])(
    "have the reasoning of the turn sent back between calls (streamed: %s)",
    async (isStream) => {
      const [paris, rome] = [{ city: "Paris" }, { city: "Rome" }];
      await using server = await listenScripted([
        thought("First Paris.") + call("get_weather", paris),
        thought("Then Rome.") + call("get_weather", rome),
        thought("Enough.") + answer("Both are cloudy."),
      ]);
      const request = {
        model: provider(server.url)("scripted"),
        system: "Be brief.",
        prompt: "The weather?",
        tools: tools().tools,
        stopWhen: stepCountIs(5),
      };
      const text = isStream ? await streamText(request).text : (await generateText(request)).text;
      expect(text).toBe("Both are cloudy.");
      const [first, , last] = server.prompts as [string, string, string];
      const spoken = (text: string) => `<|start|>assistant<|channel|>analysis<|message|>${text}<|end|>`;
      const reply = '{"temperature":21,"sky":"cloudy"}';
      expect(first).toContain("# Instructions\n\nBe brief.");
      expect(last.slice(last.indexOf("<|start|>user"))).toBe(
        "<|start|>user<|message|>The weather?<|end|>" +
          spoken("First Paris.") +
          shown("get_weather", paris, reply) +
          spoken("Then Rome.") +
          shown("get_weather", rome, reply) +
          "<|start|>assistant",
      );
    },
  );
});

describe("objects", () => {
  const schema = z.object({ name: z.string(), age: z.number() });
  const ask = { ...low, prompt: "Ann is 31 years old." };
  const ann = { name: "Ann", age: 31 };

  it("fit a zod schema", async () => {
    expect((await generateObject({ ...ask, schema, schemaName: "person" })).object).toEqual(ann);
    const { output } = await generateText({ ...ask, output: Output.object({ schema, name: "person" }) });
    expect(output).toEqual(ann);
  });

  it("grow while they stream", async () => {
    const { partialObjectStream, object } = streamObject({ ...ask, schema, schemaName: "person" });
    const states: unknown[] = [];
    for await (const state of partialObjectStream) states.push(state);
    expect(states.length).toBeGreaterThan(1);
    expect(states.at(-1)).toEqual(ann);
    expect(await object).toEqual(ann);
  });
});

describe("a request that goes wrong", () => {
  it("stops the work on the server when it is aborted", async () => {
    const { log } = running;
    log.length = 0;
    const endless = Object.fromEntries(small.defaults.stopTokens.map((id) => [id, -100]));
    const abort = new AbortController();
    const result = streamText({
      ...low,
      providerOptions: { ours: { logit_bias: endless } },
      prompt: "What is 47 + 38?",
      abortSignal: abort.signal,
      onError: () => {},
    });
    let last = "";
    for await (const part of result.fullStream) {
      if (part.type === "reasoning-delta") abort.abort();
      last = part.type;
    }
    expect(last).toBe("abort");
    await running.server.context.admission.idle();
    const generated = Number(/ (\d+) tokens$/.exec(log.at(-1)!)![1]);
    expect(generated).toBeLessThan(1000); // of the 4000 that there is room for
  });

  it("ends in the error that the server tells", async () => {
    const failed = generateText({ ...low, model: provider(`${running.url}/v1`)("gpt-5"), prompt: "Hi" });
    const error = (await failed.catch((error: unknown) => error)) as APICallError;
    expect(APICallError.isInstance(error)).toBe(true);
    expect(error).toMatchObject({
      statusCode: 404,
      isRetryable: false,
      message: expect.stringContaining("'small'"),
    });
  });
});
