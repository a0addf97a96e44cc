import { HarmonyError } from "./errors.ts";
import { numberText } from "./number-text.ts";

/**
 * JSON as written: members in their order, also those with keys like "7" (which JavaScript's objects put first), and
 * 1.0 apart from 1.
 */
export type Json = null | boolean | string | JsonNumber | readonly Json[] | ReadonlyMap<string, Json>;

/** A number by its text, in the notation that the model has seen; see numberText. */
export interface JsonNumber {
  readonly number: string;
}

/** Characters; the largest tools around have some 100,000. */
const MAX_LENGTH = 2 ** 20;
/** Levels of arrays and objects, as many as serde_json takes. */
const MAX_DEPTH = 128;

/**
 * Reads JSON text, or plain data as JSON.stringify writes it. Of two members with the same key the last counts.
 *
 * @param what what the text is, for messages
 * @throws HarmonyError if it isn't JSON, too long, nested too deeply, a cycle, or a number is beyond double precision
 */
export function readJson(source: unknown, what: string): Json {
  const text = typeof source === "string" ? source : stringify(source, what);
  if (text.length > MAX_LENGTH) throw tooLong(what);
  try {
    JSON.parse(text);
  } catch (cause) {
    throw new HarmonyError(`${what} is not valid JSON`, { cause });
  }

  // It's valid: so commas and colons say nothing more, and anything that is no bracket and no string is a scalar.
  const tokens = text.matchAll(/[[\]{}]|"[^"\\]*(?:\\.[^"\\]*)*"|[^[\]{}",:\s]+/g);
  const next = (): string => tokens.next().value?.[0] ?? "";
  const value = (token: string, depth: number): Json => {
    if (depth > MAX_DEPTH)
      throw new HarmonyError(`${what} is nested too deeply`, { expected: `at most ${MAX_DEPTH} levels` });
    if (token === "[") {
      const elements: Json[] = [];
      for (let each = next(); each !== "]"; each = next()) elements.push(value(each, depth + 1));
      return elements;
    }
    if (token === "{") {
      const members = new Map<string, Json>();
      for (let key = next(); key !== "}"; key = next())
        members.set(JSON.parse(key) as string, value(next(), depth + 1));
      return members;
    }
    const scalar = JSON.parse(token) as null | boolean | string | number;
    if (typeof scalar !== "number") return scalar;
    const number = numberText(token);
    if (number === undefined) throw new HarmonyError(`${what} has a number out of range`, { found: token });
    return { number };
  };
  return value(next(), 0);
}

/** JSON text without white space, as serde_json writes it. */
export function jsonText(value: Json): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  if (isArray(value)) return `[${value.map(jsonText).join(",")}]`;
  if (!isObject(value)) return value.number;
  return `{${Array.from(value, ([key, member]) => `${JSON.stringify(key)}:${jsonText(member)}`).join(",")}}`;
}

export function isArray(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value);
}

export function isObject(value: Json | undefined): value is ReadonlyMap<string, Json> {
  return value instanceof Map;
}

function stringify(data: unknown, what: string): string {
  let left = MAX_LENGTH; // counted ahead, since shared parts can make text beyond any bounds from little data
  let text: string | undefined;
  try {
    text = JSON.stringify(data, (key, member: unknown) => {
      left -= key.length + (typeof member === "string" ? member.length : 1);
      if (left < 0) throw tooLong(what);
      return member;
    });
  } catch (cause) {
    if (cause instanceof HarmonyError) throw cause;
    throw new HarmonyError(`${what} can't be written as JSON`, { cause });
  }
  return text ?? "null";
}

function tooLong(what: string): HarmonyError {
  return new HarmonyError(`${what} is too long`, { expected: `at most ${MAX_LENGTH} characters of JSON` });
}
