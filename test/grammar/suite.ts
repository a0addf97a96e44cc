import { readFileSync } from "node:fs";
import { Ajv2020 } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";

/** A schema of the JSON Schema Test Suite, and values that are valid or not. */
export interface SuiteCase {
  /** The keyword, mostly. */
  readonly file: string;
  readonly description: string;
  readonly schema: unknown;
  readonly tests: readonly {
    readonly description: string;
    readonly data: unknown;
    readonly valid: boolean;
  }[];
}

/** Draft 2020-12 of json-schema-org/JSON-Schema-Test-Suite at the commit that json-schema-test-suite.md names. */
export function suiteCases(): SuiteCase[] {
  const file = readFileSync(new URL("json-schema-test-suite.jsonl", import.meta.url), "utf8");
  return file
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as SuiteCase);
}

/** Validation by an independent implementation, formats included. */
export function validator(schema: unknown): (value: unknown) => boolean {
  // without ownProperties, {} would have a property "toString"
  const ajv = new Ajv2020({ strict: false, logger: false, validateSchema: false, ownProperties: true });
  addFormats.default(ajv);
  const validate = ajv.compile(schema as object);
  return (value) => validate(value) === true;
}

/** The ways to write a value that differ in the order of properties, as far as that is feasible. */
export function* writings(value: unknown): Generator<string> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    yield JSON.stringify(value);
    return;
  }
  const entries = Object.entries(value);
  for (const order of entries.length > 5 ? [entries] : permutations(entries)) {
    yield `{${order.map(([name, item]) => `${JSON.stringify(name)}:${JSON.stringify(item)}`).join(",")}}`;
  }
}

function* permutations<T>(items: readonly T[]): Generator<readonly T[]> {
  if (items.length < 2) yield items;
  for (const [i, item] of items.entries()) {
    if (items.length < 2) return;
    for (const rest of permutations(items.toSpliced(i, 1))) yield [item, ...rest];
  }
}
