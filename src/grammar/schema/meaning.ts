import { type Automaton, accepts, both, fromRegex, ofLength } from "../automaton.ts";
import { GrammarError, tooLarge } from "../errors.ts";
import { ANYTHING as ANY_TEXT, parseRegex } from "../regex.ts";
import {
  type Alternative,
  ANY_ARRAY,
  ANY_NUMBER,
  ANY_OBJECT,
  ANY_STRING,
  ANYTHING,
  type ArrayAlternative,
  canonical,
  keyOf,
  meet,
  type NumberAlternative,
  type ObjectAlternative,
  type StringAlternative,
} from "./alternatives.ts";
import { FORMATS } from "./formats.ts";
import { at, isObject, refuse, type SchemaObject } from "./keywords.ts";
import { type Bound, decimalDivisor, MAX_DIVISOR } from "./numbers.ts";
import type { Conjunction, SchemaId, Schemas } from "./schemas.ts";

/** Ways in which one schema can be fulfilled. */
const MAX_ALTERNATIVES = 2000;
/** Schemas that lead to each other without a step into a value. */
const MAX_CHAIN = 500;

/** Branches of a oneOf, of which no two may be fulfilled at once. */
export interface Exclusive {
  readonly branches: readonly (readonly Alternative[])[];
  readonly pointer: string;
}

/** Finds out what the schemas of a document mean. */
export class Meaning {
  readonly schemas: Schemas;
  /** What is left to check: see Exclusive. */
  readonly exclusive: Exclusive[] = [];
  readonly #alternatives: Map<SchemaId, readonly Alternative[]> = new Map();
  readonly #conjunctions: Map<string, readonly Alternative[]> = new Map();
  readonly #open: Set<SchemaId> = new Set();
  readonly #keywords: Map<SchemaId, readonly Alternative[]> = new Map();
  /** Whether values are valid; "open" while that is being found out. */
  readonly #results: Map<SchemaId, Map<unknown, boolean | undefined | "open">> = new Map();
  #depth = 0;
  readonly #automata: Map<string, Automaton> = new Map();

  constructor(schemas: Schemas) {
    this.schemas = schemas;
  }

  /** What fulfils all of these schemas. */
  of(conjunction: Conjunction): readonly Alternative[] {
    const key = conjunction.join();
    let found = this.#conjunctions.get(key);
    if (!found) {
      found = ANYTHING;
      for (const id of conjunction) found = this.#both(found, this.#ofSchema(id));
      this.#conjunctions.set(key, found);
    }
    return found;
  }

  #ofSchema(id: SchemaId): readonly Alternative[] {
    const known = this.#alternatives.get(id);
    if (known) return known;
    const pointer = this.schemas.pointer(id);
    if (this.#open.has(id)) this.#refersToItself(id);
    if (this.#open.size >= MAX_CHAIN) throw tooLarge("a chain of references", MAX_CHAIN);
    this.#open.add(id);
    const schema = this.schemas.get(id);
    const found =
      typeof schema === "boolean" ? (schema ? ANYTHING : []) : this.#ofObject(id, schema, pointer);
    this.#open.delete(id);
    this.#alternatives.set(id, found);
    return found;
  }

  #refersToItself(id: SchemaId): never {
    throw new GrammarError("a schema refers to itself without a step into a property or item", {
      where: at(this.schemas.pointer(id)),
      keyword: "$ref",
    });
  }

