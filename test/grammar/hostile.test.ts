// More of the same: FUZZ_RUNS=50 npx vitest run test/grammar/hostile.test.ts  (10,000 schemas)
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compile, type Grammar, GrammarError, jsonSchemaGrammar } from "../../src/grammar/index.ts";
import { tokenizer } from "../support/scripted-model.ts";
import { validator } from "./suite.ts";
import { acceptsText, randomNumbers, walk } from "./walk.ts";

function grammarOf(schema: unknown): Grammar | GrammarError {
  try {
    return jsonSchemaGrammar(schema);
  } catch (error) {
    if (error instanceof GrammarError) return error;
    throw error;
  }
}

/** Validation, unless a $ref that our grammar never comes to leads in a circle: the validator runs out of stack then. */
function validatorOf(schema: unknown): ((value: unknown) => boolean) | undefined {
  try {
    return validator(schema);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

const small = fc.integer({ min: 0, max: 4 });
const bound = fc.constantFrom(-2.5, -1, 0, 0.1, 1, 3, 7.25, 20);
const name = fc.constantFrom("a", "b", "x_1", "0", "");
const optional = { requiredKeys: [] };
const type = fc.constantFrom("null", "boolean", "number", "integer", "string", "array", "object");

/** Schemas whose keywords meet in every way, often to no good. */
const { schema } = fc.letrec<{ schema: unknown; object: object }>((tie) => ({
  schema: fc.oneof(
    { weight: 1, arbitrary: fc.boolean() },
    { weight: 2, arbitrary: fc.constantFrom({ $ref: "#" }, { $ref: "#/$defs/d" }) },
    { weight: 12, arbitrary: tie("object") },
  ),
  object: fc.oneof(
    { maxDepth: 4 },
    fc.record(
      { type, minimum: bound, exclusiveMaximum: bound, multipleOf: fc.constantFrom(1, 3, 0.5) },
      optional,
    ),
    fc.record(
      {
        type: fc.oneof(type, fc.uniqueArray(type, { minLength: 1, maxLength: 3 })),
        minLength: small,
        maxLength: small,
        pattern: fc.constantFrom("a", "^b", "c$", "^[a-z]+$", "^.{2}$", "\\d"),
        format: fc.constantFrom("date", "ipv4", "email", "time"),
      },
      optional,
    ),
    fc.record({
      enum: fc.array(
        fc.oneof(
          fc.constantFrom<unknown>(null, true, 1, 2.5, "a", "b", {}, [1]),
          fc.jsonValue({ maxDepth: 2 }),
        ),
        {
          minLength: 1,
          maxLength: 5,
        },
      ),
    }),
    fc.record(
      {
        type: fc.constant("array"),
        items: tie("schema"),
        prefixItems: fc.array(tie("schema"), { minLength: 1, maxLength: 2 }),
        minItems: small,
        maxItems: small,
        uniqueItems: fc.boolean(),
      },
      { requiredKeys: ["type"] },
    ),
    fc.record(
      {
        type: fc.constant("object"),
        properties: fc.dictionary(name, tie("schema"), { maxKeys: 3 }),
        required: fc.uniqueArray(name, { maxLength: 2 }),
        additionalProperties: tie("schema"),
        patternProperties: fc.dictionary(fc.constantFrom("^x", "a", "^[0-9]+$"), tie("schema"), {
          maxKeys: 2,
        }),
        propertyNames: fc.constantFrom<unknown>(
          { minLength: 1 },
          { pattern: "^[a-z_]" },
          { enum: ["a", "b"] },
          true,
        ),
        minProperties: small,
        maxProperties: small,
      },
      { requiredKeys: ["type"] },
    ),
    fc.record(
      {
        anyOf: fc.array(tie("schema"), { minLength: 1, maxLength: 3 }),
        allOf: fc.array(tie("schema"), { minLength: 1, maxLength: 2 }),
        oneOf: fc.array(tie("schema"), { minLength: 1, maxLength: 2 }),
        not: fc.constantFrom<unknown>({ type: "string" }, { const: "a" }, false, { enum: [null, "b"] }),
      },
      optional,
    ),
  ),
}));

test(
  "random schemas are refused, or all that is written is valid and what is accepted is valid",
  () => {
    let [supported, ended] = [0, 0];
    const numRuns = 200 * Number(process.env["FUZZ_RUNS"] ?? 1);
    fc.assert(
      fc.property(
        schema,
        schema,
        fc.integer(),
        fc.array(fc.jsonValue({ maxDepth: 3 }), { maxLength: 4 }),
        (root, part, seed, values: unknown[]) => {
          const whole = typeof root === "object" ? { ...root, $defs: { d: part } } : root;
          const grammar = grammarOf(whole);
          if (grammar instanceof GrammarError) return;
          supported++;
          const constraint = compile(grammar, tokenizer);
          const validate = validatorOf(whole);
          if (!validate) return;
          for (let i = 0; i < 2; i++) {
            const result = walk(constraint, tokenizer, randomNumbers(seed + i), 12, 150);
            if (!result.ended) continue;
            ended++;
            const value: unknown = JSON.parse(result.text);
            if (!validate(value)) expect.fail(`${JSON.stringify(whole)} writes ${result.text}`);
            const isCompact = JSON.stringify(value) === result.text;
            if (isCompact) expect(acceptsText(constraint, tokenizer, result.text)).toBe(true);
            values.push(value);
          }
          for (const value of values) {
            const text = JSON.stringify(value);
            if (acceptsText(constraint, tokenizer, text) && !validate(value)) {
              expect.fail(`${JSON.stringify(whole)} accepts ${text}`);
            }
          }
        },
      ),
      { seed: 7, numRuns, endOnFailure: true },
    );
    expect(supported).toBeGreaterThan(numRuns / 3);
    expect(ended).toBeGreaterThan(supported);
  },
  60_000 * Number(process.env["FUZZ_RUNS"] ?? 1),
);

function nested(levels: number, wrap: (inner: unknown) => unknown, core: unknown): unknown {
  let schema = core;
  for (let i = 0; i < levels; i++) schema = wrap(schema);
  return schema;
}

function chain(length: number, link: (next: unknown) => unknown): unknown {
  const $defs: Record<string, unknown> = { [`d${length}`]: { type: "null" } };
  for (let i = 0; i < length; i++) $defs[`d${i}`] = link({ $ref: `#/$defs/d${i + 1}` });
  return { $ref: "#/$defs/d0", $defs };
}

const cycle: { properties: Record<string, unknown> } = { properties: {} };
cycle.properties["a"] = cycle;
const many = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

describe("hostile schemas end soon, in a grammar or one line", () => {
  test.each<[string, unknown]>([
    ["100,000 levels", nested(100_000, (inner) => ({ properties: { a: inner } }), {})],
    ["a cycle of objects", cycle],
    ["2^60 ways through anyOf", chain(60, (next) => ({ anyOf: [next, next] }))],
    ["2^60 ways through allOf", chain(60, (next) => ({ allOf: [next, next] }))],
    ["a long chain of references", chain(20_000, (next) => next)],
    ["a long chain of arrays", chain(5000, (next) => ({ type: "array", items: next }))],
    ["a billion items", { type: "array", items: { type: "null" }, minItems: 1e9 }],
    ["a billion characters of a pattern", { type: "string", pattern: "a", minLength: 1e9 }],
    ["an exponential automaton", { type: "string", pattern: "(a|b)*a(a|b){40}" }],
    ["repetitions of repetitions", { type: "string", pattern: "((a{1,100}){1,100}){1,100}" }],
    ["what makes other engines backtrack", { type: "string", pattern: "^(a+)+$" }],
    ["a long ambiguous pattern", { type: "string", pattern: "(x+x+)+y".repeat(500) }],
    ["20,000 values", { enum: many(20_000).map((i) => `value ${i}`) }],
    ["values times values", { allOf: [{ enum: many(3000) }, { enum: many(3000) }] }],
    ["5,000 properties", { properties: Object.fromEntries(many(5000).map((i) => [`p${i}`, {}])) }],
    [
      "alternatives to the fifth power",
      { allOf: many(5).map((k) => ({ anyOf: many(20).map((i) => ({ minimum: i * k })) })) },
    ],
    [
      "300 branches alike",
      { anyOf: many(300).map((i) => ({ type: "object", properties: { a: {}, [`b${i}`]: {} } })) },
    ],
    [
      "100 branches of oneOf",
      { oneOf: many(100).map((i) => ({ properties: { a: { const: i } }, required: ["a"], type: "object" })) },
    ],
  ])("%s", (_, schema) => {
    const start = performance.now();
    const grammar = grammarOf(schema);
    if (!(grammar instanceof GrammarError))
      walk(compile(grammar, tokenizer), tokenizer, randomNumbers(1), 12, 60);
    expect(performance.now() - start).toBeLessThan(20_000); // a fifth of that on an idle machine
  });
});

test("a text of a thousand levels needs no stack", () => {
  const constraint = compile(jsonSchemaGrammar(true), tokenizer);
  const matcher = constraint.start();
  for (let i = 0; i < 20_000; i++) expect(matcher.accept(tokenizer.encode("[")[0]!)).toBe(true);
  matcher.mask();
  for (let i = 0; i < 20_000; i++) expect(matcher.accept(tokenizer.encode("]")[0]!)).toBe(true);
  expect(matcher.mustEnd).toBe(true);
});
