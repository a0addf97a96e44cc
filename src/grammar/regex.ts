import { ANY, type CharSet, charSet, complement, MAX_CODE_POINT } from "./charset.ts";
import { GrammarError } from "./errors.ts";

/** A regular expression as a tree. */
export type Regex =
  | { readonly type: "set"; readonly set: CharSet }
  /** In sequence; none is the empty text. */
  | { readonly type: "all"; readonly items: readonly Regex[] }
  | { readonly type: "any"; readonly items: readonly Regex[] }
  | { readonly type: "repeat"; readonly item: Regex; readonly min: number; readonly max: number }
  /** `^` and `$`. */
  | { readonly type: "start" | "end" };

const MAX_LENGTH = 20_000;
const MAX_DEPTH = 200;

const DIGIT: CharSet = [[0x30, 0x39]];
const WORD: CharSet = charSet([...DIGIT, [0x41, 0x5a], [0x5f, 0x5f], [0x61, 0x7a]]);
/** WhiteSpace and LineTerminator of ECMA-262. */
const SPACE: CharSet = charSet(
  [0x20, 0xa0, 0x1680, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000, 0xfeff]
    .map((code): [number, number] => [code, code])
    .concat([
      [0x09, 0x0d],
      [0x2000, 0x200a],
    ]),
);
const LINE_END: CharSet = charSet([
  [0x0a, 0x0a],
  [0x0d, 0x0d],
  [0x2028, 0x2029],
]);
const CLASSES: Readonly<Record<string, CharSet>> = {
  d: DIGIT,
  D: complement(DIGIT),
  w: WORD,
  W: complement(WORD),
  s: SPACE,
  S: complement(SPACE),
};
const CONTROLS: Readonly<Record<string, number>> = { t: 9, n: 10, v: 11, f: 12, r: 13 };

/**
 * Parses a regular expression of ECMA-262 with the flag `u`, less what isn't regular or looks around: backreferences,
 * lookahead, lookbehind, `\b`, and flags within the expression.
 *
 * @throws GrammarError
 */
export function parseRegex(source: string): Regex {
  if (source.length > MAX_LENGTH) {
    throw new GrammarError("regular expression too long", { expected: MAX_LENGTH, found: source.length });
  }
  try {
    new RegExp(source, "u");
  } catch (cause) {
    throw new GrammarError("not a regular expression", { where: source, found: String(cause), cause });
  }
  return new Parser(source).parse();
}

// What comes here has passed the engine's own parser, so only the unsupported is left to refuse.
class Parser {
  readonly #source: string;
  readonly #chars: readonly string[];
  #at = 0;
  #depth = 0;

  constructor(source: string) {
    this.#source = source;
    this.#chars = [...source];
  }

  parse(): Regex {
    return this.#alternatives();
  }

