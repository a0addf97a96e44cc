import { ConfigError } from "../errors.ts";
import type { GgufValue } from "./gguf.ts";

/** Reads typed fields of one record, of JSON or of GGUF metadata, and says which one is at fault. */
export class Fields {
  readonly #values: ReadonlyMap<string, unknown>;
  /** Keys whose type in the file is a float: they may not stand for sizes. GGUF tells them apart, JSON doesn't. */
  readonly #floats: ReadonlySet<string>;
  readonly #where: string;
  /** Path of this record within the file, with a dot at its end, or "". */
  readonly #prefix: string;
  readonly #read: Set<string> = new Set();

  private constructor(
    values: ReadonlyMap<string, unknown>,
    floats: ReadonlySet<string>,
    where: string,
    prefix = "",
  ) {
    this.#values = values;
    this.#floats = floats;
    this.#where = where;
    this.#prefix = prefix;
  }

  /** @param nullable keys for which null means the same as their absence */
  static fromJson(json: unknown, where: string, nullable: readonly string[] = [], prefix = ""): Fields {
    if (typeof json !== "object" || json === null || Array.isArray(json)) {
      throw new ConfigError("not a record of settings", {
        where: prefix === "" ? where : `${where}, ${prefix.slice(0, -1)}`,
        expected: "an object",
        found: show(json),
      });
    }
    const values = Object.entries(json).filter(([key, value]) => value !== null || !nullable.includes(key));
    return new Fields(new Map(values), new Set(), where, prefix);
  }

  static fromGguf(metadata: ReadonlyMap<string, GgufValue>, where: string): Fields {
    const values = new Map<string, unknown>();
    const floats = new Set<string>();
    for (const [key, item] of metadata) {
      if (item.type === "f32" || item.type === "f64") floats.add(key);
      if (item.type === "array") values.set(key, item);
      else values.set(key, item.type === "f32" ? shortestDecimal(item.value) : item.value);
    }
    return new Fields(values, floats, where);
  }

  has(key: string): boolean {
    return this.#values.has(key);
  }

  /** A positive integer of at most `max`. Without a fallback the key must be there, as for all the readers below. */
  size(key: string, max: number, fallback?: number): number {
    const value = this.#get(key, fallback);
    const isSize = Number.isSafeInteger(value) && !this.#floats.has(key);
    if (!isSize || (value as number) < 1 || (value as number) > max) {
      this.fail(key, `${key} is not a possible size`, `an integer from 1 to ${max}`, value);
    }
    return value as number;
  }

  /** A finite number. */
  number(key: string, fallback?: number): number {
    const value = this.#get(key, fallback);
    if (typeof value !== "number" || !Number.isFinite(value)) {
      this.fail(key, `${key} is not a number`, "a finite number", value);
    }
    return value as number;
  }

  boolean(key: string, fallback?: boolean): boolean {
    const value = this.#get(key, fallback);
    if (typeof value !== "boolean") this.fail(key, `${key} is not a boolean`, "true or false", value);
    return value as boolean;
  }

  choice<T extends string>(key: string, choices: readonly T[], fallback: T): T {
    const value = this.#get(key, fallback);
    const choice = choices.find((each) => each === value);
    return choice ?? this.fail(key, `unknown ${key}`, choices.map((each) => `"${each}"`).join(" or "), value);
  }

  /** Number of elements of a GGUF array. */
  count(key: string, max: number): number {
    const array = this.#get(key) as Partial<GgufValue> | undefined;
    if (array?.type !== "array") return this.fail(key, `${key} is not an array`, "an array", array);
    const { count } = array as { count: number };
    if (count < 1 || count > max) this.fail(key, `${key} has an impossible length`, `1 to ${max}`, count);
    return count;
  }

  list(key: string): readonly unknown[] | undefined {
    if (!this.has(key)) return undefined;
    const value = this.#get(key);
    return Array.isArray(value) ? value : this.fail(key, `${key} is not a list`, "a list", value);
  }

  child(key: string, nullable: readonly string[] = []): Fields | undefined {
    if (!this.has(key)) return undefined;
    return Fields.fromJson(this.#get(key), this.#where, nullable, `${this.#prefix}${key}.`);
  }

  /** Value of the first key that is there; the others must not contradict it. */
  agreeing(keys: readonly string[], read: (key: string) => number, fallback?: number): number {
    const [first, ...others] = keys.filter((key) => this.has(key));
    if (first === undefined) return fallback ?? read(keys[0]!);
    const value = read(first);
    for (const other of others) {
      const found = read(other);
      if (found !== value) this.fail(other, `${first} and ${other} contradict each other`, value, found);
    }
    return value;
  }

  /** Refuses any other value than the one that every gpt-oss model has; the key may be absent. */
  expect(key: string, expected: string | number | boolean): void {
    if (!this.has(key)) return;
    const value = this.#get(key);
    if (value !== expected) this.fail(key, `unsupported ${key}`, show(expected), value);
  }

  /** Refuses keys that nobody asked for. */
  refuseUnread(): void {
    const unread = [...this.#values.keys()].filter((key) => !this.#read.has(key));
    if (unread.length > 0) this.fail(unread[0]!, "unknown keys", undefined, unread.join(", "));
  }

  fail(key: string, what: string, expected?: string | number, found?: unknown): never {
    throw new ConfigError(what, {
      where: `${this.#where}, ${this.#prefix}${key}`,
      ...(expected === undefined ? {} : { expected }),
      ...(found === undefined ? {} : { found: typeof found === "string" ? found : show(found) }),
    });
  }

  #get(key: string, fallback?: unknown): unknown {
    this.#read.add(key);
    const value = this.has(key) ? this.#values.get(key) : fallback;
    if (value === undefined) {
      throw new ConfigError(`${this.#prefix}${key} is missing`, {
        where: this.#where,
        hint: "Without it a runtime would have to guess: take the file that belongs to the weights.",
      });
    }
    return value;
  }
}

/** GGUF holds 1e-5 as a float32; the other formats mean the decimal, and so do we, or else their bits would differ. */
function shortestDecimal(float32: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const decimal = Number(float32.toPrecision(digits));
    if (Math.fround(decimal) === float32) return decimal;
  }
  return float32;
}

function show(value: unknown): string {
  if (typeof value === "object" && value !== null) return Array.isArray(value) ? "a list" : "a record";
  return typeof value === "string" ? `"${value}"` : String(value);
}
