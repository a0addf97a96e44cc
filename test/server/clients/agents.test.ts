import {
  Agent,
  codeInterpreterTool,
  handoff,
  type Model,
  OpenAIChatCompletionsModel,
  OpenAIResponsesModel,
  Runner,
  tool,
} from "@openai/agents";
import OpenAI from "openai";
import { afterAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { pythonTool, type Tool } from "../../../src/tools/index.ts";
import { listen, MODEL, small } from "../support.ts";
import { answer, call, listenScripted, shown, thought } from "./support.ts";

/*
 * OpenAI's Agents SDK, over both of its models.
 */
const running = await listen(small, {
  builtInTools: { names: ["python"], open: async (names) => names.map(multiplier) },
});
afterAll(async () => {
  await running[Symbol.asyncDispose]();
  await small.close();
});

/** Python as the model is told of it; it knows nothing but how to multiply, and starts at once. */
function multiplier(): Tool {
  const { namespace, placement } = pythonTool();
  return {
    namespace,
    placement,
    call: async ({ content }) => {
      const [, a, b] = /^print\((\d+) ?\* ?(\d+)\)$/.exec(content)!;
      return { text: `${Number(a) * Number(b)}\n` };
    },
  };
}

const runnerOf = (model: Model): Runner =>
  new Runner({
    model,
    tracingDisabled: true,
    modelSettings: { temperature: 0, reasoning: { effort: "low" } },
  });

const apis: Readonly<Record<string, (url: string, id: string) => Model>> = {
  responses: (url, id) => new OpenAIResponsesModel(clientOf(url), id),
  "chat completions": (url, id) => new OpenAIChatCompletionsModel(clientOf(url), id),
};
const clientOf = (baseURL: string): OpenAI => new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });

/** Two functions, and what they have been called with. */
function tools() {
  const calls: unknown[] = [];
  const made = [
    tool({
      name: "get_weather",
      description: "Get the current weather in a city.",
      parameters: z.object({ city: z.string() }),
      execute: async (input) => {
        calls.push(input);
        return '{"temperature":21,"sky":"cloudy"}';
      },
    }),
    tool({
      name: "book_table",
      description: "Book a table.",
      parameters: z.object({ people: z.int(), date: z.string() }),
      execute: async () => "booked",
    }),
  ];
  return { tools: made, calls };
}

