import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compile, GrammarError, jsonSchemaGrammar } from "../../src/grammar/index.ts";
import { tokenizer } from "../support/scripted-model.ts";
import { validator } from "./suite.ts";
import { acceptsText, allowedIds, randomNumbers, walk } from "./walk.ts";

function accepts(schema: unknown, text: string): boolean {
  return acceptsText(compile(jsonSchemaGrammar(schema), tokenizer), tokenizer, text);
}

function refusal(schema: unknown): string {
  try {
    jsonSchemaGrammar(schema);
  } catch (error) {
    if (error instanceof GrammarError) return error.message;
    throw error;
  }
  return "supported";
}

const record = {
  type: "object",
  properties: {
    name: { type: "string" },
    age: { type: "integer" },
    tags: { type: "array", items: { type: "string" } },
  },
  required: ["name"],
};

describe("form", () => {
  test.each([
    ['{"name":"x"}', true],
    ['{ "name": "x", "age": 3, "tags": [] }', true],
    ['{\n  "name": "x",\n  "tags": [\n    "a",\n    "b"\n  ]\n}', true],
    ['{"age":3,"name":"x"}', false], // not in the schema's order
    ['{"name":"x","name":"y"}', false],
    ['{"name":"x","other":1}', false], // properties that aren't declared need additionalProperties
    ['{"age":3}', false],
    ['{  "name":"x"}', false], // two spaces
    ['{"name" :"x"}', false],
    ['{"name":"x"} ', false],
    ['{"name":"x",}', false],
    [`{\n${" ".repeat(32)}"name":"x"}`, true],
    [`{\n${" ".repeat(33)}"name":"x"}`, false],
  ])("%j: %j", (text, expected) => {
    expect(accepts(record, text)).toBe(expected);
  });

  test.each([
    ['"\\u00e9\\n\\/"', true],
    ['"\\ud83d\\ude00"', true],
    ['"\\ud83d"', false], // half a character
    ['"\\ude00\\ud83d"', false],
    ['"\\x41"', false],
    ['"a\nb"', false],
    ['"😀é"', true],
  ])("string %j: %j", (text, expected) => {
    expect(accepts({ type: "string" }, text)).toBe(expected);
  });

  test("length counts code points, however they are written", () => {
    const two = { type: "string", minLength: 2, maxLength: 2 };
    for (const text of ['"😀é"', '"\\ud83d\\ude00\\u00e9"', '"\\n😀"']) expect(accepts(two, text)).toBe(true);
    for (const text of ['"😀"', '"\\ud83d\\ude00"', '"abc"']) expect(accepts(two, text)).toBe(false);
    const patterned = { ...two, pattern: "^[^a]+$" };
    expect(accepts(patterned, '"😀\\n"')).toBe(true);
    expect(accepts(patterned, '"😀"')).toBe(false);
  });

  test("bytes of a character that no text can go on from are never allowed", () => {
    const matcher = compile(jsonSchemaGrammar({ type: "string" }), tokenizer).start();
    const idOf = (byte: number): number => allBytes.get(byte)!;
    const allBytes = new Map<number, number>();
    for (let id = 0; id < tokenizer.size; id++) {
      if (!tokenizer.isSpecial(id) && tokenizer.bytes(id).length === 1)
        allBytes.set(tokenizer.bytes(id)[0]!, id);
    }
    expect(matcher.accept(idOf(0x22))).toBe(true);
    expect(matcher.accept(idOf(0x80))).toBe(false); // a continuation without a start
    expect(matcher.accept(idOf(0xed))).toBe(true);
    expect(matcher.accept(idOf(0xa0))).toBe(false); // a surrogate
    expect(matcher.accept(idOf(0x9f))).toBe(true);
    expect(matcher.accept(idOf(0x22))).toBe(false); // not yet whole
    expect(matcher.accept(idOf(0xbf))).toBe(true);
    expect(matcher.accept(idOf(0x22))).toBe(true);
    expect([matcher.isComplete, matcher.mustEnd]).toEqual([true, true]);
  });
});

