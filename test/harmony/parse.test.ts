import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  createParser,
  HarmonyError,
  type HarmonyEvent,
  type Message,
  type ParserOptions,
  parseMessages,
  renderConversation,
} from "../../src/harmony/index.ts";
import { o200kHarmony } from "../tokenizer/o200k.ts";

const tokenizer = o200kHarmony();
const CONTROL = [
  "<|start|>",
  "<|channel|>",
  "<|message|>",
  "<|constrain|>",
  "<|end|>",
  "<|call|>",
  "<|return|>",
  "<|endoftext|>",
];

/** Ids of a text in which control tokens are written by name. */
function ids(text: string): number[] {
  const parts = text.split(/(<\|\w+\|>)/);
  return parts.flatMap((part, i) => (i % 2 ? [tokenizer.specialId(part)] : tokenizer.encode(part)));
}

function events(stream: readonly number[], options: ParserOptions = {}): HarmonyEvent[] {
  const parser = createParser(tokenizer, options);
  return [...stream.flatMap((id) => parser.push(id)), ...parser.end()];
}

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
  ])("repairs %s, or throws", (_, text, expected) => {
    const got = events(ids(text), completion);
    expect(got.filter(({ type }) => type === "repair").length).toBeGreaterThan(0);
    expect(got.flatMap((event) => (event.type === "end" ? [event.message] : []))).toEqual(expected);
    expect(() => events(ids(text), { ...completion, strict: true })).toThrow(HarmonyError);
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

describe("whatever comes", () => {
  const token = fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom(...CONTROL.map((name) => tokenizer.specialId(name))) },
    {
      weight: 3,
      arbitrary: fc.constantFrom(
        ...ids("assistant user final analysis commentary to=functions.f json x:\n {}"),
      ),
    },
    { weight: 1, arbitrary: fc.constantFrom(9552, 240, 244, 200014, 200500, 4294967295) },
    { weight: 1, arbitrary: fc.nat({ max: 201087 }) },
  );
  const role = fc.constantFrom(undefined, "assistant", "user", "tool" as const);
  const options = (hint: ParserOptions["role"]): ParserOptions => (hint === undefined ? {} : { role: hint });

  it("a lenient parser doesn't throw, and each token's text is in one event, in order", () => {
    fc.assert(
      fc.property(fc.array(token, { maxLength: 60 }), role, (stream, hint) => {
        const got = events(stream, options(hint));
        let text = "";
        for (const event of got)
          text += event.type === "header" ? event.raw : event.type === "text" ? event.delta : "";
        // Bytes of one character are put together across tokens, but not across a control token or into a header.
        expect(bare(text)).toBe(bare(tokenizer.decode(stream)));
      }),
      { numRuns: 10_000, seed: 1 },
    );
  });

  it("messages are the sum of their events, and no control token is in them", () => {
    fc.assert(
      fc.property(fc.array(token, { maxLength: 60 }), role, (stream, hint) => {
        let content: string | undefined;
        for (const event of events(stream, options(hint))) {
          if (event.type === "header") {
            expect(content).toBeUndefined();
            content = "";
          } else if (event.type === "text") content += event.delta;
          else if (event.type === "end") {
            expect(event.message.content).toBe(content);
            for (const name of CONTROL) expect(content).not.toContain(name);
            content = undefined;
          }
        }
        expect(content).toBeUndefined();
      }),
      { numRuns: 5000, seed: 2 },
    );
  });

  it("a strict parser gives what the lenient one gives without repairs, or throws HarmonyError", () => {
    let accepted = 0;
    fc.assert(
      fc.property(fc.array(token, { maxLength: 12 }), role, (stream, hint) => {
        const lenient = events(stream, options(hint));
        let strict: HarmonyEvent[] | undefined;
        try {
          strict = events(stream, { ...options(hint), strict: true });
        } catch (error) {
          expect(error).toBeInstanceOf(HarmonyError);
        }
        const repaired = lenient.some(({ type }) => type === "repair");
        // Only where a completion ends ahead of its first token, the lenient parser has nothing to repair.
        if (strict === undefined) expect(repaired || stream.length === 0).toBe(true);
        else expect(strict).toEqual(lenient);
        if (strict?.length) accepted++;
      }),
      { numRuns: 10_000, seed: 3 },
    );
    expect(accepted).toBeGreaterThan(20);
  });

  it("a rendered conversation is parsed back", () => {
    const word = fc.stringMatching(/^[a-z_.]{1,12}$/).map((name) => `functions.${name}`);
    const content = fc.oneof(fc.string(), fc.string({ unit: "grapheme" }), fc.constantFrom(...CONTROL));
    const channel = fc.constantFrom("analysis", "commentary", "final");
    const message: fc.Arbitrary<Message> = fc.oneof(
      fc.record({ role: fc.constantFrom("user", "system", "developer"), content }),
      fc.record({ role: fc.constant("user" as const), name: fc.stringMatching(/^\w{1,8}$/), content }),
      fc.record({ role: fc.constant("assistant" as const), channel, content }),
      fc.record({
        role: fc.constant("assistant" as const),
        channel,
        contentType: fc.constant("<|constrain|>json"),
        content,
      }),
      fc.record({
        role: fc.constant("assistant" as const),
        channel,
        recipient: word,
        contentType: fc.constantFrom("<|constrain|>json", "code"),
        content,
      }),
      fc.record({
        role: fc.constant("tool" as const),
        name: word,
        recipient: fc.constant("assistant"),
        channel,
        content,
      }),
    );
    fc.assert(
      fc.property(fc.array(message, { maxLength: 5 }), (messages) => {
        const stream = renderConversation(tokenizer, messages, { dropAnalysis: false });
        expect(parseMessages(tokenizer, stream, { strict: true })).toEqual(messages);
      }),
      { numRuns: 1000, seed: 4 },
    );
  });
});

/** A text without control tokens and without the replacements of broken characters. */
function bare(text: string): string {
  return CONTROL.reduce((rest, name) => rest.replaceAll(name, ""), text).replaceAll("\ufffd", "");
}