  /** What the keywords for each type leave of it. */
  #byKeywords(id: SchemaId, schema: SchemaObject): readonly Alternative[] {
    let found = this.#keywords.get(id);
    if (!found) {
      found = ofKeywords(id, schema, this.schemas.pointer(id));
      this.#keywords.set(id, found);
    }
    return found;
  }

  #ofObject(id: SchemaId, schema: SchemaObject, pointer: string): readonly Alternative[] {
    const { schemas } = this;
    let found: readonly Alternative[] = this.#byKeywords(id, schema);
    const values = listed(schema);
    if (values) {
      const all = found;
      const fitting = values.filter((value) => all.some((alternative) => this.fits(value, alternative)));
      found = this.#distinct(fitting.map((value) => ({ kind: "value", value })));
    }
    if (typeof schema["$ref"] === "string") {
      found = this.#both(found, this.#ofSchema(schemas.resolve(id, schema["$ref"])));
    }
    for (const part of schemas.children(id, "allOf")) found = this.#both(found, this.#ofSchema(part));
    if (schema["anyOf"]) {
      const branches = schemas.children(id, "anyOf").flatMap((branch) => this.#ofSchema(branch));
      found = this.#both(found, this.#distinct(branches));
    }
    if (schema["oneOf"]) {
      const all = found;
      const branches = schemas.children(id, "oneOf").map((branch) => this.#both(all, this.#ofSchema(branch)));
      if (branches.length > 1) this.exclusive.push({ branches, pointer: at(pointer, "oneOf") });
      found = this.#distinct(branches.flat());
    }
    if (Object.hasOwn(schema, "not")) found = this.#without(found, schema["not"], pointer);
    return found;
  }

  #both(a: readonly Alternative[], b: readonly Alternative[]): readonly Alternative[] {
    if (a === ANYTHING) return b;
    if (b === ANYTHING) return a;
    if (a.length * b.length > MAX_ALTERNATIVES * 50)
      throw tooLarge("combinations of alternatives", MAX_ALTERNATIVES);
    const out: Alternative[] = [];
    for (const x of a) {
      for (const y of b) {
        const met = this.#meet(x, y);
        if (met) out.push(met);
      }
    }
    return this.#distinct(out);
  }

  #meet(a: Alternative, b: Alternative): Alternative | undefined {
    if (a.kind === "value") return this.fits(a.value, b) ? a : undefined;
    if (b.kind === "value") return this.fits(b.value, a) ? b : undefined;
    return meet(a, b);
  }

  #distinct(alternatives: readonly Alternative[]): readonly Alternative[] {
    const out = new Map<string, Alternative>();
    for (const alternative of alternatives) out.set(keyOf(alternative), alternative);
    const values = [...out.values()];
    const open = values.filter(({ kind }) => kind !== "value").length;
    if (open > MAX_ALTERNATIVES) throw tooLarge("alternatives", MAX_ALTERNATIVES);
    return values;
  }

  #without(found: readonly Alternative[], not: unknown, pointer: string): readonly Alternative[] {
    if (not === false) return found;
    if (not === true || (isObject(not) && Object.keys(not).length === 0)) return [];
    const keywords = isObject(not) ? Object.keys(not) : [];
    const give = (): never =>
      refuse(
        pointer,
        "not",
        "this kind of negation isn't supported",
        "Supported: not of a type, or of texts, booleans and null by const or enum.",
      );
    if (!isObject(not) || keywords.length !== 1) return give();
    if (keywords[0] === "type") {
      const types: readonly unknown[] = [not["type"]].flat();
      return found.filter((alternative) => {
        const kind = alternative.kind === "value" ? kindOf(alternative.value) : alternative.kind;
        if (kind === "number" && types.includes("integer") && !types.includes("number")) {
          if (alternative.kind === "value") return !Number.isInteger(alternative.value);
          if (!(alternative as NumberAlternative).integer) return give();
          return false;
        }
        return !types.includes(kind);
      });
    }
    const values =
      keywords[0] === "const"
        ? [not["const"]]
        : keywords[0] === "enum"
          ? (not["enum"] as unknown)
          : undefined;
    if (!Array.isArray(values)) return give();
    const excluded = new Set(values.map(canonical));
    const kinds = new Set(values.map(kindOf));
    const texts = values.filter((value) => typeof value === "string");
    return this.#distinct(
      found.flatMap((alternative): Alternative[] => {
        if (alternative.kind === "value")
          return excluded.has(canonical(alternative.value)) ? [] : [alternative];
        if (!kinds.has(alternative.kind)) return [alternative];
        if (alternative.kind === "null") return [];
        if (alternative.kind === "boolean") {
          return [true, false].filter((v) => !values.includes(v)).map((value) => ({ kind: "value", value }));
        }
        if (alternative.kind === "string")
          return [{ ...alternative, excluded: [...alternative.excluded, ...texts] }];
        return give();
      }),
    );
  }

  /** Texts that a string may be; with `loosely`, formats count for nothing. */
  textsOf(string: StringAlternative, loosely = false): Automaton {
    const key = `${loosely}${keyOf(string)}`;
    let found = this.#automata.get(key);
    if (!found) {
      found = this.#match(undefined);
      for (const pattern of string.patterns) found = both(found, this.#match(pattern));
      if (!loosely) for (const format of string.formats) found = both(found, this.formatTexts(format));
      if (string.excluded.length > 0) found = both(found, literals(string.excluded), true);
      found = ofLength(found, string.min, string.max);
      this.#automata.set(key, found);
    }
    return found;
  }

  formatTexts(format: string): Automaton {
    return this.#automaton(`format ${format}`, () => fromRegex(parseRegex(FORMATS[format]!)));
  }

  /** Texts in which a pattern is found. */
  #match(pattern: string | undefined): Automaton {
    return this.#automaton(`pattern ${pattern}`, () =>
      pattern === undefined ? fromRegex(ANY_TEXT) : fromRegex(parseRegex(pattern), true),
    );
  }

  #automaton(key: string, make: () => Automaton): Automaton {
    let found = this.#automata.get(key);
    if (!found) {
      found = make();
      this.#automata.set(key, found);
    }
    return found;
  }

  isFound(pattern: string, text: string): boolean {
    return accepts(this.#match(pattern), text);
  }

  patternTexts(pattern: string): Automaton {
    return this.#match(pattern);
  }

  /** Schemas that the item at an index must fulfil. */
  item({ parts }: ArrayAlternative, index: number): Conjunction {
    return this.schemas.all(
      parts.flatMap(
        (part) => this.schemas.child(part, "prefixItems", index) ?? this.schemas.child(part, "items") ?? [],
      ),
    );
  }

  /** How many items at the front have schemas of their own. */
  prefix({ parts }: ArrayAlternative): number {
    return Math.max(0, ...parts.map((part) => this.schemas.children(part, "prefixItems").length));
  }

  /** Schemas that the value of a property must fulfil. */
  property({ parts }: ObjectAlternative, name: string): Conjunction {
    return this.schemas.all(
      parts.flatMap((part) => {
        const declared = this.schemas.child(part, "properties", name);
        const found = this.patterns(part).filter(({ pattern }) => this.isFound(pattern, name));
        const ids = found.map(({ id }) => id);
        if (declared !== undefined) ids.push(declared);
        if (ids.length > 0) return ids;
        return this.schemas.child(part, "additionalProperties") ?? [];
      }),
    );
  }

  patterns(part: SchemaId): { readonly pattern: string; readonly id: SchemaId }[] {
    const { patternProperties } = this.schemas.get(part) as { patternProperties?: SchemaObject };
    return Object.keys(patternProperties ?? {}).map((pattern) => ({
      pattern,
      id: this.schemas.child(part, "patternProperties", pattern)!,
    }));
  }

  /** Whether a value is valid: `undefined` if that can't be told, since a format is only known in part. */
  fits(value: unknown, alternative: Alternative): boolean | undefined {
    if (alternative.kind === "value") return canonical(value) === canonical(alternative.value);
    if (kindOf(value) !== alternative.kind) return false;
    switch (alternative.kind) {
      case "number":
        return fitsNumber(value as number, alternative);
      case "string":
        return this.#fitsString(value as string, alternative);
      case "array":
        return this.#fitsArray(value as unknown[], alternative);
      case "object":
        return this.#fitsObject(value as SchemaObject, alternative);
      default:
        return true;
    }
  }

  #fitsString(
    text: string,
    { patterns, formats, excluded, min, max }: StringAlternative,
  ): boolean | undefined {
    const length = [...text].length;
    if (length < min || length > max || excluded.includes(text)) return false;
    if (!patterns.every((pattern) => this.isFound(pattern, text))) return false;
    return formats.every((format) => accepts(this.formatTexts(format), text)) ? true : undefined;
  }

  #fitsArray(items: unknown[], array: ArrayAlternative): boolean | undefined {
    if (items.length < array.min || items.length > array.max) return false;
    if (array.unique && new Set(items.map(canonical)).size < items.length) return false;
    return every(items.map((item, index) => this.fitsAny(item, this.item(array, index))));
  }

  #fitsObject(value: SchemaObject, object: ObjectAlternative): boolean | undefined {
    const names = Object.keys(value);
    if (names.length < object.min || names.length > object.max) return false;
    if (!object.required.every((name) => Object.hasOwn(value, name))) return false;
    return every([
      ...names.map((name) => this.fitsAny(value[name], this.property(object, name))),
      ...names.map((name) => this.nameFits(object, name)),
    ]);
  }

  /** Whether the property may have this name, as propertyNames says. */
  nameFits({ parts }: ObjectAlternative, name: string): boolean | undefined {
    const ids = parts.flatMap((part) => this.schemas.child(part, "propertyNames") ?? []);
    return this.fitsAny(name, this.schemas.all(ids));
  }

  fitsAny(value: unknown, conjunction: Conjunction): boolean | undefined {
    return every(conjunction.map((id) => this.#valid(value, id)));
  }

  // Goes by the schemas themselves, not by their alternatives: those may be what is being found out.
  #valid(value: unknown, id: SchemaId): boolean | undefined {
    let results = this.#results.get(id);
    if (!results) {
      results = new Map();
      this.#results.set(id, results);
    }
    if (results.has(value)) {
      const known = results.get(value);
      return known === "open" ? this.#refersToItself(id) : known;
    }
    if (this.#depth >= MAX_CHAIN) throw tooLarge("a chain of references", MAX_CHAIN);
    this.#depth++;
    results.set(value, "open");
    const schema = this.schemas.get(id);
    const result = typeof schema === "boolean" ? schema : this.#validByKeywords(value, id, schema);
    results.set(value, result);
    this.#depth--;
    return result;
  }

  #validByKeywords(value: unknown, id: SchemaId, schema: SchemaObject): boolean | undefined {
    const { schemas } = this;
    const all = (ids: readonly SchemaId[]): (boolean | undefined)[] =>
      ids.map((part) => this.#valid(value, part));
    const results = [some(this.#byKeywords(id, schema).map((alternative) => this.fits(value, alternative)))];
    const values = listed(schema);
    if (values) results.push(values.some((other) => canonical(other) === canonical(value)));
    if (typeof schema["$ref"] === "string") results.push(...all([schemas.resolve(id, schema["$ref"])]));
    results.push(...all(schemas.children(id, "allOf")));
    if (schema["anyOf"]) results.push(some(all(schemas.children(id, "anyOf"))));
    if (schema["oneOf"]) {
      const branches = all(schemas.children(id, "oneOf"));
      const valid = branches.filter((result) => result === true).length;
      results.push(valid > 1 ? false : branches.includes(undefined) ? undefined : valid === 1);
    }
    const not = schemas.child(id, "not");
    if (not !== undefined) {
      const result = this.#valid(value, not);
      results.push(result === undefined ? undefined : !result);
    }
    return every(results);
  }
}

function some(results: readonly (boolean | undefined)[]): boolean | undefined {
  return results.includes(true) ? true : results.includes(undefined) ? undefined : false;
}

/** The values that const or enum lists. */
function listed(schema: SchemaObject): readonly unknown[] | undefined {
  return Object.hasOwn(schema, "const") ? [schema["const"]] : (schema["enum"] as unknown[] | undefined);
}

function every(results: readonly (boolean | undefined)[]): boolean | undefined {
  return results.includes(false) ? false : results.includes(undefined) ? undefined : true;
}

function fitsNumber(value: number, { integer, min, max, multiples }: NumberAlternative): boolean {
  if (integer && !Number.isInteger(value)) return false;
  if (min && (min.exclusive ? value <= min.value : value < min.value)) return false;
  if (max && (max.exclusive ? value >= max.value : value > max.value)) return false;
  return multiples.every((divisor) => value % divisor === 0);
}

/** The automaton of a few texts. */
function literals(texts: readonly string[]): Automaton {
  const items = texts.map((text) => ({
    type: "all" as const,
    items: [...text].map((char) => {
      const code = char.codePointAt(0)!;
      return { type: "set" as const, set: [[code, code]] as const };
    }),
  }));
  return fromRegex({ type: "any", items });
}

function kindOf(value: unknown): Exclude<Alternative["kind"], "value"> {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return typeof value as "boolean" | "number" | "string" | "object";
}

const ARRAY_KEYWORDS: readonly string[] = ["items", "prefixItems"];
const OBJECT_KEYWORDS: readonly string[] = [
  ...["properties", "patternProperties", "additionalProperties", "propertyNames"],
];

function ofKeywords(id: SchemaId, schema: SchemaObject, pointer: string): readonly Alternative[] {
  const types = schema["type"] === undefined ? undefined : [schema["type"]].flat();
  const isNumber = !types || types.includes("number");
  const out: Alternative[] = [];
  if (!types || types.includes("null")) out.push({ kind: "null" });
  if (!types || types.includes("boolean")) out.push({ kind: "boolean" });
  if (isNumber || types?.includes("integer")) {
    out.push({ ...ANY_NUMBER, integer: !isNumber, ...numberLimits(schema, pointer) });
  }
  if (!types || types.includes("string")) out.push(stringLimits(schema, pointer));
  const parts = (keywords: readonly string[]): SchemaId[] =>
    keywords.some((keyword) => Object.hasOwn(schema, keyword)) ? [id] : [];
  if (!types || types.includes("array")) {
    out.push({
      ...ANY_ARRAY,
      parts: parts(ARRAY_KEYWORDS),
      unique: schema["uniqueItems"] === true,
      ...counts(schema, "Items"),
    });
  }
  if (!types || types.includes("object")) {
    const required = [...new Set((schema["required"] as string[] | undefined) ?? [])];
    out.push({ ...ANY_OBJECT, parts: parts(OBJECT_KEYWORDS), required, ...counts(schema, "Properties") });
  }
  return out;
}

function counts(schema: SchemaObject, of: string): { min: number; max: number } {
  return {
    min: (schema[`min${of}`] as number | undefined) ?? 0,
    max: (schema[`max${of}`] as number | undefined) ?? Number.POSITIVE_INFINITY,
  };
}

function numberLimits(schema: SchemaObject, pointer: string): Partial<NumberAlternative> {
  const bound = (keyword: string, exclusive: boolean): Bound[] => {
    const value = schema[keyword] as number | undefined;
    return value === undefined ? [] : [{ value, exclusive }];
  };
  const limits = [
    ...[...bound("minimum", false), ...bound("exclusiveMinimum", true)].map((min) => ({
      ...ANY_NUMBER,
      min,
    })),
    ...[...bound("maximum", false), ...bound("exclusiveMaximum", true)].map((max) => ({
      ...ANY_NUMBER,
      max,
    })),
  ];
  const { min, max } = limits.reduce((a, b) => meet(a, b) as NumberAlternative, ANY_NUMBER);
  const divisor = schema["multipleOf"] as number | undefined;
  if (divisor === undefined) return { min, max };
  if (decimalDivisor(divisor) === undefined) {
    refuse(
      pointer,
      "multipleOf",
      "this divisor isn't supported",
      `Supported: integers up to ${MAX_DIVISOR}, and halves, quarters and the like. For cents, use an integer.`,
    );
  }
  return { min, max, multiples: [divisor] };
}

function stringLimits(schema: SchemaObject, pointer: string): StringAlternative {
  const { pattern, format } = schema as { pattern?: string; format?: string };
  if (pattern !== undefined) {
    try {
      parseRegex(pattern);
    } catch (cause) {
      throw new GrammarError((cause as GrammarError).message, {
        where: at(pointer, "pattern"),
        keyword: "pattern",
        cause,
      });
    }
  }
  if (format !== undefined && !Object.hasOwn(FORMATS, format)) {
    refuse(
      pointer,
      "format",
      "this format isn't supported",
      `Supported: ${Object.keys(FORMATS).join(", ")}.`,
    );
  }
  return {
    ...ANY_STRING,
    patterns: pattern === undefined ? [] : [pattern],
    formats: format === undefined ? [] : [format],
    ...counts(schema, "Length"),
  };
}
