import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  developerMessage,
  HarmonyError,
  type Message,
  messageText,
  renderConversation,
  renderForCompletion,
  stopIds,
  systemMessage,
} from "../../src/harmony/index.ts";
import { loadTokenizer } from "../../src/tokenizer/index.ts";
import { o200kHarmony } from "../tokenizer/o200k.ts";

const tokenizer = o200kHarmony();

describe("rendering", () => {
  it("gives the text that the format's documentation shows", () => {
    const ids = renderForCompletion(tokenizer, [
      systemMessage({ reasoningEffort: "high", conversationStartDate: "2025-06-28" }),
      developerMessage("Talk like a pirate."),
      { role: "user", content: "What is 2 + 2?" },
    ]);
    expect(tokenizer.decode(ids)).toBe(
      `<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.
Knowledge cutoff: 2024-06
Current date: 2025-06-28

Reasoning: high

# Valid channels: analysis, commentary, final. Channel must be included for every message.<|end|>` +
        `<|start|>developer<|message|># Instructions

Talk like a pirate.<|end|><|start|>user<|message|>What is 2 + 2?<|end|><|start|>assistant`,
    );
  });

  it("leaves out what is null", () => {
    const nothing = systemMessage({
      identity: null,
      knowledgeCutoff: null,
      reasoningEffort: null,
      channels: null,
    });
    expect(tokenizer.decode(renderConversation(tokenizer, [nothing]))).toBe(
      "<|start|>system<|message|><|end|>",
    );
  });

  it("gives a known call and reply", () => {
    const messages: Message[] = [
      {
        role: "assistant",
        recipient: "functions.f",
        channel: "commentary",
        contentType: "<|constrain|>json",
        content: '{"a":1}',
      },
      {
        role: "tool",
        name: "functions.f",
        recipient: "assistant",
        channel: "commentary",
        content: '{"ok":true}',
      },
    ];
    expect(renderConversation(tokenizer, messages)).toEqual([
      200006, 173781, 316, 28, 44580, 1196, 200005, 12606, 815, 220, 200003, 4108, 200008, 10848, 64, 1243,
      16, 92, 200012, 200006, 44580, 1196, 316, 28, 173781, 200005, 12606, 815, 200008, 10848, 525, 1243,
      3309, 92, 200007,
    ]);
  });

  it("refuses what Harmony can't express", () => {
    const render = (message: Message) => () => renderConversation(tokenizer, [message]);
    expect(render({ role: "tool", content: "x" })).toThrow(HarmonyError);
    expect(render({ role: "user", content: [{ type: "system" }] })).toThrow(
      "system content is in another role's message: expected system, found user",
    );
    expect(render({ role: "system", content: [{ type: "developer" }] })).toThrow(HarmonyError);
  });

  it("works with another vocabulary, whose special tokens have other ids", () => {
    const file = new URL("../../golden/small/tokenizer.json", import.meta.url);
    const small = loadTokenizer(JSON.parse(readFileSync(file, "utf8")), "tokenizer.json");
    const messages = [systemMessage(), { role: "user", content: "Hi <|end|>" } as const];
    const ids = renderForCompletion(small, messages);
    expect(small.decode(ids)).toBe(tokenizer.decode(renderForCompletion(tokenizer, messages)));
    expect(ids.filter((id) => small.isSpecial(id)).map((id) => small.decode([id]))).toEqual([
      "<|start|>",
      "<|message|>",
      "<|end|>",
      "<|start|>",
      "<|message|>",
      "<|end|>",
      "<|start|>",
    ]);
  });

  it("tells where sampling stops", () => {
    expect(stopIds(tokenizer)).toEqual([200002, 200012, 199999]);
  });

  it("tells the text of a message", () => {
    expect(messageText({ role: "user", content: "a" })).toBe("a");
    const parts = [{ type: "text", text: "a" }, { type: "system" }, { type: "text", text: "b" }] as const;
    expect(messageText({ role: "system", content: parts })).toBe("ab");
  });
});
