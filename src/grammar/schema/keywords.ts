import { GrammarError } from "../errors.ts";

/** A schema that is an object. */
export type SchemaObject = Readonly<Record<string, unknown>>;

/** Keywords that say nothing about which values are valid. */
const ANNOTATIONS: readonly string[] = [
  ...["$schema", "$comment", "$defs", "definitions", "title", "description", "default", "examples"],
  ...["deprecated", "readOnly", "writeOnly", "contentEncoding", "contentMediaType", "contentSchema"],
];
const SUPPORTED: readonly string[] = [
  ...["$ref", "type", "enum", "const", "allOf", "anyOf", "oneOf", "not"],
  ...["properties", "patternProperties", "additionalProperties", "propertyNames", "required"],
  ...["minProperties", "maxProperties", "items", "prefixItems", "minItems", "maxItems", "uniqueItems"],
  ...["minLength", "maxLength", "pattern", "format"],
  ...["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"],
];
const HINTS: Readonly<Record<string, string>> = {
  if: "Write the cases as anyOf.",
  nullable: 'Write "type": ["string", "null"].',
  contains: "Put the required item into prefixItems.",
  additionalItems: "Since draft 2020-12 it's prefixItems and items.",
  dependencies: "Write the cases as anyOf.",
  dependentRequired: "Write the cases as anyOf.",
  dependentSchemas: "Write the cases as anyOf.",
  unevaluatedProperties: "Close the object with additionalProperties.",
  unevaluatedItems: "Close the array with items or maxItems.",
  $dynamicRef: "Use $ref.",
  $recursiveRef: "Use $ref.",
};
const KNOWN: ReadonlySet<string> = new Set([...ANNOTATIONS, ...SUPPORTED]);
const COUNTS: readonly string[] = [
  ...["minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"],
];
const NUMBERS: readonly string[] = [
  ...["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"],
];
const TYPES: readonly string[] = ["null", "boolean", "number", "integer", "string", "array", "object"];

/** Throws GrammarError unless each keyword is known and has a value of its kind. `pointer` is the schema's, for messages. */
export function checkKeywords(schema: SchemaObject, pointer: string): void {
  for (const [keyword, value] of Object.entries(schema)) {
    if (!KNOWN.has(keyword)) {
      const isRootId = pointer === "" && (keyword === "$id" || keyword === "$vocabulary");
      if (isRootId || keyword === "$anchor" || keyword === "$dynamicAnchor") continue;
      refuse(pointer, keyword, "a keyword of the schema isn't supported", HINTS[keyword]);
    }
    const expected = expectation(keyword, value);
    if (expected !== undefined) {
      throw new GrammarError(`${keyword} has a wrong value`, {
        where: at(pointer, keyword),
        expected,
        found: short(value),
        keyword,
      });
    }
  }
}

/** What a keyword's value should be, if it isn't. */
function expectation(keyword: string, value: unknown): string | undefined {
  if (COUNTS.includes(keyword)) {
    return Number.isInteger(value) && (value as number) >= 0 ? undefined : "an integer of 0 or more";
  }
  if (NUMBERS.includes(keyword)) return Number.isFinite(value) ? undefined : "a number";
  switch (keyword) {
    case "type": {
      const types: unknown[] = Array.isArray(value) ? value : [value];
      return types.every((type) => TYPES.includes(type as string)) ? undefined : TYPES.join(", ");
    }
    case "enum":
    case "prefixItems":
    case "allOf":
    case "anyOf":
    case "oneOf":
      return Array.isArray(value) ? undefined : "an array";
    case "required":
      return Array.isArray(value) && value.every((name) => typeof name === "string")
        ? undefined
        : "an array of strings";
    case "properties":
    case "patternProperties":
      return isObject(value) ? undefined : "an object";
    case "pattern":
    case "format":
    case "$ref":
      return typeof value === "string" ? undefined : "a string";
    case "uniqueItems":
      return typeof value === "boolean" ? undefined : "true or false";
    default:
      return undefined;
  }
}

export function refuse(pointer: string, keyword: string, what: string, hint?: string): never {
  throw new GrammarError(what, { where: at(pointer, keyword), keyword, ...(hint !== undefined && { hint }) });
}

export function at(pointer: string, ...steps: readonly (string | number)[]): string {
  let out = pointer;
  for (const step of steps) out += `/${String(step).replaceAll("~", "~0").replaceAll("/", "~1")}`;
  return out === "" ? "#" : out.startsWith("#") ? out : `#${out}`;
}

export function isObject(value: unknown): value is SchemaObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function short(value: unknown): string {
  if (Array.isArray(value)) return "an array";
  return isObject(value) ? "an object" : String(value);
}
