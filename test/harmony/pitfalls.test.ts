// What went wrong elsewhere: streams that models of this family write, and what other runtimes made of them.
import { describe, expect, it } from "vitest";
import {
  createParser,
  HarmonyError,
  type Message,
  messageText,
  parseMessages,
  renderConversation,
  renderText,
  resolveRecipient,
  stopIds,
} from "../../src/harmony/index.ts";
import { events, ids, messagesOf, repairsOf, tokenizer } from "./stream.ts";

const answer = { role: "assistant" } as const;
const parse = (text: string): Message[] => messagesOf(events(ids(text), answer));
const repairs = (text: string): string[] => repairsOf(events(ids(text), answer));
const strictly = (text: string) => () => parseMessages(tokenizer, ids(text), { ...answer, strict: true });

const weather = { name: "get_weather", description: "" };
const namespaces = [{ name: "functions", tools: [weather] }];
const callOf = (text: string) => {
  const calls = parse(text).map((message) => resolveRecipient(message, namespaces));
  return calls
    .filter((call) => call !== undefined)
    .map(({ namespace, tool }) => `${namespace.name}.${tool?.name}`);
};

describe("where a message ends", () => {
  it("sampling goes on after the reasoning: <|end|> is no stop token", () => {
    expect(stopIds(tokenizer)).not.toContain(tokenizer.specialId("<|end|>"));
    expect(
      parse(
        "<|channel|>analysis<|message|>Hm<|end|><|start|>assistant<|channel|>final<|message|>4<|return|>",
      ),
    ).toEqual([
      { ...answer, channel: "analysis", content: "Hm" },
      { ...answer, channel: "final", content: "4" },
    ]);
  });

  it("messages don't merge where <|end|> was stripped", () => {
    const stripped = "<|channel|>analysis<|message|>Hm<|start|>assistant<|channel|>final<|message|>4";
    expect(parse(stripped)).toEqual([
      { ...answer, channel: "analysis", content: "Hm" },
      { ...answer, channel: "final", content: "4" },
    ]);
    expect(repairs(stripped)).toEqual(["<|start|> within a message"]);
    expect(strictly(stripped)).toThrow(HarmonyError);
  });

  it("messages don't merge where <|end|><|start|>assistant was stripped", () => {
    const stripped = "<|channel|>analysis<|message|>Hm<|channel|>final<|message|>4<|return|>";
    expect(parse(stripped).map(({ channel }) => channel)).toEqual(["analysis", "final"]);
    expect(repairs(stripped)).toEqual(["<|channel|> within a message"]);
    expect(strictly(stripped)).toThrow("<|channel|> within a message (token 4)");
  });

  it("a later message doesn't replace an earlier one of its channel", () => {
    const twice =
      "<|channel|>final<|message|>One<|end|><|start|>assistant<|channel|>final<|message|>Two<|return|>";
    expect(parse(twice).map(messageText)).toEqual(["One", "Two"]);
    expect(repairs(twice)).toEqual([]);
  });

  it.each(["<|end|>", "<|return|>", "<|call|>"])(
    "generating on after <|return|> with %s loses nothing",
    (next) => {
      const on = `<|channel|>final<|message|>4<|return|>${next}<|start|>assistant<|channel|>final<|message|>5<|return|>`;
      expect(parse(on).map(messageText)).toEqual(["4", "5"]);
      expect(repairs(on)).toEqual([`${next} where no message is open`]);
      expect(strictly(on)).toThrow(HarmonyError);
    },
  );

  it("<|endoftext|> ends a message as well", () => {
    const ended = "<|channel|>final<|message|>4<|endoftext|>";
    expect(events(ids(ended), answer).at(-1)).toMatchObject({ type: "end", terminator: "<|endoftext|>" });
    expect(repairs(ended)).toEqual(["<|endoftext|> within a message"]);
    expect(strictly(ended)).toThrow(HarmonyError);
  });
});