describe("keys", () => {
  const open = {
    type: "object",
    properties: { a: { type: "null" } },
    additionalProperties: { type: "integer" },
  };
  test.each([
    ['{"a":null,"b":1,"c":2}', true],
    ['{"b":1,"c":2}', true],
    ['{"b":1,"a":null}', false],
    ['{"b":1,"b":2}', false],
    ['{"b":1,"c":2,"b":3}', false],
    ['{"a":null,"a":1}', false],
    ['{"\\u0062":1}', false], // one way to write a key, so that equal keys look equal
    ['{"b\\"":1,"b":2}', true],
    ['{"":1}', true],
  ])("%j: %j", (text, expected) => {
    expect(accepts(open, text)).toBe(expected);
  });

  test("differ within an object, not across objects", () => {
    expect(accepts(true, '{"a":{"a":1},"b":[{"a":1},{"a":1}]}')).toBe(true);
    expect(accepts(true, '{"a":{"b":1,"c":{},"b":1}}')).toBe(false);
  });

  test("a token that would complete a key a second time is masked out, one that goes on isn't", () => {
    const matcher = compile(jsonSchemaGrammar({ type: "object" }), tokenizer).start();
    for (const id of tokenizer.encode('{"ab":1,"ab')) expect(matcher.accept(id)).toBe(true);
    const texts = allowedIds(matcher).map((id) => tokenizer.decode([id]));
    expect(texts.filter((text) => text.startsWith('"'))).toEqual([]);
    expect(texts).toContain("c");
  });

  test("few keys that a pattern stands for are listed; many are refused", () => {
    const keys = (pattern: string): unknown => ({
      type: "object",
      additionalProperties: { type: "integer" },
      propertyNames: { pattern },
    });
    expect(accepts(keys("^[ab]$"), '{"a":1,"b":2}')).toBe(true);
    expect(accepts(keys("^[ab]$"), '{"a":1,"c":2}')).toBe(false);
    expect(refusal(keys("^[a-z]{3}$"))).toMatch(/many, but not endlessly many/);
  });

  test.each(["__proto__", "constructor", "toString"])("%s is a key like others", (name) => {
    const schema = JSON.parse(
      `{"type":"object","properties":{"${name}":{"type":"integer"}},"required":["${name}"]}`,
    );
    expect(accepts(schema, `{"${name}":1}`)).toBe(true);
    expect(accepts(schema, "{}")).toBe(false);
  });
});

describe("numbers", () => {
  const decimal = fc
    .tuple(fc.boolean(), fc.integer({ min: 0, max: 99999 }), fc.integer({ min: 0, max: 3 }))
    .map(([negative, digits, places]) => (negative ? -1 : 1) * (digits / 10 ** places));

  test("a decimal is accepted exactly if it lies within the limits", () => {
    fc.assert(
      fc.property(
        decimal,
        decimal,
        fc.array(decimal, { minLength: 20, maxLength: 20 }),
        fc.constantFrom("minimum", "exclusiveMinimum"),
        fc.constantFrom("maximum", "exclusiveMaximum"),
        fc.constantFrom("number", "integer"),
        (a, b, values, lower, upper, type) => {
          const schema = { type, [lower]: Math.min(a, b), [upper]: Math.max(a, b) };
          const validate = validator(schema);
          let grammar: ReturnType<typeof jsonSchemaGrammar>;
          try {
            grammar = jsonSchemaGrammar(schema);
          } catch (error) {
            expect((error as Error).message).toMatch(/^no text fulfils/);
            expect([...values, a, b].some(validate)).toBe(false);
            return;
          }
          const constraint = compile(grammar, tokenizer);
          for (const value of [...values, a, b, 0, Math.round(a), Math.round(b)]) {
            const text = String(value === 0 ? 0 : value);
            expect(acceptsText(constraint, tokenizer, text), `${text} in ${JSON.stringify(schema)}`).toBe(
              validate(value),
            );
          }
        },
      ),
      { seed: 1, numRuns: 60 * Number(process.env["FUZZ_RUNS"] ?? 1) },
    );
  });

  test.each([3, 7, 0.5, 0.25, 100])("multiples of %j", (divisor) => {
    const constraint = compile(jsonSchemaGrammar({ type: "number", multipleOf: divisor }), tokenizer);
    for (let n = -40; n <= 40; n++) {
      const value = n / 4;
      const text = String(value === 0 ? 0 : value);
      expect(acceptsText(constraint, tokenizer, text), text).toBe(Number.isInteger(value / divisor));
    }
  });

  test.each(["01", "+1", "1.", ".5", "1e5", "-0", "--1", "1.0"])("an integer isn't written %s", (text) => {
    expect(accepts({ type: "integer" }, text)).toBe(false);
  });

  test("a number is finite and of at most 15 digits", () => {
    expect(accepts({ type: "number" }, "999999999999999e99")).toBe(true);
    expect(accepts({ type: "number" }, "1e100")).toBe(false);
    expect(accepts({ type: "integer" }, "9".repeat(15))).toBe(true);
    expect(accepts({ type: "integer" }, "9".repeat(16))).toBe(false);
    expect(refusal({ type: "integer", minimum: 1e16 })).toMatch(/more than 15 digits/);
  });
});

test("dates are those of the calendar", () => {
  const constraint = compile(jsonSchemaGrammar({ type: "string", format: "date" }), tokenizer);
  for (const year of [1900, 1999, 2000, 2024, 2100]) {
    for (let month = 0; month <= 13; month++) {
      for (let day = 0; day <= 32; day++) {
        const text = `${year}-${String(month).padStart(2, "0")}-${String(day).padStart(2, "0")}`;
        const date = new Date(`${text}T00:00:00Z`);
        const isReal = !Number.isNaN(date.getTime()) && date.toISOString().startsWith(text);
        if (acceptsText(constraint, tokenizer, JSON.stringify(text)) !== isReal) expect.fail(text);
      }
    }
  }
});

