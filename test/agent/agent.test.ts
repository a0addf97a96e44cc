import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Agent, type AgentEvent, type AgentOptions, type Final } from "../../src/agent/index.ts";
import { UsageError } from "../../src/errors.ts";
import { type Message, PYTHON, renderConversation } from "../../src/harmony/index.ts";
import type { Tool, ToolCall, ToolContext, ToolResult } from "../../src/tools/index.ts";
import { type ScriptedModel, scriptedModel, tokenizer } from "../support/scripted-model.ts";

function weatherTool(
  answer: (call: ToolCall, context: ToolContext) => Promise<ToolResult> = async () => ({ text: '{"t":21}' }),
): Tool & { calls: ToolCall[] } {
  const calls: ToolCall[] = [];
  const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
  return {
    calls,
    namespace: {
      name: "functions",
      tools: [{ name: "get_weather", description: "The weather.", parameters }],
    },
    placement: "developer",
    call(call, context) {
      calls.push(call);
      return answer(call, context);
    },
  };
}

function pythonTool(): Tool {
  return {
    namespace: PYTHON,
    placement: "system",
    call: async ({ content }) => ({ text: content === "print(6*7)" ? "42\n" : "?" }),
  };
}

const thought = (text: string): string => `<|channel|>analysis<|message|>${text}<|end|><|start|>assistant`;
const call = (to: string, text: string): string =>
  `<|channel|>commentary to=${to} <|constrain|>json<|message|>${text}<|call|>`;
const answer = (text: string): string => `<|channel|>final<|message|>${text}<|return|>`;

async function collect(events: AsyncIterable<AgentEvent>): Promise<AgentEvent[]> {
  const all: AgentEvent[] = [];
  for await (const event of events) all.push(event);
  return all;
}

/** Events with the pieces of a text put together. */
function joined(events: readonly AgentEvent[]): unknown[] {
  const all: Record<string, unknown>[] = [];
  for (const event of events) {
    const last = all.at(-1);
    if ("delta" in event && last?.["type"] === event.type) last["delta"] += event.delta;
    else all.push({ ...event });
  }
  return all;
}

const finalOf = (events: readonly AgentEvent[]): Final => events.at(-1) as Final;

function start(completions: string[], options: AgentOptions = {}): ScriptedModel & { agent: Agent } {
  const scripted = scriptedModel(completions);
  return { ...scripted, agent: new Agent(scripted.model, { strictCalls: false, ...options }) };
}