describe("a stream that is cut off", () => {
  it("within a call: the arguments so far are there, and no terminator", () => {
    const all = events(
      ids('<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"ci'),
      answer,
    );
    expect(all.at(-1)).toEqual({
      type: "end",
      message: {
        ...answer,
        channel: "commentary",
        recipient: "functions.get_weather",
        contentType: "<|constrain|>json",
        content: '{"ci',
      },
      terminator: "none",
    });
    expect(repairsOf(all)).toEqual([]);
  });

  it("within a header: a message without content, and a repair", () => {
    for (const cut of ["<|channel|>", "<|channel|>comment", "<|channel|>commentary to=functions.get"]) {
      expect(repairs(cut)).toContain("the stream ends within a header");
      expect(parse(cut)).toHaveLength(1);
      expect(strictly(cut)).toThrow("the stream ends within a header");
    }
  });

  it("within a character: the part is told as U+FFFD", () => {
    const stream = [...ids("<|channel|>final<|message|>Hi"), 9552];
    expect(parseMessages(tokenizer, stream, answer)).toEqual([
      { ...answer, channel: "final", content: "Hi \ufffd" },
    ]);
  });

  it("ahead of anything: no message", () => {
    expect(events([], answer)).toEqual([]);
  });
});

describe("headers that made strict parsers fail", () => {
  it("words left over", () => {
    const words = "<|channel|>commentary to=functions.get_weather with these arguments<|message|>{}<|call|>";
    expect(callOf(words)).toEqual(["functions.get_weather"]);
    expect(repairs(words)).toEqual(["unexpected words in the header: these arguments"]);
    expect(strictly(words)).toThrow("unexpected words in the header");
  });

  it("no <|start|>assistant<|channel|> (token 12606 for 200006)", () => {
    const stream = ids("commentary to=functions.get_weather <|constrain|>json<|message|>{}<|call|>");
    expect(stream[0]).toBe(12606);
    const messages = parseMessages(tokenizer, stream);
    expect(messages).toMatchObject([
      { ...answer, channel: "commentary", recipient: "functions.get_weather" },
    ]);
    expect(() => parseMessages(tokenizer, stream, { strict: true })).toThrow("expected <|start|> (token 0)");
  });

  it("a terminator in the header: what is there becomes content", () => {
    const refused = "I must refuse<|end|><|start|>assistant<|channel|>final<|message|>Sorry<|return|>";
    expect(parse(refused).map(messageText)).toEqual(["I must refuse", "Sorry"]);
    expect(repairs(refused)).toEqual(["<|end|> within a header"]);
    expect(strictly(refused)).toThrow("<|end|> within a header (token 3)");
  });

  it("channel markers over and over", () => {
    const again = "<|channel|>analysis<|channel|>analysis<|channel|>final<|message|>4<|return|>";
    expect(parse(again)).toEqual([{ ...answer, channel: "final", content: "4" }]);
    expect(repairs(again)).toEqual(["more than one channel"]);
    expect(strictly(again)).toThrow("more than one channel");
  });

  it("an answer without any framing", () => {
    expect(parse("Hello there")).toEqual([{ ...answer, content: "Hello there" }]);
    expect(repairs("Hello there")).toEqual(["the stream ends within a header"]);
  });
});

