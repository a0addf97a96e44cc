import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  BROWSER,
  createParser,
  HarmonyError,
  type Message,
  PYTHON,
  parseMessages,
  type Role,
  renderConversation,
  renderForCompletion,
  renderForTraining,
  renderText,
} from "../../src/harmony/index.ts";
import { compareStream, type TheirStream } from "./compare.ts";
import { tokenizer } from "./stream.ts";

const read = (name: string) => readFileSync(new URL(`../../golden/harmony/${name}`, import.meta.url), "utf8");
const lines = <T>(name: string): T[] =>
  read(name)
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line, withBuiltIns) as T);

// For the built-in tools the file has null, so that it's our texts of them that are compared.
function withBuiltIns(_: string, value: unknown): unknown {
  const { name, tools } = (value ?? {}) as { name?: unknown; tools?: unknown };
  if (tools !== null) return value;
  return name === "browser" ? BROWSER : PYTHON;
}

/** Ids; of many, their digest. */
type Ids = number[] | { count: number; sha256: string };

interface Conversation {
  name: string;
  messages: Message[];
  ids: Ids;
  kept?: Ids;
  training?: Ids;
}
interface Parsed {
  messages?: Message[];
  deltas?: string[];
  error?: string;
}
interface Stream {
  name: string;
  role: Role | null;
  ids: number[];
  strict: Parsed;
  lenient?: Parsed;
}

const conversations = lines<Conversation>("conversations.jsonl");
const streams = lines<Stream>("streams.jsonl");

it("has the files that the manifest lists", () => {
  const { files } = JSON.parse(read("manifest.json")) as { files: Record<string, string> };
  for (const [name, expected] of Object.entries(files)) {
    expect(createHash("sha256").update(read(name)).digest("hex"), name).toBe(expected);
  }
});

describe("rendering gives the ids of openai-harmony", () => {
  const as = (expected: Ids, ids: number[]): Ids =>
    Array.isArray(expected)
      ? ids
      : { count: ids.length, sha256: createHash("sha256").update(Uint32Array.from(ids)).digest("hex") };

  it.each(conversations)("$name", ({ messages, ids: expected, kept = expected, training = expected }) => {
    const ids = renderConversation(tokenizer, messages);
    expect(as(expected, ids)).toEqual(expected);
    expect(as(kept, renderConversation(tokenizer, messages, { dropAnalysis: false }))).toEqual(kept);
    expect(as(training, renderForTraining(tokenizer, messages))).toEqual(training);
    expect(renderForCompletion(tokenizer, messages)).toEqual([...ids, 200006, 173781]);
    expect(renderText(messages)).toBe(tokenizer.decode(ids));
    expect(renderText(messages, { nextRole: "assistant" })).toBe(tokenizer.decode([...ids, 200006, 173781]));
  });
});

describe("parsing gives the messages of openai-harmony", () => {
  const options = ({ role }: Stream) => (role === null ? {} : { role });

  it.each(streams.filter(({ name }) => !name.startsWith("!")))("$name", (stream) => {
    for (const strict of [true, false]) {
      const parser = createParser(tokenizer, { ...options(stream), strict });
      const deltas: string[] = [];
      const messages: Message[] = [];
      for (const id of [...stream.ids, undefined]) {
        let text = "";
        for (const event of id === undefined ? parser.end() : parser.push(id)) {
          expect(event.type).not.toBe("repair");
          if (event.type === "text") text += event.delta;
          if (event.type === "end") messages.push(event.message);
        }
        if (id !== undefined) deltas.push(text);
      }
      expect(messages).toEqual(stream.strict.messages);
      // Their deltas lag behind after invalid bytes, and at an id without a token.
      if (!/\ufffd/.test(JSON.stringify(messages))) expect(deltas).toEqual(stream.strict.deltas);
    }
  });

  const malformed = streams.filter(({ name }) => name.startsWith("!"));
  it.each(malformed.filter(({ name }) => !name.includes("with hint")))(
    "$name: refused if strict",
    (stream) => {
      let thrown: unknown;
      try {
        parseMessages(tokenizer, stream.ids, { ...options(stream), strict: true });
      } catch (error) {
        thrown = error;
      }
      expect(thrown).toBeInstanceOf(HarmonyError);
      expect((thrown as HarmonyError).offset).toBeLessThanOrEqual(stream.ids.length);
    },
  );

  it.each<[string, Message[]]>([
    [
      "! two words too many",
      [
        {
          role: "assistant",
          channel: "commentary",
          recipient: "functions.f",
          contentType: "a",
          content: "{}",
        },
      ],
    ],
    [
      "! recipient last",
      [
        {
          role: "assistant",
          channel: "commentary",
          recipient: "functions.f",
          contentType: "json",
          content: "{}",
        },
      ],
    ],
    [
      "! tool reply with hint",
      [{ role: "tool", name: "functions.f", recipient: "assistant", channel: "commentary", content: "[1]" }],
    ],
    ["! no channel after marker", [{ role: "assistant", content: "x" }]],
    ["! unknown role", [{ role: "tool", name: "someone", content: "x" }]],
    ["! no role", [{ role: "assistant", content: "x" }]],
    [
      "! no start",
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
    ["! no start, only text", [{ role: "assistant", content: "Hello there." }]],
    [
      "! text between",
      [
        { role: "assistant", channel: "analysis", content: "Hm 💖." },
        { role: "assistant", content: "oops" },
        { role: "assistant", channel: "final", content: "4" },
      ],
    ],
    [
      "! openai missing message token",
      [
        { role: "assistant", content: "I must refuse" },
        { role: "assistant", channel: "analysis", content: "We must refuse" },
        { role: "assistant", channel: "final", content: "I'm sorry." },
      ],
    ],
    [
      "! openai missing message token, other initial headers",
      [
        { role: "assistant", channel: "analysis", content: "I must refuse" },
        { role: "assistant", channel: "final", content: "I'm sorry." },
      ],
    ],
    [
      "! openai missing message token, tool call",
      [
        { role: "assistant", content: "... Let's use the tool." },
        {
          role: "assistant",
          recipient: "functions.get_weather",
          channel: "commentary",
          contentType: "json",
          content: '{"location": "Tokyo"}',
        },
      ],
    ],
    ["! second terminator", [{ role: "assistant", channel: "final", content: "4" }]],
    ["! no message marker", [{ role: "assistant", channel: "final", content: "Hello  there" }]],
    ["! no message marker, no hint", [{ role: "assistant", channel: "analysis", content: "hm" }]],
    ["! only text", [{ role: "assistant", content: "Hello there" }]],
    ["! cut in header", [{ role: "assistant", channel: "comment", content: "" }]],
    [
      "! start in header",
      [
        { role: "assistant", channel: "analysis", content: "" },
        { role: "assistant", channel: "final", content: "4" },
      ],
    ],
  ])("%s: repaired if lenient", (name, expected) => {
    const stream = malformed.find((each) => each.name === name)!;
    expect(parseMessages(tokenizer, stream.ids, options(stream))).toEqual(expected);
  });
});

it("damaged streams are taken, refused and read as by openai-harmony, but for what differs on purpose", () => {
  const outcomes = new Map<string, number>();
  for (const stream of lines<TheirStream & { name: string }>("damaged.jsonl")) {
    const { outcome, wrong } = compareStream(stream);
    expect(wrong, stream.name).toBeUndefined();
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  }
  expect(outcomes.get("with the same messages")).toBeGreaterThan(100);
  expect(outcomes.get("refused by both")).toBeGreaterThan(100);
});
