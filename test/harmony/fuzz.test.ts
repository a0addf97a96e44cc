// More of the same: FUZZ_RUNS=20 npx vitest run --testTimeout 1000000 test/harmony/fuzz.test.ts
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  createParser,
  developerMessage,
  functionTools,
  HarmonyError,
  type HarmonyEvent,
  type Message,
  type ParserOptions,
  parseMessages,
  renderConversation,
  renderForCompletion,
  renderText,
  systemMessage,
} from "../../src/harmony/index.ts";
import { CONTROL, events, ids, messagesOf, repairsOf, tokenizer } from "./stream.ts";

const runs = (numRuns: number, seed: number) => ({
  numRuns: numRuns * Number(process.env["FUZZ_RUNS"] ?? 1),
  seed,
});

const controlIds = new Set(CONTROL.map((name) => tokenizer.specialId(name)));
const token = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...controlIds) },
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      ...ids("assistant user tool final analysis commentary to=functions.f json x:\n {}"),
    ),
  },
  // Parts of characters, reserved tokens, ids without a token.
  { weight: 1, arbitrary: fc.constantFrom(9552, 240, 244, 200014, 200500, 201088, 4294967295) },
  { weight: 1, arbitrary: fc.nat({ max: 201087 }) },
);
const noise = fc.array(token, { maxLength: 60 });
const hint = fc.constantFrom<ParserOptions>({}, { role: "assistant" }, { role: "user" }, { role: "tool" });

const text = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.string({ unit: "grapheme" }),
  fc
    .array(fc.constantFrom(...CONTROL, "\ud83d", "\ude00", "assistant", " ", "<|", "|>", "\n"))
    .map((t) => t.join("")),
);
const name = fc.stringMatching(/^[a-z_.]{1,12}$/).map((word) => `functions.${word}`);
const channel = fc.constantFrom("analysis", "commentary", "final");
const messageOf = (content: fc.Arbitrary<string>): fc.Arbitrary<Message> =>
  fc.oneof(
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
      recipient: name,
      contentType: fc.constantFrom("<|constrain|>json", "code"),
      content,
    }),
    fc.record({
      role: fc.constant("tool" as const),
      name,
      recipient: fc.constant("assistant"),
      channel,
      content,
    }),
  );
const message = messageOf(text);
/** Harmony as models write it, and the same with some tokens taken out, put in or exchanged. */
const nearly = fc
  .tuple(
    fc.array(messageOf(fc.string({ unit: "binary" })), { maxLength: 4 }),
    fc.array(fc.tuple(fc.nat(), fc.nat({ max: 2 }), fc.array(token, { maxLength: 2 })), { maxLength: 3 }),
  )
  .map(([messages, changes]) => {
    const stream = renderConversation(tokenizer, messages, { dropAnalysis: false });
    for (const [at, removed, added] of changes) stream.splice(at % (stream.length + 1), removed, ...added);
    return stream;
  });
const anything = fc.oneof(noise, nearly);