describe("calls", () => {
  const json = "<|message|>{}<|call|>";
  it.each([
    ["behind the channel", `<|channel|>commentary to=functions.get_weather <|constrain|>json${json}`],
    ["ahead of the channel", ` to=functions.get_weather<|channel|>commentary <|constrain|>json${json}`],
    ["with the marker glued on", `<|channel|>commentary to=functions.get_weather<|constrain|>json${json}`],
    ["with the type glued on", `<|channel|>commentary to=functions.get_weatherjson${json}`],
    [
      "with white space all around",
      `<|channel|>commentary  to=functions.get_weather \n<|constrain|>json ${json}`,
    ],
    ["without to=", `<|channel|>commentary functions.get_weather json${json}`],
    ["without the namespace", `<|channel|>commentary to=get_weather <|constrain|>json${json}`],
    ["on the analysis channel", `<|channel|>analysis to=functions.get_weather code${json}`],
    ["on a channel that is none", `<|channel|>comment to=functions.get_weather <|constrain|>json${json}`],
    ["on the final channel", `<|channel|>final to=functions.get_weather${json}`],
    ["without a channel", ` to=functions.get_weather${json}`],
    ["without the channel's marker", `commentary to=functions.get_weather <|constrain|>json${json}`],
    ["without <|call|>", "<|channel|>commentary to=functions.get_weather<|message|>{}<|end|>"],
  ])("are known by the recipient: %s", (_, text) => {
    expect(callOf(text)).toEqual(["functions.get_weather"]);
    expect(parse(text).map(messageText)).toEqual(["{}"]);
  });

  it("keep arguments that aren't JSON as they are", () => {
    const code = "<|channel|>analysis to=python code<|message|>print('{')\n<|call|>";
    expect(parse(code)[0]).toMatchObject({ recipient: "python", content: "print('{')\n" });
  });

  it("in the history have their marker as a token, not as text", () => {
    const [call] = parse(`<|channel|>commentary to=functions.get_weather <|constrain|>json${json}`);
    const rendered = renderConversation(tokenizer, [call!]);
    expect(rendered.filter((id) => id === tokenizer.specialId("<|constrain|>"))).toHaveLength(1);
    expect(tokenizer.decode(rendered)).toBe(
      `<|start|>assistant to=functions.get_weather<|channel|>commentary <|constrain|>json${json}`,
    );
  });

  it("are no channel name: commentary and the recipient are told apart", () => {
    const [call] = parse(`<|channel|>commentary to=functions.get_weather${json}`);
    expect(call).toMatchObject({ channel: "commentary", recipient: "functions.get_weather" });
  });
});

describe("what the user sees", () => {
  it("has no header in it, however the text is cut", () => {
    const stream = ids(
      "<|channel|>analysis<|message|>Hm<|end|><|start|>assistant<|channel|>final<|message|>analysis final<|return|>",
    );
    const shown = events(stream, answer).flatMap((event) => (event.type === "text" ? [event.delta] : []));
    expect(shown.join("|")).toBe("Hm|analysis| final");
  });

  it("may be commentary without a recipient, which is text and no call", () => {
    const preamble = "<|channel|>commentary<|message|>I'll look it up.<|end|>";
    expect(parse(preamble)).toEqual([{ ...answer, channel: "commentary", content: "I'll look it up." }]);
    expect(callOf(preamble)).toEqual([]);
  });

  it("has its channel known ahead of the first text, for stop strings and grammars to start there", () => {
    const parser = createParser(tokenizer, answer);
    const channels: (string | undefined)[] = [];
    for (const id of ids("<|channel|>final <|constrain|>json<|message|>{}<|return|>"))
      for (const event of parser.push(id)) if (event.type === "text") channels.push(parser.header?.channel);
    expect(channels).toEqual(["final"]);
  });

  it("is final with a type, and no call of a tool named <|constrain|>json", () => {
    const typed = "<|channel|>final <|constrain|>json<|message|>{}<|return|>";
    expect(parse(typed)).toEqual([
      { ...answer, channel: "final", contentType: "<|constrain|>json", content: "{}" },
    ]);
    expect(repairs(typed)).toEqual([]);
  });
});

describe("reasoning in the history", () => {
  const turn: Message[] = [
    { role: "user", content: "Weather?" },
    { ...answer, channel: "analysis", content: "I need a call." },
    { ...answer, channel: "commentary", recipient: "functions.get_weather", content: "{}" },
    {
      role: "tool",
      name: "functions.get_weather",
      recipient: "assistant",
      channel: "commentary",
      content: "sunny",
    },
    { ...answer, channel: "analysis", content: "And another." },
    { ...answer, channel: "commentary", recipient: "functions.get_weather", content: '{"day":2}' },
  ];

  it("stays between the calls of one turn", () => {
    expect(renderText(turn)).toContain("I need a call.");
    expect(renderText(turn)).toContain("And another.");
  });

  it("goes once the turn is answered, and its calls stay", () => {
    const text = renderText([...turn, { ...answer, channel: "final", content: "Sunny." }]);
    expect(text).not.toContain("I need a call.");
    expect(text).not.toContain("And another.");
    expect(text.match(/to=functions/g)).toHaveLength(2);
  });

  it("may come along with content and calls, in separate messages", () => {
    const both = [
      ...turn.slice(0, 2),
      { ...answer, channel: "commentary", content: "A moment." },
      ...turn.slice(2),
    ];
    expect(messagesOf(events(renderConversation(tokenizer, both)))).toEqual(both);
  });
});
