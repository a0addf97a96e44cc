import { describe, expect, it } from "vitest";
import { createParser, HarmonyError, type Message, parseMessages } from "../../src/harmony/index.ts";
import { events, ids, tokenizer } from "./stream.ts";

const completion = { role: "assistant" } as const;

describe("the parser", () => {
  it("tells the header ahead of the text, and how the message ended", () => {
    const parser = createParser(tokenizer, completion);
    expect(parser.state).toBe("header");
    const stream = ids("<|channel|>final<|message|>Hi 💖!<|return|>");
    const got = stream.map((id) => parser.push(id));
    expect(got.flat()).toEqual([
      { type: "header", header: { role: "assistant", channel: "final" }, raw: "<|channel|>final" },
      { type: "text", delta: "Hi" },
      { type: "text", delta: " " },
      { type: "text", delta: "💖" },
      { type: "text", delta: "!" },
      {
        type: "end",
        message: { role: "assistant", channel: "final", content: "Hi 💖!" },
        terminator: "<|return|>",
      },
    ]);
    expect(got[2]).toHaveLength(1);
    expect(parser.state).toBe("start");
    expect(parser.end()).toEqual([]);
  });

  it("shows what it is in", () => {
    const parser = createParser(tokenizer, completion);
    for (const id of ids("<|channel|>analysis to=python code<|message|>1+")) parser.push(id);
    expect(parser.state).toBe("content");
    expect(parser.header).toEqual({
      role: "assistant",
      channel: "analysis",
      recipient: "python",
      contentType: "code",
    });
    expect(parser.content).toBe("1+");
    expect(parser.end()).toEqual([
      {
        type: "end",
        message: {
          ...parser.header,
          role: "assistant",
          channel: "analysis",
          recipient: "python",
          contentType: "code",
          content: "1+",
        },
        terminator: "none",
      },
    ]);
    expect(parser.header).toBeUndefined();
  });

  it("takes no role from a completion that has not begun", () => {
    expect(events([], completion)).toEqual([]);
  });

  it.each<[string, string, Message[]]>([
    [
      "a type on final",
      "<|channel|>final <|constrain|>json<|message|>{}<|return|>",
      [{ role: "assistant", channel: "final", contentType: "<|constrain|>json", content: "{}" }],
    ],
    [
      "a space behind the marker",
      "<|channel|>commentary to=functions.f <|constrain|> json<|message|>{}<|call|>",
      [
        {
          role: "assistant",
          channel: "commentary",
          recipient: "functions.f",
          contentType: "<|constrain|>json",
          content: "{}",
        },
      ],
    ],
  ])("reads %s as it is meant, also if strict", (_, text, expected) => {
    expect(parseMessages(tokenizer, ids(text), { ...completion, strict: true })).toEqual(expected);
  });

  it.each<[string, string, (Message & { content: string })[]]>([
    [
      "missing <|end|>",
      "<|channel|>analysis<|message|>Hm<|start|>assistant<|channel|>final<|message|>4<|return|>",
      [
        { role: "assistant", channel: "analysis", content: "Hm" },
        { role: "assistant", channel: "final", content: "4" },
      ],
    ],
    [
      "missing <|end|><|start|>assistant",
      "<|channel|>analysis<|message|>Hm<|channel|>final<|message|>4<|return|>",
      [
        { role: "assistant", channel: "analysis", content: "Hm" },
        { role: "assistant", channel: "final", content: "4" },
      ],
    ],
    [
      "<|message|> twice",
      "<|channel|>final<|message|><|message|>4<|return|>",
      [{ role: "assistant", channel: "final", content: "4" }],
    ],
    [
      "two channels",
      "<|channel|>analysis<|channel|>final<|message|>4<|return|>",
      [{ role: "assistant", channel: "final", content: "4" }],
    ],
    [
      "no marker ahead of the channel",
      "analysis<|message|>Hm<|end|>",
      [{ role: "assistant", channel: "analysis", content: "Hm" }],
    ],
    [
      "the marker within the content",
      "<|channel|>commentary to=functions.f<|message|><|constrain|>{}<|call|>",
      [{ role: "assistant", channel: "commentary", recipient: "functions.f", content: "{}" }],
    ],
    [
      "arguments in the header",
      "<|channel|>commentary to=functions.f <|constrain|>json{}<|call|>",
      [{ role: "assistant", channel: "commentary", content: "to=functions.f json{}" }],
    ],
    [
      "<|endoftext|> for <|return|>",
      "<|channel|>final<|message|>4<|endoftext|>",
      [{ role: "assistant", channel: "final", content: "4" }],
    ],
    [
      "more after <|return|>",
      "<|channel|>final<|message|>4<|return|>5<|channel|>final<|message|>6",
      [
        { role: "assistant", channel: "final", content: "4" },
        { role: "assistant", channel: "final", recipient: "5", content: "6" },
      ],
    ],
    [
      "a word that begins like a role",
      "<|channel|>final<|message|>4<|end|><|start|>users<|end|>",
      [
        { role: "assistant", channel: "final", content: "4" },
        { role: "assistant", content: "users" },
      ],
    ],
    [
      "no role",
      "<|channel|>final<|message|>4<|end|><|start|> to=functions.f<|channel|>commentary<|message|>{}<|call|>",
      [
        { role: "assistant", channel: "final", content: "4" },
        { role: "assistant", channel: "commentary", recipient: "functions.f", content: "{}" },
      ],
    ],
    [
      "a marker without a type, ahead of a recipient",
      "<|constrain|><|channel|>final to=python<|message|>1<|call|>",
      [
        {
          role: "assistant",
          channel: "final",
          recipient: "python",
          contentType: "<|constrain|>",
          content: "1",
        },
      ],
    ],
  ])("repairs %s, or throws", (_, text, expected) => {
    const got = events(ids(text), completion);
    expect(got.filter(({ type }) => type === "repair").length).toBeGreaterThan(0);
    expect(got.flatMap((event) => (event.type === "end" ? [event.message] : []))).toEqual(expected);
    expect(() => events(ids(text), { ...completion, strict: true })).toThrow(HarmonyError);
  });

  it("takes a tool's name as it is", () => {
    for (const name of ["tool", "tool:x", "functions.f"])
      expect(
        parseMessages(tokenizer, ids(`<|start|>${name} to=assistant<|message|>1<|end|>`), { strict: true }),
      ).toEqual([{ role: "tool", name, recipient: "assistant", content: "1" }]);
  });

  it("says at which token a strict parser gave up", () => {
    const stream = ids("<|channel|>final<|message|>a<|start|>");
    try {
      events(stream, { ...completion, strict: true });
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({ offset: 4, message: "<|start|> within a message (token 4)" });
    }
  });

  it("streams text whose header never ends", () => {
    const got = events(ids("word ".repeat(200)), completion);
    expect(got.filter(({ type }) => type === "text").length).toBeGreaterThan(100);
    expect(got.at(-1)).toMatchObject({
      type: "end",
      message: { role: "assistant", content: "word ".repeat(200) },
    });
  });
});

it("keeps a character whole where a header turns into content within it", () => {
  for (let words = 60; words < 66; words++) {
    const stream = [...Array<number>(words).fill(tokenizer.encode(" word")[0]!), 9552, 240, 244];
    expect(parseMessages(tokenizer, stream, completion)).toEqual([
      { role: "assistant", content: `${" word".repeat(words).trimStart()} 💖` },
    ]);
  }
});