describe.each(Object.keys(apis))("an agent over %s", (api) => {
  const runner = runnerOf(apis[api]!(`${running.url}/v1`, MODEL));
  const scripted = async (completions: readonly string[]) => {
    const server = await listenScripted(completions);
    return { server, prompts: server.prompts, runner: runnerOf(apis[api]!(server.url, "scripted")) };
  };

  it("answers", async () => {
    const { finalOutput, state } = await runner.run(new Agent({ name: "a" }), "What is 47 + 38?");
    expect(finalOutput).toContain("85");
    expect(state.usage.outputTokens).toBeGreaterThan(5);
    expect(state.usage.totalTokens).toBe(state.usage.inputTokens + state.usage.outputTokens);
  });

  it("calls a function and reads its output", async () => {
    const { tools: some, calls } = tools();
    const { finalOutput } = await runner.run(
      new Agent({ name: "a", tools: some }),
      "Get the weather in Paris.",
    );
    expect(calls).toEqual([{ city: "Paris" }]);
    expect(finalOutput).toMatch(/21.*cloudy/);
  });

  it("streams both", async () => {
    const { tools: some, calls } = tools();
    const agent = new Agent({ name: "a", tools: some });
    const result = await runner.run(agent, "Get the weather in Paris.", { stream: true });
    const items: string[] = [];
    let text = "";
    for await (const event of result) {
      if (event.type === "run_item_stream_event") items.push(event.item.type);
      if (event.type === "raw_model_stream_event" && event.data.type === "output_text_delta")
        text += event.data.delta;
    }
    await result.completed;
    expect(calls).toEqual([{ city: "Paris" }]);
    expect(items.filter((type) => type !== "reasoning_item")).toEqual([
      "tool_call_item",
      "tool_call_output_item",
      "message_output_item",
    ]);
    expect(items).toContain("reasoning_item");
    expect(result.finalOutput).toBe(text);
    expect(text).toMatch(/21.*cloudy/);
  });

  it("gives an object of a zod schema", async () => {
    const outputType = z.object({ name: z.string(), age: z.number() });
    const { finalOutput } = await runner.run(new Agent({ name: "a", outputType }), "Ann is 31 years old.");
    expect(finalOutput).toEqual({ name: "Ann", age: 31 });
  });

  it("has to call, if told so", async () => {
    const { tools: some } = tools();
    const agent = new Agent({
      name: "a",
      tools: some,
      modelSettings: { toolChoice: "get_weather" },
      toolUseBehavior: "stop_on_first_tool",
    });
    const { finalOutput } = await runner.run(agent, "What is 47 + 38?");
    expect(finalOutput).toContain("cloudy");
  });

  it("sends the reasoning of the turn back, between one call and the next", async () => {
    const paris = { city: "Paris" };
    const rome = { city: "Rome" };
    const { server, runner, prompts } = await scripted([
      thought("First Paris.") + call("get_weather", paris),
      thought("Then Rome.") + call("get_weather", rome),
      thought("Enough.") + answer("Both are cloudy."),
    ]);
    await using _ = server;
    const agent = new Agent({ name: "a", instructions: "Be brief.", tools: tools().tools });
    const { finalOutput, history } = await runner.run(agent, "The weather?");
    expect(finalOutput).toBe("Both are cloudy.");
    const reply = '{"temperature":21,"sky":"cloudy"}';
    const spoken = (text: string) => `<|start|>assistant<|channel|>analysis<|message|>${text}<|end|>`;
    expect(prompts[0]).toContain("# Instructions\n\nBe brief.");
    expect(prompts[2]!.slice(prompts[2]!.indexOf("<|start|>user"))).toBe(
      "<|start|>user<|message|>The weather?<|end|>" +
        spoken("First Paris.") +
        shown("get_weather", paris, reply) +
        spoken("Then Rome.") +
        shown("get_weather", rome, reply) +
        "<|start|>assistant",
    );
    // and the next turn begins without it
    await runner.run(agent, [...history, { role: "user", content: "And now?" }]);
    expect(prompts[3]).not.toContain("First Paris.");
    expect(prompts[3]).toContain("<|channel|>final<|message|>Both are cloudy.<|end|>");
  });

  it("says something ahead of a call, and still knows why it called", async () => {
    const remark = "<|channel|>commentary<|message|>I look.<|end|><|start|>assistant";
    const { server, runner, prompts } = await scripted([
      thought("First Paris.") + remark + call("get_weather", { city: "Paris" }),
      answer("Cloudy."),
    ]);
    await using _ = server;
    await runner.run(new Agent({ name: "a", tools: tools().tools }), "The weather?");
    expect(prompts[1]).toContain(
      "<|start|>assistant<|channel|>analysis<|message|>First Paris.<|end|>" +
        "<|start|>assistant<|channel|>commentary<|message|>I look.<|end|>" +
        shown("get_weather", { city: "Paris" }, '{"temperature":21,"sky":"cloudy"}'),
    );
  });

  it("hands over to another agent", async () => {
    const { server, runner, prompts } = await scripted([
      thought("Not mine.") + call("transfer_to_baker", {}),
      answer("Bread."),
    ]);
    await using _ = server;
    const baker = new Agent({ name: "baker", instructions: "You bake." });
    const clerk = new Agent({ name: "clerk", instructions: "You sort.", handoffs: [handoff(baker)] });
    const { finalOutput, lastAgent } = await runner.run(clerk, "Rolls?");
    expect(lastAgent?.name).toBe("baker");
    expect(finalOutput).toBe("Bread.");
    expect(prompts[0]).toContain("type transfer_to_baker");
    expect(prompts[1]).toContain("# Instructions\n\nYou bake.");
  });
});

describe("an agent over responses only", () => {
  const runner = runnerOf(apis["responses"]!(`${running.url}/v1`, MODEL));

  it("goes on from the response before", async () => {
    const server = await listenScripted([answer("Hello."), answer("Bye.")]);
    await using _ = server;
    const scripted = runnerOf(apis["responses"]!(server.url, "scripted"));
    const agent = new Agent({ name: "a" });
    const first = await scripted.run(agent, "Hi");
    await scripted.run(agent, "And now?", { previousResponseId: first.lastResponseId! });
    expect(server.prompts[1]).toContain("<|start|>user<|message|>Hi<|end|>");
    expect(server.prompts[1]).toContain("Hello.<|end|><|start|>user<|message|>And now?<|end|>");
  });

  it("computes with Python on the server", async () => {
    const agent = new Agent({ name: "a", tools: [codeInterpreterTool({ container: { type: "auto" } })] });
    const { finalOutput, newItems } = await runner.run(agent, "What is 47 * 38?");
    expect(finalOutput).toContain("1786");
    const call = newItems.find(({ type }) => type === "tool_call_item")!;
    expect(call.rawItem).toMatchObject({ type: "hosted_tool_call", name: "code_interpreter_call" });
  });
});
