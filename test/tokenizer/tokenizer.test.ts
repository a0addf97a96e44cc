import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TokenizerError } from "../../src/errors.ts";
import { joinPairs } from "../../src/tokenizer/bpe.ts";
import { loadTokenizer } from "../../src/tokenizer/index.ts";
import { finish } from "../../src/tokenizer/steps.ts";
import { o200kHarmony } from "./o200k.ts";

const small = loadTokenizer(
  JSON.parse(readFileSync(new URL("../../golden/small/tokenizer.json", import.meta.url), "utf8")),
  "golden/small/tokenizer.json",
);
const real = o200kHarmony();
const anyText = fc.oneof(fc.string({ unit: "binary" }), fc.string({ unit: "grapheme" }), fc.string());
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

describe("a tokenizer", () => {
  it.each([
    ["hello world", [24912, 2375]],
    ["functions.get_weather", [44580, 775, 170154]],
    ["don't", [91418]],
    ["DON'T", [134882, 51532]],
    ["1234567890", [7633, 19354, 29338, 15]],
    ["a\u0085b", [64, 126, 227, 65]],
    ["x \ufeff y", [87, 71280, 342]],
    ["   hello\n\n  world  ", [256, 40617, 279, 220, 2375, 256]],
    ["http://a/b//c\n\n", [2903, 1684, 64, 7611, 393, 66, 279]],
    [" \n \n x", [56319, 1215]],
  ])("encodes %j", (text, ids) => {
    expect(real.encode(text)).toEqual(ids);
  });

  it("never yields a special token from text", () => {
    expect(real.encode("<|start|>")).toEqual([27, 91, 5236, 91, 29]);
    for (const tokenizer of [real, small]) {
      for (const name of ["<|start|>", "<|end|>", "<|return|>", "<|call|>", "<|channel|>", "<|endoftext|>"]) {
        const id = tokenizer.specialId(name);
        expect(tokenizer.isSpecial(id)).toBe(true);
        expect(tokenizer.decode([id])).toBe(name);
        const ids = tokenizer.encode(`${name}x${name} ${name}`);
        expect(ids.some((each) => tokenizer.isSpecial(each))).toBe(false);
        expect(tokenizer.decode(ids)).toBe(`${name}x${name} ${name}`);
      }
    }
  });

  it("gives any text back, with lone surrogates replaced", () => {
    fc.assert(
      fc.property(anyText, fc.constantFrom(real, small), (text, tokenizer) => {
        const ids = tokenizer.encode(text);
        expect(tokenizer.decode(ids)).toBe(decoder.decode(encoder.encode(text)));
        expect(ids.some((id) => tokenizer.isSpecial(id))).toBe(false);
      }),
      { numRuns: 2000, seed: 2 },
    );
  });

  it("has each byte as a token, and each token's bytes as that token", () => {
    for (const tokenizer of [real, small]) {
      const single = new Set<number>();
      for (let id = 0; id < 300; id++) {
        const bytes = tokenizer.bytes(id);
        if (bytes.length === 1) single.add(bytes[0]!);
      }
      expect(single.size).toBe(256);
    }
  });

  it("says what is wrong with an id", () => {
    for (const id of [-1, 1.5, Number.NaN, Infinity]) expect(() => real.decode([id])).toThrow(TokenizerError);
    expect(() => real.decode([-1])).toThrow(
      "not a token id (o200k_base.tiktoken): expected an integer from 0 on, found -1",
    );
    expect(() => real.bytes(200006)).toThrow(
      "the id has no ordinary token (o200k_base.tiktoken): found <|start|>",
    );
    expect(() => real.specialId("<|refusal|>")).toThrow(
      "no such special token (o200k_base.tiktoken): found <|refusal|>",
    );
  });

  it("shows an id without a token as U+FFFD", () => {
    const { size } = small;
    expect(small.decode([size - 1, size, size + 1, 2 ** 40])).toMatch(/^<\|[^|]+\|>\ufffd{3}$/);
  });
});

describe("the small checkpoint's tokenizer", () => {
  const ordinary = small.specialId("<|startoftext|>");

  it("is a prefix of the real one", () => {
    for (let id = 0; id < ordinary; id++) expect(small.bytes(id)).toEqual(real.bytes(id));
  });

  it("numbers the same special tokens from there on", () => {
    for (let id = 199998; id < 200018; id++) {
      const name = real.decode([id]);
      expect(small.specialId(name)).toBe(id - 199998 + ordinary);
    }
  });

  it("encodes as the real one does, as far as its tokens go", () => {
    let compared = 0;
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom(..."etaoin shrdlu123+-=\n'"), maxLength: 60 }),
        (text) => {
          const ids = real.encode(text);
          if (ids.some((id) => id >= ordinary)) return;
          compared++;
          expect(small.encode(text)).toEqual(ids);
        },
      ),
      { numRuns: 3000, seed: 3 },
    );
    expect(compared).toBeGreaterThan(300);
  });
});

