import type { Bound } from "./numbers.ts";
import type { SchemaId } from "./schemas.ts";

/**
 * What a schema allows, taken apart: a value is valid if it fits one of the alternatives, each of which speaks of one type.
 */
export type Alternative =
  | { readonly kind: "null" }
  | { readonly kind: "boolean" }
  /** This value alone. */
  | { readonly kind: "value"; readonly value: unknown }
  | NumberAlternative
  | StringAlternative
  | ArrayAlternative
  | ObjectAlternative;

export interface NumberAlternative {
  readonly kind: "number";
  readonly integer: boolean;
  readonly min: Bound | undefined;
  readonly max: Bound | undefined;
  readonly multiples: readonly number[];
}

export interface StringAlternative {
  readonly kind: "string";
  /** Regular expressions that must each be found in the text. */
  readonly patterns: readonly string[];
  readonly formats: readonly string[];
  /** Texts that it must not be. */
  readonly excluded: readonly string[];
  readonly min: number;
  readonly max: number;
}

export interface ArrayAlternative {
  readonly kind: "array";
  /** The schemas that speak of its items. */
  readonly parts: readonly SchemaId[];
  readonly min: number;
  readonly max: number;
  readonly unique: boolean;
}

export interface ObjectAlternative {
  readonly kind: "object";
  /** The schemas that speak of its properties. */
  readonly parts: readonly SchemaId[];
  readonly required: readonly string[];
  readonly min: number;
  readonly max: number;
}

export const ANY_NUMBER: NumberAlternative = {
  kind: "number",
  integer: false,
  min: undefined,
  max: undefined,
  multiples: [],
};
export const ANY_STRING: StringAlternative = {
  kind: "string",
  patterns: [],
  formats: [],
  excluded: [],
  min: 0,
  max: Number.POSITIVE_INFINITY,
};
export const ANY_ARRAY: ArrayAlternative = {
  kind: "array",
  parts: [],
  min: 0,
  max: Number.POSITIVE_INFINITY,
  unique: false,
};
export const ANY_OBJECT: ObjectAlternative = {
  kind: "object",
  parts: [],
  required: [],
  min: 0,
  max: Number.POSITIVE_INFINITY,
};
export const ANYTHING: readonly Alternative[] = [
  { kind: "null" },
  { kind: "boolean" },
  ANY_NUMBER,
  ANY_STRING,
  ANY_ARRAY,
  ANY_OBJECT,
];

/** What both allow, neither being a single value; undefined if they speak of different types. */
export function meet(a: Alternative, b: Alternative): Alternative | undefined {
  if (a.kind === "number" && b.kind === "number") {
    return {
      kind: "number",
      integer: a.integer || b.integer,
      min: stricter(a.min, b.min, (x, y) => x > y),
      max: stricter(a.max, b.max, (x, y) => x < y),
      multiples: union(a.multiples, b.multiples),
    };
  }
  if (a.kind === "string" && b.kind === "string") {
    return {
      kind: "string",
      patterns: union(a.patterns, b.patterns),
      formats: union(a.formats, b.formats),
      excluded: union(a.excluded, b.excluded),
      ...span(a, b),
    };
  }
  if (a.kind === "array" && b.kind === "array") {
    return { kind: "array", parts: union(a.parts, b.parts), unique: a.unique || b.unique, ...span(a, b) };
  }
  if (a.kind === "object" && b.kind === "object") {
    return {
      kind: "object",
      parts: union(a.parts, b.parts),
      required: union(a.required, b.required),
      ...span(a, b),
    };
  }
  return a.kind === b.kind ? a : undefined;
}

interface Span {
  readonly min: number;
  readonly max: number;
}

function span(a: Span, b: Span): Span {
  return { min: Math.max(a.min, b.min), max: Math.min(a.max, b.max) };
}

function union<T>(a: readonly T[], b: readonly T[]): T[] {
  return [...new Set([...a, ...b])];
}

function stricter(
  a: Bound | undefined,
  b: Bound | undefined,
  isStricter: (a: number, b: number) => boolean,
): Bound | undefined {
  if (!a || !b) return a ?? b;
  if (a.value === b.value) return a.exclusive ? a : b;
  return isStricter(a.value, b.value) ? a : b;
}

/** Equal alternatives have equal keys. */
export function keyOf(alternative: Alternative): string {
  if (alternative.kind === "value") return `=${canonical(alternative.value)}`;
  return JSON.stringify(alternative, (_, value: unknown) =>
    value === Number.POSITIVE_INFINITY ? "∞" : value,
  );
}

/** JSON of a value, the same for all values that JSON Schema holds equal. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) => {
    if (typeof part !== "object" || part === null || Array.isArray(part)) return part === 0 ? 0 : part;
    const entries = Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1));
    const sorted = Object.create(null) as Record<string, unknown>;
    for (const [name, item] of entries)
      Object.defineProperty(sorted, name, { value: item, enumerable: true });
    return sorted;
  });
}
