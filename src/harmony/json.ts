import { HarmonyError } from "./errors.ts";

/**
 * JSON as written: members in their order, also those with keys like "7" (which JavaScript's objects put first), and
 * 1.0 apart from 1.
 */
export type Json = null | boolean | string | JsonNumber | readonly Json[] | ReadonlyMap<string, Json>;

/** A number by its text, in the notation of Rust's serde_json, in which the model has seen numbers. */
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
    return typeof scalar === "number" ? { number: numberText(token, scalar, what) } : scalar;
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

// Integers of 64 bits stay as they are, all else is a double: with a point from 1e-5 up to 1e16, or else an exponent.
function numberText(text: string, value: number, what: string): string {
  if (!Number.isFinite(value)) throw new HarmonyError(`${what} has a number out of range`, { found: text });
  if (/^-?\d+$/.test(text) && text !== "-0" && text.length <= 20) {
    const integer = BigInt(text);
    if (integer >= -(2n ** 63n) && integer < 2n ** 64n) return text;
  }
  if (Object.is(value, -0)) return "-0.0";
  const [digits, exponent] = value.toExponential().split("e") as [string, string];
  const power = Number(exponent);
  if (power < -5 || power > 15) return `${digits}e${power}`;
  return Number.isInteger(value) ? `${value}.0` : String(value);
}