describe("a turn", () => {
  test("reasons, calls, reads the result and answers", async () => {
    const weather = weatherTool();
    const { agent, prompts } = start(
      [
        `${thought("Need it.")}${call("functions.get_weather", '{"city":"Paris"}')}`,
        thought("Warm.") + answer("21 °C."),
      ],
      { tools: [weather], date: "2026-11-24", effort: "low", instructions: "Be brief." },
    );
    const events = await collect(agent.run("Weather in Paris?"));
    const request = {
      recipient: "functions.get_weather",
      function: "get_weather",
      content: '{"city":"Paris"}',
    };
    expect(joined(events)).toMatchObject([
      { type: "reasoning", delta: "Need it." },
      { type: "tool-call-delta", recipient: "functions.get_weather", delta: '{"city":"Paris"}' },
      { type: "tool-call", call: request },
      { type: "tool-result", call: request, result: { text: '{"t":21}' } },
      { type: "reasoning", delta: "Warm." },
      { type: "text", channel: "final", delta: "21 °C." },
      { type: "final", text: "21 °C.", finishReason: "stop" },
    ]);
    expect(weather.calls).toEqual([request]);
    // openai-harmony's rendering of this opening, and the model's own tokens behind it
    expect(prompts[1]).toBe(
      [
        "<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.\nKnowledge cutoff: 2024-06\n",
        "Current date: 2026-11-24\n\nReasoning: low\n\n# Valid channels: analysis, commentary, final. ",
        "Channel must be included for every message.\n",
        "Calls to these tools must go to the commentary channel: 'functions'.<|end|>",
        "<|start|>developer<|message|># Instructions\n\nBe brief.\n\n# Tools\n\n## functions\n\nnamespace functions {\n\n",
        "// The weather.\ntype get_weather = (_: {\ncity: string,\n}) => any;\n\n} // namespace functions<|end|>",
        "<|start|>user<|message|>Weather in Paris?<|end|>",
        "<|start|>assistant<|channel|>analysis<|message|>Need it.<|end|>",
        '<|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"city":"Paris"}<|call|>',
        '<|start|>functions.get_weather to=assistant<|channel|>commentary<|message|>{"t":21}<|end|><|start|>assistant',
      ].join(""),
    );
  });

  test("what a tool has to add to its description follows the instructions", async () => {
    const tool = { ...weatherTool(), instructions: "Cities only." };
    const { agent, prompts } = start([answer("Yes.")], { tools: [tool], instructions: "Be brief." });
    await collect(agent.run("Hi"));
    expect(prompts[0]).toContain("# Instructions\n\nBe brief.\n\nCities only.\n\n# Tools");
  });

  test("built-in tools are told of in the system message and answer on the channel of the call", async () => {
    const { agent, prompts } = start(
      [`${thought("Compute.")}<|channel|>analysis to=python code<|message|>print(6*7)<|call|>`, answer("42")],
      { tools: [pythonTool()] },
    );
    expect(finalOf(await collect(agent.run("6 times 7?"))).text).toBe("42");
    expect(prompts[0]).toContain("# Tools\n\n## python\n\nUse this tool to execute Python code");
    expect(prompts[1]).toContain(
      "print(6*7)<|call|><|start|>python to=assistant<|channel|>analysis<|message|>42\n<|end|>",
    );
  });

  test("remarks between calls are text for the user", async () => {
    const { agent } = start(
      [
        `<|channel|>commentary<|message|>Let me look.<|end|><|start|>assistant${call("functions.get_weather", "{}")}`,
        answer("Done."),
      ],
      { tools: [weatherTool()] },
    );
    const events = joined(await collect(agent.run("Weather?")));
    expect(events[0]).toEqual({ type: "text", channel: "commentary", delta: "Let me look." });
    expect(events.at(-1)).toMatchObject({ text: "Done." });
  });

  test("a remark that ends the turn stands in for the answer", async () => {
    const { agent } = start(["<|channel|>commentary<|message|>All done.<|return|>"]);
    expect(finalOf(await collect(agent.run("Hi")))).toMatchObject({
      text: "All done.",
      finishReason: "stop",
    });
  });

  test("counts tokens, those from the cache among them", async () => {
    const { agent } = start([call("functions.get_weather", "{}"), answer("Done.")], {
      tools: [weatherTool()],
    });
    const { usage } = finalOf(await collect(agent.run("Weather?")));
    expect(usage.cachedTokens).toBeGreaterThan(usage.promptTokens / 3);
    expect(usage.completionTokens).toBeGreaterThan(10);
  });
});

describe("calls as models write them", () => {
  test.each([
    ["without the namespace", call("get_weather", "{}")],
    ["on the analysis channel", "<|channel|>analysis to=functions.get_weather<|message|>{}<|call|>"],
    ["closed by <|return|>", "<|channel|>commentary to=functions.get_weather<|message|>{}<|return|>"],
    ["without a channel", " to=functions.get_weather<|message|>{}<|call|>"],
  ])("%s", async (_, completion) => {
    const weather = weatherTool();
    const { agent, prompts } = start([completion, answer("Done.")], { tools: [weather] });
    expect(finalOf(await collect(agent.run("Weather?"))).text).toBe("Done.");
    expect(weather.calls).toEqual([
      { recipient: "functions.get_weather", function: "get_weather", content: "{}" },
    ]);
    expect(prompts[1]).toMatch(
      /<\|call\|><\|start\|>functions\.get_weather to=assistant.*<\|end\|><\|start\|>assistant$/,
    );
  });

  test("python called as a function reaches the interpreter", async () => {
    const { agent } = start([call("functions.python", "print(6*7)"), answer("42")], {
      tools: [pythonTool()],
    });
    const events = await collect(agent.run("6 times 7?"));
    expect(events.find(({ type }) => type === "tool-result")).toMatchObject({
      call: { recipient: "python" },
      result: { text: "42\n" },
    });
  });

  test("an unknown tool is answered with what there is", async () => {
    const { agent, prompts } = start([call("functions.launch", "{}"), answer("Sorry.")], {
      tools: [weatherTool(), pythonTool()],
    });
    expect(finalOf(await collect(agent.run("Launch!"))).text).toBe("Sorry.");
    expect(prompts[1]).toContain(
      "Unknown tool: functions.launch. There are: functions.get_weather, python.<|end|>",
    );
  });

  test("a malformed header is put right before the model reads on", async () => {
    const { agent, prompts } = start(
      [
        "<|channel|>commentary<|channel|>commentary to=functions.get_weather<|message|>{}<|call|>",
        answer("Done."),
      ],
      { tools: [weatherTool()] },
    );
    const events = await collect(agent.run("Weather?"));
    expect(events.some(({ type }) => type === "repair")).toBe(true);
    expect(prompts[1]).toContain(
      "<|start|>assistant to=functions.get_weather<|channel|>commentary<|message|>{}<|call|>",
    );
  });
});

