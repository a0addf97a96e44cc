import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { type ChatToken, chat } from "../../src/generation/chat.ts";
import type { GeneratedToken, GenerateOptions } from "../../src/generation/generate.ts";
import { load, type Model } from "../../src/generation/model.ts";
import { type Message, renderForCompletion, systemMessage } from "../../src/harmony/index.ts";
import { loadTokenizer } from "../../src/tokenizer/index.ts";

const SMALL = fileURLToPath(new URL("../../golden/small", import.meta.url));
const tokenizer = loadTokenizer(
  JSON.parse(await readFile(`${SMALL}/tokenizer.json`, "utf8")),
  "tokenizer.json",
);

/** A model that "generates" a script: text, with control tokens by name. */
function scripted(...parts: string[]): Model & { prompt?: readonly number[] } {
  const ids = parts.flatMap((part) =>
    tokenizer.hasSpecial(part) ? [tokenizer.specialId(part)] : tokenizer.encode(part),
  );
  const fake = {
    requireTokenizer: () => tokenizer,
    prompt: undefined as readonly number[] | undefined,
    async *generate(prompt: readonly number[], options: GenerateOptions): AsyncGenerator<GeneratedToken> {
      fake.prompt = prompt;
      expect(options.stop).toBeUndefined();
      for (const [i, id] of ids.entries()) {
        const finishReason = i === ids.length - 1 ? { finishReason: "stop" as const } : {};
        yield { id, text: "", logprob: 0, topLogprobs: [], position: i, ...finishReason };
      }
    },
  };
  return fake as unknown as Model & { prompt?: readonly number[] };
}

async function collect(
  model: Model,
  messages: readonly Message[],
  options: GenerateOptions = {},
): Promise<ChatToken[]> {
  const tokens: ChatToken[] = [];
  for await (const token of chat(model, messages, options)) tokens.push(token);
  return tokens;
}

function textOf(tokens: ChatToken[], channel: string): string {
  return tokens.flatMap(({ header, delta }) => (header?.channel === channel ? [delta] : [])).join("");
}

const ANSWER = [
  ...["<|channel|>", "analysis", "<|message|>", "Think, then stop here.", "<|end|>"],
  ...["<|start|>", "assistant", "<|channel|>", "final", "<|message|>", "It is 85. Stop here.", "<|return|>"],
];

describe("chat", () => {
  const messages: Message[] = [systemMessage(), { role: "user", content: "What is 47 + 38?" }];

  test("tells reasoning and answer apart, and yields both messages", async () => {
    const model = scripted(...ANSWER);
    const tokens = await collect(model, messages);
    expect(model.prompt).toEqual(renderForCompletion(tokenizer, messages));
    expect(textOf(tokens, "analysis")).toBe("Think, then stop here.");
    expect(textOf(tokens, "final")).toBe("It is 85. Stop here.");
    expect(tokens.flatMap(({ message }) => (message ? [message] : []))).toEqual([
      { role: "assistant", channel: "analysis", content: "Think, then stop here." },
      { role: "assistant", channel: "final", content: "It is 85. Stop here." },
    ]);
  });

  test("stop strings count in the final channel only, and the message holds what was shown", async () => {
    const tokens = await collect(scripted(...ANSWER), messages, { stop: ["here", "top h"] });
    expect(textOf(tokens, "analysis")).toBe("Think, then stop here.");
    expect(textOf(tokens, "final")).toBe("It is 85. S");
    expect(tokens.at(-1)).toMatchObject({
      finishReason: "stop",
      message: { channel: "final", content: "It is 85. S" },
    });
  });

  test("text held back for a stop string comes when the message ends without it", async () => {
    const tokens = await collect(scripted(...ANSWER), messages, { stop: ["here. And more"] });
    expect(textOf(tokens, "final")).toBe("It is 85. Stop here.");
  });

  test("a stream cut by the limit closes its message", async () => {
    const tokens = await collect(scripted(...ANSWER.slice(0, 4)), messages);
    expect(tokens.at(-1)!.message).toEqual({
      role: "assistant",
      channel: "analysis",
      content: "Think, then stop here.",
    });
  });
});

describe("the small checkpoint", async () => {
  const model = await load(SMALL);
  const ask = (question: string, effort: "low" | "medium" | "high"): Promise<ChatToken[]> =>
    collect(
      model,
      [
        systemMessage({ reasoningEffort: effort, conversationStartDate: "2026-11-24" }),
        { role: "user", content: question },
      ],
      { temperature: 0, maxTokens: 400 },
    );

  test("adds two numbers, thinking longer at higher effort", async () => {
    const lengths: number[] = [];
    for (const effort of ["low", "medium", "high"] as const) {
      const tokens = await ask("What is 47 + 38?", effort);
      expect(textOf(tokens, "final")).toContain("85");
      expect(tokens.at(-1)!.finishReason).toBe("stop");
      lengths.push(textOf(tokens, "analysis").length);
    }
    expect(lengths).toEqual(lengths.toSorted((a, b) => a - b));
    expect(new Set(lengths).size).toBe(3);
  });

  test("says who it is", async () => {
    expect(textOf(await ask("Who are you?", "medium"), "final")).toContain("gpt-oss");
  });

  test("takes defaults from generation_config.json and stop tokens from its tokenizer", () => {
    const stops = ["<|return|>", "<|call|>", "<|endoftext|>"].map((name) =>
      model.requireTokenizer().specialId(name),
    );
    expect([...model.defaults.stopTokens].sort()).toEqual(stops.sort());
    expect(model.defaults.topP).toBe(1);
  });

  test("stop strings and text work on raw ids too", async () => {
    const prompt = renderForCompletion(model.requireTokenizer(), [
      systemMessage(),
      { role: "user", content: "3 + 4" },
    ]);
    const run = async (stop: string[]): Promise<GeneratedToken[]> => {
      const tokens: GeneratedToken[] = [];
      for await (const token of model.generate(prompt, { temperature: 0, maxTokens: 60, stop }))
        tokens.push(token);
      return tokens;
    };
    const whole = (await run([])).map(({ text }) => text).join("");
    const cut = await run(["final"]);
    expect(cut.map(({ text }) => text).join("")).toBe(whole.slice(0, whole.indexOf("final")));
    expect(cut.at(-1)!.finishReason).toBe("stop");
  });
});