describe("whatever comes, a lenient parser", () => {
  it("doesn't throw, and has each token's text in one event, in order", () => {
    fc.assert(
      fc.property(anything, hint, (stream, options) => {
        let found = "";
        for (const event of events(stream, options))
          found += event.type === "header" ? event.raw : event.type === "text" ? event.delta : "";
        expect(bare(found)).toBe(bare(pieces(stream)));
      }),
      runs(4000, 1),
    );
  });

  it("tells of a control token that isn't where it belongs, or uses it", () => {
    fc.assert(
      fc.property(anything, hint, (stream, options) => {
        // Framing takes a <|start|>, a <|message|> and a terminator for each message; what is more, is repaired.
        const all = events(stream, options);
        const framed = all.filter(({ type }) => type === "header").length;
        const starts = stream.filter((id) => id === tokenizer.specialId("<|start|>")).length;
        if (repairsOf(all).length === 0) {
          expect(starts + (options.role === undefined || stream.length === 0 ? 0 : 1)).toBe(framed);
          expect(stream.filter((id) => id === tokenizer.specialId("<|message|>")).length).toBe(framed);
        }
      }),
      runs(1000, 2),
    );
  });

  it("makes messages that are the sum of their events, without control tokens", () => {
    fc.assert(
      fc.property(noise, hint, (stream, options) => {
        let content: string | undefined;
        for (const event of events(stream, options)) {
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
      runs(2000, 3),
    );
  });

  it("takes numbers that can't be ids", () => {
    const odd = fc.oneof(token, fc.constantFrom(-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 60, -0));
    fc.assert(
      fc.property(fc.array(odd, { maxLength: 30 }), hint, (stream, options) => {
        const good = stream.filter((id) => Number.isSafeInteger(id) && id >= 0);
        const repairs = repairsOf(events(stream, options)).filter((what) => what === "not a token id");
        expect(repairs).toHaveLength(stream.length - good.length);
        expect(parseMessages(tokenizer, stream, options)).toEqual(parseMessages(tokenizer, good, options));
      }),
      runs(1000, 4),
    );
  });
});

it("all at once or token by token, the messages are the same, and the parser shows them as they grow", () => {
  fc.assert(
    fc.property(anything, hint, (stream, options) => {
      const parser = createParser(tokenizer, options);
      const messages: Message[] = [];
      let open = "";
      let shown = true;
      const take = (some: readonly HarmonyEvent[]): void => {
        for (const event of some) {
          if (event.type === "end") messages.push(event.message);
          if (event.type === "header" || event.type === "end") open = "";
          if (event.type === "text") open += event.delta;
        }
        shown &&= parser.content === open && (parser.header !== undefined) === (parser.state === "content");
      };
      for (const id of stream) take(parser.push(id));
      take(parser.end());
      expect(shown).toBe(true);
      expect(messages).toEqual(parseMessages(tokenizer, stream, options));

      // And after the end it is as new.
      const again = [...stream.flatMap((id) => parser.push(id)), ...parser.end()];
      expect(messagesOf(again)).toEqual(parseMessages(tokenizer, stream));
    }),
    runs(2000, 5),
  );
});

it("what a strict parser takes, a lenient one takes alike and without repairs; else strict throws HarmonyError", () => {
  let accepted = 0;
  fc.assert(
    fc.property(fc.oneof(fc.array(token, { maxLength: 12 }), nearly), hint, (stream, options) => {
      const lenient = events(stream, options);
      let strict: HarmonyEvent[] | undefined;
      try {
        strict = events(stream, { ...options, strict: true });
      } catch (error) {
        expect(error).toBeInstanceOf(HarmonyError);
        const { offset } = error as HarmonyError;
        expect(offset).toBe(lenient.find((event) => event.type === "repair")?.offset ?? 0);
      }
      const repaired = repairsOf(lenient).length > 0;
      // Only where a completion ends ahead of its first token, the lenient parser has nothing to repair.
      if (strict === undefined) expect(repaired || stream.length === 0).toBe(true);
      else {
        expect(strict).toEqual(lenient);
        expect(repaired).toBe(false);
        accepted++;
      }
    }),
    runs(4000, 6),
  );
  expect(accepted).toBeGreaterThan(200);
});

describe("a rendered conversation", () => {
  it("is parsed back, and rendered again to the same ids", () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 5 }), (messages) => {
        const stream = renderConversation(tokenizer, messages, { dropAnalysis: false });
        const parsed = parseMessages(tokenizer, stream, { strict: true });
        expect(parsed).toEqual(
          messages.map((each) => ({ ...each, content: wellFormed(each.content as string) })),
        );
        expect(renderConversation(tokenizer, parsed, { dropAnalysis: false })).toEqual(stream);
      }),
      runs(500, 7),
    );
  });

  it("has the text that renderText tells", () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 5 }), fc.boolean(), (messages, dropAnalysis) => {
        const stream = renderConversation(tokenizer, messages, { dropAnalysis });
        expect(renderText(messages, { dropAnalysis })).toBe(tokenizer.decode(stream));
      }),
      runs(500, 8),
    );
  });
});

describe("text", () => {
  it("never becomes a special token", () => {
    fc.assert(
      fc.property(text, (each) => {
        const encoded = tokenizer.encode(each);
        expect(encoded.filter((id) => tokenizer.isSpecial(id))).toEqual([]);
        expect(tokenizer.decode(encoded)).toBe(wellFormed(each));
      }),
      runs(3000, 9),
    );
  });

  it("never becomes a control token, wherever in a conversation it is", () => {
    fc.assert(
      fc.property(fc.array(text, { minLength: 9, maxLength: 9 }), (t) => {
        const [a, b, c, d, e, f, g, h, i] = t as [
          string,
          string,
          string,
          string,
          string,
          string,
          string,
          string,
          string,
        ];
        const schema = JSON.stringify({
          type: "object",
          description: a,
          properties: {
            [b]: { type: "string", enum: [c], default: c, title: d, examples: [a] },
            x: { oneOf: [{ description: e }] },
          },
        });
        const stream = renderForCompletion(tokenizer, [
          systemMessage({ identity: a, knowledgeCutoff: b, conversationStartDate: c, channels: [d] }),
          developerMessage(e, {
            tools: [
              functionTools([{ name: f, description: g, parameters: schema }]),
              { name: h, description: i, tools: [] },
            ],
            responseFormats: [{ name: a, description: b, schema }],
          }),
          {
            role: "user",
            name: a,
            recipient: b,
            channel: c,
            contentType: `x${d}`,
            content: e,
          },
          {
            role: "tool",
            name: f || "f",
            content: [
              { type: "text", text: g },
              { type: "text", text: h },
            ],
          },
        ]);
        const specials = stream.filter((id) => tokenizer.isSpecial(id)).map((id) => tokenizer.decode([id]));
        const plain = ["<|start|>", "<|message|>", "<|end|>"];
        expect(specials).toEqual([
          ...plain,
          ...plain,
          "<|start|>",
          "<|channel|>",
          ...plain.slice(1),
          ...plain,
          "<|start|>",
        ]);
      }),
      runs(300, 10),
    );
  });
});

function wellFormed(each: string): string {
  return each.replace(/\p{Surrogate}/gu, "\ufffd");
}

/** The text of a stream. Bytes of one character are put together across tokens, but not across control tokens. */
function pieces(stream: readonly number[]): string {
  const all: number[][] = [[]];
  for (const id of stream) {
    if (controlIds.has(id)) all.push([]);
    else all.at(-1)!.push(id);
  }
  return all.map((piece) => tokenizer.decode(piece)).join("");
}

/** A text without control tokens. */
function bare(found: string): string {
  return CONTROL.reduce((rest, each) => rest.replaceAll(each, ""), found);
}