describe("limits", () => {
  const looping = (): string[] => [call("functions.get_weather", "{}")];

  test("a turn ends after maxSteps calls, and can be gone on with", async () => {
    const weather = weatherTool();
    const { agent } = start(looping(), { tools: [weather], maxSteps: 3 });
    expect(finalOf(await collect(agent.run("Weather?")))).toMatchObject({ finishReason: "steps", text: "" });
    expect(weather.calls).toHaveLength(3);
    expect(agent.isUnfinished).toBe(true);
    await collect(agent.resume());
    expect(weather.calls).toHaveLength(7); // the call that was left, and three more
  });

  test("a call that takes too long is a result that says so", async () => {
    const weather = weatherTool(() => new Promise(() => {}));
    const { agent, prompts } = start([...looping(), answer("Too slow.")], {
      tools: [weather],
      toolSeconds: 0.02,
    });
    expect(finalOf(await collect(agent.run("Weather?"))).text).toBe("Too slow.");
    expect(prompts[1]).toContain("[ERROR] No result within 0.02 seconds.<|end|>");
  });

  test("a tool that throws is a result that says why", async () => {
    const weather = weatherTool(async () => {
      throw new Error("station closed");
    });
    const { agent, prompts } = start([...looping(), answer("Closed.")], { tools: [weather] });
    await collect(agent.run("Weather?"));
    expect(prompts[1]).toContain("[ERROR] station closed<|end|>");
  });

  test("long results are cut, by characters and by what the context holds", async () => {
    const long = "Rain in 東京. ".repeat(1000);
    for (const toolCharacters of [100, 1e6]) {
      const { agent, prompts } = start([...looping(), answer("Wet.")], {
        tools: [weatherTool(async () => ({ text: long }))],
        toolCharacters,
      });
      expect(finalOf(await collect(agent.run("Weather?"))).text).toBe("Wet.");
      const shown = /commentary<\|message\|>(Rain[\s\S]*)\n\[… (\d+) more characters were cut]/.exec(
        prompts[1]!,
      )!;
      expect(long.startsWith(shown[1]!)).toBe(true);
      expect(shown[1]!.length + Number(shown[2])).toBe(long.length);
      if (toolCharacters === 100) expect(shown[1]!.length).toBe(100);
      expect(tokenizer.encode(prompts[1]!).length).toBeLessThan(3000);
    }
  });

  test("an answer cut by maxTokens is kept, and written anew on resume", async () => {
    const { agent } = start([answer("One two three four five six seven eight."), answer("Short.")], {
      generation: { maxTokens: 8 },
    });
    const cut = finalOf(await collect(agent.run("Count.")));
    expect(cut.finishReason).toBe("length");
    expect("One two three four five six seven eight.".startsWith(cut.text)).toBe(true);
    expect(agent.messages.at(-1)).toMatchObject({ channel: "final", content: cut.text });
    agent.generation = {};
    expect(finalOf(await collect(agent.resume()))).toMatchObject({ finishReason: "stop", text: "Short." });
    expect(agent.messages.filter(({ channel }) => channel === "final")).toHaveLength(1);
  });

  test("a call cut by maxTokens doesn't run", async () => {
    const weather = weatherTool();
    const { agent } = start([call("functions.get_weather", '{"city":"A very long name"}')], {
      tools: [weather],
      generation: { maxTokens: 14 },
    });
    expect(finalOf(await collect(agent.run("Weather?"))).finishReason).toBe("length");
    expect(weather.calls).toEqual([]);
    expect(agent.messages).toHaveLength(1);
  });

  test("limits that make no sense are refused", () => {
    const { model } = scriptedModel([answer("x")]);
    for (const options of [{ maxSteps: 0 }, { toolSeconds: -1 }, { toolCharacters: Number.NaN }])
      expect(() => new Agent(model, options)).toThrow(UsageError);
  });
});

