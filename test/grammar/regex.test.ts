import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compile, GrammarError, jsonSchemaGrammar, regexGrammar } from "../../src/grammar/index.ts";
import { tokenizer } from "../support/scripted-model.ts";
import { acceptsText } from "./walk.ts";

function accepts(source: string, text: string): boolean {
  return acceptsText(compile(regexGrammar(source), tokenizer), tokenizer, text);
}

// Small alphabets make matches likely.
const texts = fc.string({ unit: fc.constantFrom("a", "b", "c", "1", "é", "😀", "\n", " "), maxLength: 8 });
const { regex } = fc.letrec<{ regex: string }>((tie) => ({
  regex: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.constantFrom(
      "a",
      "b",
      "c",
      ".",
      "\\d",
      "\\w",
      "\\s",
      "[ab]",
      "[^a]",
      "[a-c1]",
      "é",
      "\\u{1F600}",
      "\\n",
      "[^\\s\\d]",
    ),
    fc.constantFrom("^", "$", ""),
    fc.tuple(tie("regex"), tie("regex")).map(([a, b]) => `${a}${b}`),
    fc.tuple(tie("regex"), tie("regex")).map(([a, b]) => `(?:${a}|${b})`),
    fc
      .tuple(tie("regex"), fc.constantFrom("*", "+", "?", "{2}", "{1,}", "{0,2}", "*?"))
      .map(([a, q]) => `(${a})${q}`),
  ),
}));
const runs = { seed: 1, numRuns: 150 * Number(process.env["FUZZ_RUNS"] ?? 1) };

test("texts are accepted exactly if JavaScript's own engine matches the whole of them", () => {
  fc.assert(
    fc.property(regex, fc.array(texts, { minLength: 12, maxLength: 12 }), (source, candidates) => {
      let constraint: ReturnType<typeof compile>;
      const whole = new RegExp(`^(?:${source})$`, "u");
      try {
        constraint = compile(regexGrammar(source), tokenizer);
      } catch (error) {
        expect((error as GrammarError).message).toMatch(/^no text fulfils this/);
        expect(candidates.filter((text) => whole.test(text))).toEqual([]);
        return;
      }
      for (const text of candidates) {
        expect(acceptsText(constraint, tokenizer, text), JSON.stringify([source, text])).toBe(
          whole.test(text),
        );
      }
    }),
    runs,
  );
});

test("a schema's pattern is searched for, as JavaScript's own engine does", () => {
  fc.assert(
    fc.property(regex, fc.array(texts, { minLength: 12, maxLength: 12 }), (pattern, candidates) => {
      const anywhere = new RegExp(pattern, "u");
      let constraint: ReturnType<typeof compile>;
      try {
        constraint = compile(jsonSchemaGrammar({ type: "string", pattern }), tokenizer);
      } catch (error) {
        expect((error as GrammarError).message).toMatch(/^no text fulfils this/);
        expect(candidates.filter((text) => anywhere.test(text))).toEqual([]);
        return;
      }
      for (const text of candidates) {
        const json = JSON.stringify(text);
        expect(acceptsText(constraint, tokenizer, json), JSON.stringify([pattern, text])).toBe(
          anywhere.test(text),
        );
      }
    }),
    runs,
  );
});

describe("syntax", () => {
  test.each([
    ["\\p{Lu}+", "ÉA", "é"],
    ["\\P{L}", "1", "a"],
    ["[\\b\\-\\]]", "]", "b"],
    ["\\cA\\0", "\u0001\u0000", "cA0"],
    ["(?<year>\\d{4})", "2026", "26"],
    ["\\ud83d\\ude00", "😀", "?"],
    ["[\\u{1F600}-\\u{1F64F}]", "😀", "x"],
    ["a{0}", "", "a"],
    ["\\x41\\/\\.", "A/.", "A/x"],
    ["x*", "xxxxxxxxxx", "y"],
  ])("%s matches %j and not %j", (source, yes, no) => {
    expect([accepts(source, yes), accepts(source, no)]).toEqual([true, false]);
  });

  test.each([
    ["a(?=b)", /lookahead/],
    ["(?<!b)a", /lookbehind/],
    ["\\bword", /word boundaries/],
    ["(a)\\1", /backreferences/],
    ["(?<x>a)\\k<x>", /backreferences/],
    ["(", /not a regular expression/],
    ["a{99999}{99999}", /not a regular expression|grew beyond/],
    ["(a{1000}){1000}", /grew beyond the limit/],
    ["(a|b)*a(a|b){40}", /grew beyond the limit/],
    ["a^b", /no text fulfils/],
    ["a".repeat(20_001), /too long/],
    [`${"(".repeat(201)}${")".repeat(201)}`, /nested deeper/],
  ])("%s is refused", (source, message) => {
    expect(() => regexGrammar(source)).toThrow(message);
    expect(() => regexGrammar(source)).toThrow(GrammarError);
  });
});