describe("refused, with pointer, keyword and a way out", () => {
  test.each<[unknown, RegExp]>([
    [{ if: {} }, /isn't supported \(#\/if\)\. Write the cases as anyOf/],
    [{ properties: { "a/b": { unknown: 1 } } }, /\(#\/properties\/a~1b\/unknown\)/],
    [{ type: "array", items: { type: "string" }, uniqueItems: true }, /unique items.*\(#\/uniqueItems\)/],
    [{ oneOf: [{ type: "integer" }, { type: "number" }] }, /\(#\/oneOf\)\. Use anyOf/],
    [{ type: "string", pattern: "(?=a)" }, /\(#\/pattern\)/],
    [{ type: "string", pattern: "[" }, /not a regular expression/],
    [{ type: "string", format: "idn-email" }, /this format isn't supported \(#\/format\)/],
    [{ type: "number", multipleOf: 0.01 }, /divisor.*\(#\/multipleOf\)/],
    [
      { minLength: -1 },
      /minLength has a wrong value \(#\/minLength\): expected an integer of 0 or more, found -1/,
    ],
    [{ $ref: "other.json" }, /\(#\/\$ref\)/],
    [{ $ref: "#/$defs/none" }, /leads nowhere/],
    [{ $ref: "#" }, /refers to itself/],
    [{ not: { required: ["a"] } }, /negation/],
    [{ type: "string", minLength: 3, maxLength: 2 }, /no text fulfils this/],
    [{ type: "string", pattern: "^a{5}$", maxLength: 4 }, /no text fulfils this/],
    [{ enum: [1, 2], type: "string" }, /no text fulfils this/],
    [
      { $ref: "#/$defs/a", $defs: { a: { type: "array", items: { $ref: "#/$defs/a" }, minItems: 1 } } },
      /no text fulfils/,
    ],
    ["text", /not a schema \(#\): expected an object, true or false, found text/],
  ])("%j", (schema, message) => {
    expect(refusal(schema)).toMatch(message);
  });
});

test("a part that can't be fulfilled is left out where it may be", () => {
  const schema = {
    type: "object",
    properties: { a: { type: "string", pattern: "^x$", minLength: 2 }, b: { type: "null" } },
  };
  expect(accepts(schema, '{"b":null}')).toBe(true);
  const matcher = compile(jsonSchemaGrammar(schema), tokenizer).start();
  for (const id of tokenizer.encode('{"')) matcher.accept(id);
  expect(matcher.accept(tokenizer.encode("a")[0]!)).toBe(false); // would lead nowhere
});

test("values of an enum are checked against a schema that they are part of", () => {
  const schema = { allOf: [{ type: "array", items: { $ref: "#" } }, { enum: [[], [[]], [[[]], 1], "a"] }] };
  expect(accepts(schema, "[[]]")).toBe(true);
  expect(accepts(schema, "[[[]],1]")).toBe(false);
  expect(accepts(schema, '"a"')).toBe(false);
});

test("oneOf of tagged records, with recursion", () => {
  const schema = {
    $ref: "#/$defs/shape",
    $defs: {
      shape: {
        oneOf: [
          {
            type: "object",
            properties: { kind: { const: "dot" } },
            required: ["kind"],
            additionalProperties: false,
          },
          {
            type: "object",
            properties: {
              kind: { const: "group" },
              parts: { type: "array", items: { $ref: "#/$defs/shape" } },
            },
            required: ["kind", "parts"],
            additionalProperties: false,
          },
        ],
      },
    },
  };
  expect(accepts(schema, '{"kind":"group","parts":[{"kind":"dot"},{"kind":"group","parts":[]}]}')).toBe(true);
  expect(accepts(schema, '{"kind":"group"}')).toBe(false);
});

test("the mask is what accept accepts, at every step of random texts", () => {
  const schemas: unknown[] = [
    record,
    true,
    { type: "array", items: { type: "string", maxLength: 3 }, maxItems: 4 },
    {
      anyOf: [
        { type: "string", pattern: "^ab*c" },
        { type: "string", minLength: 4 },
        { type: "number", minimum: 3 },
      ],
    },
    {
      type: "object",
      patternProperties: { "^n_": { type: "integer" } },
      additionalProperties: { type: "string" },
    },
  ];
  for (const [seed, schema] of schemas.entries()) {
    const constraint = compile(jsonSchemaGrammar(schema), tokenizer);
    const { ids } = walk(constraint, tokenizer, randomNumbers(seed), 12, 60);
    const matcher = constraint.start();
    for (const id of [...ids, -1]) {
      const all = Array.from({ length: tokenizer.size }, (_, other) => other);
      const accepted = all.filter((other) => matcher.clone().accept(other));
      expect(allowedIds(matcher)).toEqual(accepted);
      matcher.accept(id);
    }
  }
});

test("apply forbids every other id, control tokens and rows without a token included", () => {
  const matcher = compile(jsonSchemaGrammar({ type: "null" }), tokenizer).start();
  const logits = new Float32Array(tokenizer.size + 100);
  matcher.apply(logits, [tokenizer.specialId("<|return|>")]);
  const left = [...logits.keys()].filter((id) => logits[id] === 0).map((id) => tokenizer.decode([id]));
  expect(left.every((text) => text === "<|return|>" || "null".startsWith(text))).toBe(true);
  expect(left).toContain("n");
});