describe("a conversation", () => {
  test("drops reasoning once there is an answer, and keeps functions' calls", async () => {
    const { agent, prompts } = start(
      [
        thought("First thought.") + call("functions.get_weather", '{"city":"Paris"}'),
        thought("Second thought.") + answer("21 °C."),
        answer("Yes."),
      ],
      { tools: [weatherTool()] },
    );
    await collect(agent.run("Weather in Paris?"));
    await collect(agent.run("Sure?"));
    expect(prompts[1]).toContain("First thought.");
    expect(prompts[2]).not.toContain("thought");
    expect(prompts[2]).toContain(
      '<|start|>assistant to=functions.get_weather<|channel|>commentary <|constrain|>json<|message|>{"city":"Paris"}<|call|>' +
        '<|start|>functions.get_weather to=assistant<|channel|>commentary<|message|>{"t":21}<|end|>' +
        "<|start|>assistant<|channel|>final<|message|>21 °C.<|end|><|start|>user<|message|>Sure?<|end|><|start|>assistant",
    );
    expect(agent.messages.filter(({ channel }) => channel === "analysis")).toHaveLength(2);
  });

  test("that outgrows the context loses its oldest turns, and says so", async () => {
    const { model, prompts } = scriptedModel([answer("Well. ".repeat(20))], 600);
    const agent = new Agent(model, { instructions: "Stay." });
    let dropped = 0;
    for (let i = 0; i < 8; i++) {
      for (const event of await collect(agent.run(`Question ${i}. ${"More of it. ".repeat(8)}`)))
        if (event.type === "dropped") dropped += event.messages;
    }
    expect(agent.messages).toHaveLength(16);
    expect(dropped).toBeGreaterThan(4);
    expect(prompts.at(-1)).toContain("Stay.");
    expect(prompts.at(-1)).toContain("Question 7.");
    expect(prompts.at(-1)).not.toContain("Question 0.");
    for (const prompt of prompts) expect(tokenizer.encode(prompt).length).toBeLessThan(600);
    await expect(collect(agent.run("Too long. ".repeat(500)))).rejects.toThrow(
      /longer than the model's context/,
    );
    expect(agent.messages).toHaveLength(16);
    expect(agent.isUnfinished).toBe(false);
  });

  test("a turn that fills the context ends there, well-formed or not", async () => {
    for (const header of ["<|channel|>commentary", "<|channel|>commentary<|channel|>commentary"]) {
      const lookup = `${thought("More. ".repeat(30))}${header} to=functions.get_weather<|message|>{}<|call|>`;
      const { model } = scriptedModel([lookup], 700);
      const agent = new Agent(model, { tools: [weatherTool()], strictCalls: false });
      const events = await collect(agent.run("Weather?"));
      expect(finalOf(events).finishReason).toBe("length");
      expect(events.filter(({ type }) => type === "tool-result").length).toBeGreaterThan(1);
    }
  });

  test("an aborted answer is kept as far as it went, and the next turn builds on it", async () => {
    const { agent, prompts } = start([thought("Hm.") + answer("One two three four."), answer("Five.")]);
    const controller = new AbortController();
    await expect(async () => {
      for await (const event of agent.run("Count.", { signal: controller.signal }))
        if (event.type === "text" && event.delta.includes("two")) controller.abort(new Error("enough"));
    }).rejects.toThrow("enough");
    expect(agent.isUnfinished).toBe(true);
    const kept = agent.messages.at(-1)!;
    expect(kept).toMatchObject({ channel: "final", content: expect.stringMatching(/^One two/) });
    await collect(agent.run("Go on."));
    expect(prompts[1]).toContain(
      `final<|message|>${kept.content}<|end|><|start|>user<|message|>Go on.<|end|>`,
    );
  });

  test("a turn aborted in a call goes on from there", async () => {
    const controller = new AbortController();
    let runs = 0;
    const weather = weatherTool(async () => {
      if (++runs === 1) controller.abort(new Error("enough"));
      return { text: "sun" };
    });
    const { agent, prompts } = start(
      [thought("Look.") + call("functions.get_weather", "{}"), answer("Sun.")],
      {
        tools: [weather],
      },
    );
    await expect(collect(agent.run("Weather?", { signal: controller.signal }))).rejects.toThrow("enough");
    expect(finalOf(await collect(agent.resume())).text).toBe("Sun.");
    expect(prompts[1]).toContain("Look.<|end|>");
    expect(agent.isUnfinished).toBe(false);
    await expect(collect(agent.resume())).rejects.toThrow(UsageError);
  });

  test("another question settles a turn that was left unfinished", async () => {
    const { agent, prompts } = start(
      [thought("Look.") + call("functions.get_weather", "{}"), answer("Hello.")],
      { tools: [weatherTool()], maxSteps: 1 },
    );
    const controller = new AbortController();
    await expect(async () => {
      for await (const event of agent.run("Weather?", { signal: controller.signal }))
        if (event.type === "tool-result") controller.abort(new Error("enough"));
    }).rejects.toThrow("enough");
    await collect(agent.run("Hello?"));
    expect(prompts[1]).toMatch(
      /<\|start\|>user<\|message\|>Weather\?<\|end\|><\|start\|>user<\|message\|>Hello\?<\|end\|><\|start\|>assistant$/,
    );
  });

  test("goes on from saved messages", async () => {
    const messages: Message[] = [
      { role: "user", content: "Weather?" },
      { role: "assistant", channel: "commentary", recipient: "functions.get_weather", content: "{}" },
    ];
    const { agent } = start([answer("21 °C.")], { tools: [weatherTool()], messages });
    expect(agent.isUnfinished).toBe(true);
    const events = await collect(agent.resume());
    expect(events.map(({ type }) => type)).toContain("tool-result");
    expect(finalOf(events).text).toBe("21 °C.");
  });

  test("can be cleared, and effort and tools changed", async () => {
    const { agent, prompts } = start([answer("Hi.")]);
    await collect(agent.run("Hello"));
    agent.clear();
    agent.effort = "high";
    agent.tools = [weatherTool()];
    await collect(agent.run("Again"));
    expect(prompts[1]).not.toContain("Hello");
    expect(prompts[1]).toContain("Reasoning: high");
    expect(prompts[1]).toContain("get_weather");
  });

  test("one turn at a time: another is refused, and changes nothing", async () => {
    const { agent } = start([thought("Hm.") + answer("One two three.")]);
    for await (const event of agent.run("Count.")) {
      if (event.type !== "reasoning") continue;
      await expect(collect(agent.run("Again."))).rejects.toThrow(/at work/);
      await expect(collect(agent.resume())).rejects.toThrow(/at work/);
      expect(() => agent.clear()).toThrow(/at work/);
      expect(() => agent.takeBack()).toThrow(/at work/);
    }
    expect(agent.messages.map(({ channel, role }) => channel ?? role)).toEqual(["user", "analysis", "final"]);
    await collect(agent.run("Again."));
  });

  test("questions can be taken back, all of a conversation that had outgrown the context", async () => {
    const { model, prompts } = scriptedModel([answer("Well. ".repeat(20))], 600);
    const agent = new Agent(model);
    for (let i = 0; i < 6; i++) await collect(agent.run(`Question ${i}. ${"More of it. ".repeat(8)}`));
    while (agent.messages.length > 0) agent.takeBack();
    await collect(agent.run("The last one?"));
    expect(prompts.at(-1)).toContain("The last one?");
  });

  test("an answer that nobody listens to any more is kept as far as it went", async () => {
    const { agent } = start([answer("One two three four.")]);
    for await (const event of agent.run("Count."))
      if (event.type === "text" && event.delta.includes("two")) break;
    expect(agent.messages.at(-1)).toMatchObject({ content: expect.stringMatching(/^One two/) });
    expect(agent.isUnfinished).toBe(true);
  });

  test("messages that the agent writes itself are refused, and a conversation without a question is kept", async () => {
    const { model, prompts } = scriptedModel([answer("Hi.")]);
    expect(() => new Agent(model, { messages: [{ role: "developer", content: "Be brief." }] })).toThrow(
      /role developer/,
    );
    const agent = new Agent(model, {
      messages: [{ role: "assistant", channel: "commentary", content: "Welcome." }],
    });
    await collect(agent.run("Hello"));
    expect(prompts[0]).toContain("Welcome.");
  });

  test("two tools of one name are refused", async () => {
    const { agent } = start([answer("Hi.")], { tools: [weatherTool(), weatherTool()] });
    await expect(collect(agent.run("Hello"))).rejects.toThrow(/functions\.get_weather/);
  });
});

