import { CheckpointError } from "../errors.ts";

/** Limit on keys: names end up in messages, and the longest of a model's tensors has some 60 characters. */
export const MAX_NAME = 1024;

/**
 * Pulls JSON (RFC 8259) token by token out of hostile bytes. The caller says what must come next, so nothing is built
 * that it doesn't want, depth is what its code has, and a key that comes twice is noticed, which `JSON.parse` hides.
 */
export class JsonReader {
  readonly #bytes: Uint8Array;
  readonly #where: string;
  /** Added to positions in messages: where in the file these bytes start. */
  readonly #origin: number;
  #at = 0;

  constructor(bytes: Uint8Array, where: string, origin = 0) {
    this.#bytes = bytes;
    this.#where = where;
    this.#origin = origin;
  }

  /** Reads an object; `member` must read the value of the key that it is called with. */
  object(member: (key: string) => void): void {
    this.#expect(OPEN_BRACE, "an object");
    const seen = new Set<string>();
    if (this.#skip(CLOSE_BRACE)) return;
    do {
      const key = this.string(MAX_NAME);
      if (seen.has(key)) this.fail("a key comes twice", undefined, `"${key}"`);
      seen.add(key);
      this.#expect(COLON, '":"');
      member(key);
    } while (this.#skip(COMMA));
    this.#expect(CLOSE_BRACE, '"," or "}"');
  }

  /** Reads an array of at most `max` elements; `element` must read one. */
  array(max: number, element: () => void): void {
    this.#expect(OPEN_BRACKET, "an array");
    if (this.#skip(CLOSE_BRACKET)) return;
    let count = 0;
    do {
      if (++count > max) this.fail("an array is too long", `at most ${max} elements`);
      element();
    } while (this.#skip(COMMA));
    this.#expect(CLOSE_BRACKET, '"," or "]"');
  }

  /** Reads an integer from 0 to 2^53 − 1, written without fraction and exponent. */
  size(): number {
    this.#space();
    const start = this.#at;
    let value = 0;
    for (let digit = this.#digit(); digit >= 0; digit = this.#digit()) {
      value = value * 10 + digit;
      this.#at++;
      if (value > Number.MAX_SAFE_INTEGER)
        this.fail("a number is too large", `at most ${Number.MAX_SAFE_INTEGER}`);
    }
    const length = this.#at - start;
    const next = this.#bytes[this.#at];
    const leadingZero = length > 1 && this.#bytes[start] === ZERO;
    if (length === 0 || leadingZero || next === 0x2e || next === 0x65 || next === 0x45) {
      this.#at = start;
      this.fail("not a size", "an integer of 0 or more", this.#peek());
    }
    return value;
  }

  string(maxBytes: number = Number.POSITIVE_INFINITY): string {
    this.#expect(QUOTE, "a string");
    const start = this.#at;
    let escaped = false;
    for (;;) {
      const byte = this.#bytes[this.#at];
      if (byte === undefined) this.fail("a string doesn't end");
      if (byte === QUOTE) break;
      if (byte < 0x20) this.fail("a control character in a string");
      escaped ||= byte === BACKSLASH;
      this.#at += byte === BACKSLASH ? 2 : 1;
      if (this.#at - start > maxBytes) this.fail("a name is too long", `at most ${maxBytes} bytes`);
    }
    const end = this.#at++;
    const text = this.#decode(this.#bytes.subarray(start, end));
    return escaped ? this.#unescape(text) : text;
  }

  /** Reads any value and drops it, up to `depth` levels of nesting. */
  skipValue(depth = 16): void {
    if (depth === 0) this.fail("nested too deeply");
    this.#space();
    const byte = this.#bytes[this.#at];
    if (byte === OPEN_BRACE) this.object(() => this.skipValue(depth - 1));
    else if (byte === OPEN_BRACKET) this.array(Number.POSITIVE_INFINITY, () => this.skipValue(depth - 1));
    else if (byte === QUOTE) this.string();
    else this.#skipScalar();
  }

  /** Fails unless only white space is left. */
  end(): void {
    this.#space();
    if (this.#at < this.#bytes.length)
      this.fail("something follows the end of the JSON", undefined, this.#peek());
  }

  fail(what: string, expected?: string, found?: string): never {
    throw new CheckpointError(what, {
      where: `${this.#where}, byte ${this.#origin + Math.min(this.#at, this.#bytes.length)}`,
      ...(expected === undefined ? {} : { expected }),
      ...(found === undefined ? {} : { found }),
    });
  }

  #decode(bytes: Uint8Array): string {
    try {
      return UTF8.decode(bytes);
    } catch (cause) {
      throw new CheckpointError("a string is not valid UTF-8", {
        where: `${this.#where}, byte ${this.#origin + this.#at}`,
        cause,
      });
    }
  }

  /** Replaces escapes, whose grammar and pairs of surrogates must be right. */
  #unescape(text: string): string {
    const plain = text.replace(/\\(?:u([0-9a-fA-F]{4})|(.?))/gs, (_, hex?: string, letter?: string) => {
      if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16));
      const found = ESCAPES.get(letter ?? "");
      return found ?? this.fail("an escape in a string is wrong", undefined, `\\${letter}`);
    });
    return /\p{Surrogate}/u.test(plain) ? this.fail("half a surrogate pair in a string") : plain;
  }

  #skipScalar(): void {
    const start = this.#at;
    while (/[-+.\w]/.test(String.fromCharCode(this.#bytes[this.#at] ?? 0x20)) && this.#at - start < 64)
      this.#at++;
    const text = String.fromCharCode(...this.#bytes.subarray(start, this.#at));
    if (/^(true|false|null|-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?)$/.test(text)) return;
    this.#at = start;
    this.fail("not a JSON value", undefined, this.#peek());
  }

  #expect(byte: number, what: string): void {
    if (!this.#skip(byte)) this.fail("not the JSON that belongs here", what, this.#peek());
  }

  #skip(byte: number): boolean {
    this.#space();
    if (this.#bytes[this.#at] !== byte) return false;
    this.#at++;
    return true;
  }

  #space(): void {
    for (;;) {
      const byte = this.#bytes[this.#at];
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return;
      this.#at++;
    }
  }

  #digit(): number {
    const byte = this.#bytes[this.#at] ?? 0;
    return byte >= ZERO && byte <= ZERO + 9 ? byte - ZERO : -1;
  }

  /** What comes next, for a message. */
  #peek(): string {
    if (this.#at >= this.#bytes.length) return "the end";
    return `"${new TextDecoder().decode(this.#bytes.subarray(this.#at, this.#at + 12))}"`;
  }
}

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['"', '"'],
  ["\\", "\\"],
  ["/", "/"],
  ["b", "\b"],
  ["f", "\f"],
  ["n", "\n"],
  ["r", "\r"],
  ["t", "\t"],
]);

const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const COLON = 0x3a;
const COMMA = 0x2c;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const ZERO = 0x30;