  #alternatives(): Regex {
    if (++this.#depth > MAX_DEPTH) this.#refuse(`groups nested deeper than ${MAX_DEPTH}`);
    const items = [this.#sequence()];
    while (this.#take("|")) items.push(this.#sequence());
    this.#depth--;
    return items.length === 1 ? items[0]! : { type: "any", items };
  }

  #sequence(): Regex {
    const items: Regex[] = [];
    for (let next = this.#peek(); next !== undefined && next !== "|" && next !== ")"; next = this.#peek()) {
      items.push(this.#quantified());
    }
    return items.length === 1 ? items[0]! : { type: "all", items };
  }

  #quantified(): Regex {
    const item = this.#atom();
    let bounds: [number, number] | undefined;
    if (this.#take("*")) bounds = [0, Number.POSITIVE_INFINITY];
    else if (this.#take("+")) bounds = [1, Number.POSITIVE_INFINITY];
    else if (this.#take("?")) bounds = [0, 1];
    else if (this.#take("{")) {
      const [min = "", max] = this.#until("}").split(",");
      bounds = [Number(min), max === undefined ? Number(min) : max === "" ? Infinity : Number(max)];
    }
    if (!bounds) return item;
    this.#take("?"); // a lazy quantifier matches the same texts
    return { type: "repeat", item, min: bounds[0], max: bounds[1] };
  }

  #atom(): Regex {
    const char = this.#next();
    if (char === "(") return this.#group();
    if (char === "[") return { type: "set", set: this.#class() };
    if (char === ".") return { type: "set", set: complement(LINE_END) };
    if (char === "^") return { type: "start" };
    if (char === "$") return { type: "end" };
    if (char === "\\") return { type: "set", set: this.#escape(false) };
    return literal(char.codePointAt(0)!);
  }

  #group(): Regex {
    if (this.#take("?")) {
      const kind = this.#next();
      const named = kind === "<" && this.#peek() !== "=" && this.#peek() !== "!";
      if (named) this.#until(">");
      else if (kind === "=" || kind === "!" || kind === "<") this.#refuse("lookahead and lookbehind");
      else if (kind !== ":") this.#refuse("flags within the expression");
    }
    const inner = this.#alternatives();
    this.#next(); // )
    return inner;
  }

  #class(): CharSet {
    const negated = this.#take("^");
    const ranges: (readonly [number, number])[] = [];
    while (!this.#take("]")) {
      const first = this.#classAtom();
      const isRange = this.#peek() === "-" && this.#chars[this.#at + 1] !== "]";
      if (!isRange) {
        ranges.push(...first);
        continue;
      }
      this.#next();
      ranges.push([first[0]![0], this.#classAtom()[0]![1]]);
    }
    const set = charSet(ranges);
    return negated ? complement(set) : set;
  }

  #classAtom(): CharSet {
    const char = this.#next();
    if (char === "\\") return this.#escape(true);
    return [[char.codePointAt(0)!, char.codePointAt(0)!]];
  }

  #escape(inClass: boolean): CharSet {
    const char = this.#next();
    const set = CLASSES[char];
    if (set) return set;
    let code = CONTROLS[char];
    if (char === "b" && inClass) code = 8;
    else if (char === "b" || char === "B") this.#refuse("word boundaries (\\b, \\B)");
    else if (char === "k" || /[1-9]/.test(char)) this.#refuse("backreferences");
    else if (char === "p" || char === "P") {
      this.#next(); // {
      return property(`\\${char}{${this.#until("}")}}`);
    } else if (char === "0") code = 0;
    else if (char === "c") code = this.#next().charCodeAt(0) % 32;
    else if (char === "x") code = this.#hex(2);
    else if (char === "u") code = this.#unicode();
    code ??= char.codePointAt(0)!;
    return [[code, code]];
  }

  #unicode(): number {
    if (this.#take("{")) return Number.parseInt(this.#until("}"), 16);
    const code = this.#hex(4);
    const isHigh = code >= 0xd800 && code < 0xdc00;
    if (isHigh && this.#chars[this.#at] === "\\" && this.#chars[this.#at + 1] === "u") {
      const low = Number.parseInt(this.#chars.slice(this.#at + 2, this.#at + 6).join(""), 16);
      if (low >= 0xdc00 && low < 0xe000) {
        this.#at += 6;
        return 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
      }
    }
    return code;
  }

  #hex(digits: number): number {
    let text = "";
    for (let i = 0; i < digits; i++) text += this.#next();
    return Number.parseInt(text, 16);
  }

  #until(end: string): string {
    let text = "";
    for (let char = this.#next(); char !== end; char = this.#next()) text += char;
    return text;
  }

  #peek(): string | undefined {
    return this.#chars[this.#at];
  }

  #next(): string {
    const char = this.#chars[this.#at++];
    return char ?? this.#refuse("the expression's end");
  }

  #take(char: string): boolean {
    if (this.#chars[this.#at] !== char) return false;
    this.#at++;
    return true;
  }

  #refuse(what: string): never {
    throw new GrammarError("a part of the regular expression isn't supported", {
      where: this.#source,
      found: what,
      hint: "Supported: characters, classes, groups, alternatives, quantifiers, ^ and $.",
    });
  }
}

export function literal(code: number): Regex {
  return { type: "set", set: [[code, code]] };
}

const properties = new Map<string, CharSet>();

/** The code points of a Unicode property, as this JavaScript engine knows them. */
function property(source: string): CharSet {
  let set = properties.get(source);
  if (!set) {
    const test = new RegExp(source, "u");
    const ranges: [number, number][] = [];
    for (let code = 0; code <= MAX_CODE_POINT; code++) {
      if (!test.test(String.fromCodePoint(code))) continue;
      const last = ranges.at(-1);
      if (last && last[1] === code - 1) last[1] = code;
      else ranges.push([code, code]);
    }
    set = ranges;
    properties.set(source, set);
  }
  return set;
}

export const ANYTHING: Regex = { type: "repeat", item: { type: "set", set: ANY }, min: 0, max: Infinity };