describe("formats", () => {
  test("arguments are held to the function's schema, and other calls left alone", async () => {
    const weather = weatherTool();
    const { agent } = start(
      [
        call("functions.get_weather", '{"city":"Paris","oops'),
        "<|channel|>analysis to=python code<|message|>print(6*7)<|call|>",
        answer("Done."),
      ],
      { tools: [weather, pythonTool()], strictCalls: true, generation: { maxTokens: 60 } },
    );
    const events = await collect(agent.run("Weather in Paris?"));
    expect(JSON.parse(weather.calls[0]!.content)).toEqual({ city: expect.stringMatching(/^Paris/) });
    expect(events.filter(({ type }) => type === "tool-result")[1]).toMatchObject({
      result: { text: "42\n" },
    });
  });

  test("the model is told of the answer's format, and held to it after its reasoning", async () => {
    const schema = {
      type: "object",
      properties: { n: { enum: [1, 2] } },
      required: ["n"],
      additionalProperties: false,
    };
    const { agent, prompts } = start([thought("Two, I think.") + answer("It is 2.")], {
      responseFormat: { name: "number", schema },
    });
    const { text } = finalOf(await collect(agent.run("1 or 2?")));
    expect([1, 2]).toContain(JSON.parse(text).n);
    expect(prompts[0]).toContain(`# Response Formats\n\n## number\n\n${JSON.stringify(schema)}<|end|>`);
    expect(agent.messages[1]).toMatchObject({ channel: "analysis", content: "Two, I think." });
  });

  test("a schema that can't be enforced is refused for the answer, and left to the function for a call", async () => {
    const schema = { type: "object", properties: { a: { not: { const: 1 } } } };
    const tool: Tool = {
      ...weatherTool(),
      namespace: { name: "functions", tools: [{ name: "f", description: "", parameters: schema }] },
      call: async ({ content }) => ({ text: content }),
    };
    const { agent } = start([call("functions.f", "{not json"), answer("Done.")], {
      tools: [tool],
      strictCalls: true,
    });
    const events = await collect(agent.run("Do it."));
    expect(events.find(({ type }) => type === "tool-result")).toMatchObject({
      result: { text: "{not json" },
    });
    agent.responseFormat = { name: "x", schema };
    await expect(collect(agent.run("Again."))).rejects.toThrow(/not/);
  });
});