describe("streaming decode", () => {
  const ids = [9552, 220, 31446, 244, 200006, 65, 9552, 9552, 126, 227, 200500, 9552];

  it("holds bytes back until their character is whole", () => {
    const stream = real.stream();
    expect(real.bytes(9552)).toEqual(Uint8Array.of(0x20, 0xf0, 0x9f));
    expect(stream.push(9552)).toBe(" ");
    expect(stream.push(31446 /* F0 9F 92 */)).toBe("\ufffd");
    expect(stream.push(244 /* 96 */)).toBe("💖");
    expect(stream.push(9552)).toBe(" ");
    expect(stream.end()).toBe("\ufffd");
    expect(stream.end()).toBe("");
    expect(stream.push(65)).toBe("b");
  });

  it("keeps a byte order mark", () => {
    const mark = real.encode("\ufeffa");
    expect(mark.map((id) => real.stream().push(id)).length).toBe(mark.length);
    expect(real.decode(mark)).toBe("\ufeffa");
    const stream = real.stream();
    expect(mark.map((id) => stream.push(id)).join("") + stream.end()).toBe("\ufeffa");
  });

  it("gives the text of decode, and only whole characters, for any ids", () => {
    const id = fc.oneof(
      fc.constantFrom(...ids),
      fc.integer({ min: 0, max: 255 }),
      fc.integer({ min: 0, max: 201100 }),
    );
    fc.assert(
      fc.property(fc.array(id, { maxLength: 40 }), (sequence) => {
        const stream = real.stream();
        const deltas = [...sequence.map((each) => stream.push(each)), stream.end()];
        expect(deltas.join("")).toBe(real.decode(sequence));
        for (const delta of deltas) expect(delta).not.toMatch(/\p{Surrogate}/u);
      }),
      { numRuns: 5000, seed: 4 },
    );
  });

  it("replaces invalid bytes as TextDecoder does with all of them at once", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 12 }), (bytes) => {
        const each = bytes.map((byte) => byteId.get(byte)!);
        expect(real.decode(each)).toBe(decoder.decode(Uint8Array.from(bytes)));
      }),
      { numRuns: 5000, seed: 5 },
    );
  });

  const byteId = new Map<number, number>();
  for (let id = 0; id < 256; id++) byteId.set(real.bytes(id)[0]!, id);
});

describe("encoding in steps", () => {
  it.each([
    ["of words", "some words, ".repeat(20_000)],
    ["without a space", "a".repeat(240_000)],
    ["of nothing but spaces", " ".repeat(240_000)],
  ])("gives the same ids of a text %s, in steps that tell its length", (_, text) => {
    const steps = small.encodeSteps(text);
    let [count, characters] = [0, 0];
    let next = steps.next();
    for (; !next.done; next = steps.next()) {
      count++;
      characters += next.value;
    }
    expect(next.value).toEqual(small.encode(text));
    expect(small.decode(next.value)).toBe(text);
    expect(count).toBeGreaterThan(50);
    expect(Math.abs(characters - text.length)).toBeLessThan(0.1 * text.length);
  });
});

describe("byte pair encoding", () => {
  it("looks each pair up a number of times that grows in step with the piece", () => {
    const ranks = new Map<string, number>();
    for (let byte = 0; byte < 256; byte++) ranks.set(String.fromCharCode(byte), byte);
    for (let length = 2; length <= 128; length *= 2) ranks.set("a".repeat(length), 256 + length);
    for (const length of [10_000, 100_000]) {
      let lookUps = 0;
      const counted = new (class extends Map<string, number> {
        override get(token: string): number | undefined {
          lookUps++;
          return super.get(token);
        }
      })(ranks);
      lookUps = 0;
      const ids: number[] = [];
      finish(joinPairs("a".repeat(length), counted, 128, ids));
      expect(ids.length).toBeGreaterThan(0);
      expect(lookUps).toBeLessThan(5 * length);
    }
  });

  it("joins the lowest rank first, from the left", () => {
    const ranks = new Map(["a", "b", "c", "bc", "ab", "aa", "aab"].map((token, rank) => [token, rank]));
    const encode = (piece: string) => {
      const ids: number[] = [];
      finish(joinPairs(piece, ranks, 3, ids));
      return ids.map((id) => [...ranks.keys()][id]);
    };
    expect(encode("abc")).toEqual(["a", "bc"]);
    expect(encode("aaa")).toEqual(["aa", "a"]);
    expect(encode("aab")).toEqual(["aab"]);
    expect(encode("caabc")).toEqual(["c", "aa", "bc"]);
    expect(encode("aaab")).toEqual(["aa", "ab"]);
  });
});