test("whatever the model writes, a turn ends, and the conversation can be rendered and gone on with", async () => {
  const pieces = [
    ...["<|start|>", "<|channel|>", "<|message|>", "<|constrain|>", "<|end|>", "<|call|>", "<|return|>"],
    ...[
      "assistant",
      "analysis",
      "commentary",
      "final",
      " to=functions.get_weather",
      " to=python",
      " to=",
      "json",
      "{}",
    ],
    ...["<|endoftext|>", "functions.get_weather", "Hello. ", "\n", "user", " to=all"],
  ];
  const completion = fc.array(fc.constantFrom(...pieces), { maxLength: 14 }).map((all) => all.join(""));
  await fc.assert(
    fc.asyncProperty(fc.array(completion, { minLength: 1, maxLength: 4 }), async (completions) => {
      const { agent } = start(completions, {
        tools: [weatherTool(), pythonTool()],
        maxSteps: 5,
        generation: { maxTokens: 40 },
      });
      for (const question of ["One?", "Two?"]) {
        const events = await collect(agent.run(question));
        expect(events.filter(({ type }) => type === "final")).toHaveLength(1);
        expect(events.filter(({ type }) => type === "tool-call").length).toBeLessThanOrEqual(5);
        expect(events.filter(({ type }) => type === "tool-call").length).toBe(
          events.filter(({ type }) => type === "tool-result").length,
        );
        const { text } = finalOf(events);
        const shown = events.flatMap((event) => (event.type === "text" ? [event.delta] : [])).join("");
        for (const line of text.split("\n\n")) expect(shown).toContain(line);
      }
      renderConversation(tokenizer, agent.messages);
    }),
    { seed: 11, numRuns: 300 * Number(process.env["FUZZ_RUNS"] ?? 1) },
  );
});
