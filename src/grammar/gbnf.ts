import { RulesBuilder } from "./builder.ts";
import { ANY, type CharSet, charSet, complement } from "./charset.ts";
import type { Grammar } from "./constraint.ts";
import { CharacterArrows } from "./embed.ts";
import { GrammarError } from "./errors.ts";

const MAX_LENGTH = 1_000_000;
const MAX_DEPTH = 200;

/**
 * Texts of a grammar in GBNF, the notation of llama.cpp: rules `name ::= …` of which `root` is the text; literals in
 * quotes, character classes in brackets, `.`, alternatives `|`, groups, and `* + ? {m} {m,} {m,n}`. Recursion is fine as
 * long as no rule begins with itself.
 *
 * Source of the notation: ggml-org/llama.cpp, grammars/README.md.
 *
 * @throws GrammarError naming the line
 */
export function gbnfGrammar(text: string): Grammar {
  return new Parser(text).parse();
}

class Parser {
  readonly #text: string;
  readonly #builder: RulesBuilder = new RulesBuilder();
  readonly #arrows: CharacterArrows = new CharacterArrows(this.#builder);
  readonly #rules: Map<string, number> = new Map();
  readonly #defined: Set<string> = new Set();
  /** Where a rule was first called. */
  readonly #called: Map<string, number> = new Map();
  #at = 0;
  #depth = 0;

  constructor(text: string) {
    if (text.length > MAX_LENGTH) {
      throw new GrammarError("grammar too long", { expected: `at most ${MAX_LENGTH}`, found: text.length });
    }
    this.#text = text;
  }

  parse(): Grammar {
    const builder = this.#builder;
    for (this.#space(true); this.#at < this.#text.length; this.#space(true)) this.#rule();
    for (const [name, at] of this.#called) {
      if (!this.#defined.has(name)) this.#fail("a rule isn't defined", at, `${name} ::= …`);
    }
    if (!this.#defined.has("root")) this.#fail("the grammar has no root", this.#at, "root ::= …");
    return { kind: "gbnf", rules: builder.finish(this.#named("root"), "root"), distinctKeys: false };
  }

  #rule(): void {
    const at = this.#at;
    const name = this.#name();
    this.#space(true);
    if (name === "" || !this.#take("::=")) this.#fail("not a rule", at, "name ::= …");
    if (this.#defined.has(name)) this.#fail("a rule is defined twice", at, undefined, name);
    this.#defined.add(name);
    const rule = this.#named(name);
    this.#space(true);
    this.#alternatives(this.#builder.start(rule), this.#builder.end(rule), false);
    this.#space(false);
    if (this.#at < this.#text.length && !this.#take("\r\n") && !this.#take("\n")) {
      this.#fail("the rule should end here", this.#at, "a line's end");
    }
  }

  #named(name: string): number {
    let rule = this.#rules.get(name);
    if (rule === undefined) {
      rule = this.#builder.rule(name);
      this.#rules.set(name, rule);
    }
    return rule;
  }

  #alternatives(from: number, to: number, inGroup: boolean): void {
    if (++this.#depth > MAX_DEPTH) this.#fail(`groups nested deeper than ${MAX_DEPTH}`, this.#at);
    do {
      this.#space(true);
      this.#sequence(from, to, inGroup);
      this.#space(inGroup);
    } while (this.#take("|"));
    this.#depth--;
  }

  #sequence(from: number, to: number, inGroup: boolean): void {
    let at = from;
    for (;;) {
      const fill = this.#item();
      if (!fill) break;
      const next = this.#builder.node();
      this.#quantified(at, next, fill);
      at = next;
      this.#space(inGroup);
    }
    this.#builder.skip(at, to);
  }

  /** What stands here, as a function that writes it; undefined where the sequence ends. */
  #item(): ((from: number, to: number) => void) | undefined {
    const at = this.#at;
    if (this.#take('"')) {
      const text = this.#literal();
      const bytes = new TextEncoder().encode(text);
      return (from, to) => this.#builder.literal(from, bytes, to);
    }
    if (this.#take("[")) {
      const set = this.#class();
      return (from, to) => this.#arrows.add(from, set, to, "plain");
    }
    if (this.#take(".")) return (from, to) => this.#arrows.add(from, ANY, to, "plain");
    if (this.#take("(")) {
      const rule = this.#builder.rule("a group");
      this.#alternatives(this.#builder.start(rule), this.#builder.end(rule), true);
      if (!this.#take(")")) this.#fail("a group isn't closed", at, ")");
      return (from, to) => this.#builder.call(from, rule, to);
    }
    const name = this.#name();
    if (name === "") return undefined;
    // `name ::=` begins the next rule, also after an alternative that was left empty
    const after = this.#at;
    this.#space(false);
    const isNext = this.#text.startsWith("::=", this.#at);
    this.#at = isNext ? at : after;
    if (isNext) return undefined;
    if (!this.#called.has(name)) this.#called.set(name, at);
    const rule = this.#named(name);
    return (from, to) => this.#builder.call(from, rule, to);
  }

  #quantified(from: number, to: number, fill: (from: number, to: number) => void): void {
    const at = this.#at;
    let bounds: readonly [number, number];
    if (this.#take("*")) bounds = [0, Number.POSITIVE_INFINITY];
    else if (this.#take("+")) bounds = [1, Number.POSITIVE_INFINITY];
    else if (this.#take("?")) bounds = [0, 1];
    else if (this.#take("{")) bounds = this.#bounds(at);
    else {
      fill(from, to);
      return;
    }
    const rule = this.#builder.rule("what is repeated");
    fill(this.#builder.start(rule), this.#builder.end(rule));
    this.#builder.call(from, rule, to, ...bounds);
    if ("*+?{".includes(this.#text[this.#at] ?? " "))
      this.#fail("a quantifier follows another one", this.#at);
  }

  #bounds(at: number): [number, number] {
    const match = /^\s*(\d{1,9})\s*(?:(,)\s*(\d{1,9})?\s*)?\}/.exec(
      this.#text.slice(this.#at, this.#at + 80),
    );
    if (!match) return this.#fail("not a number of times", at, "{m}, {m,} or {m,n}");
    this.#at += match[0].length;
    const min = Number(match[1]);
    const max = match[3] !== undefined ? Number(match[3]) : match[2] ? Number.POSITIVE_INFINITY : min;
    if (max < min) this.#fail("a number of times is upside down", at, `at least ${min}`);
    return [min, max];
  }

  #literal(): string {
    const at = this.#at - 1;
    let text = "";
    while (!this.#take('"')) text += String.fromCodePoint(this.#char(at));
    return text;
  }

  #class(): CharSet {
    const at = this.#at - 1;
    const negated = this.#take("^");
    const ranges: [number, number][] = [];
    while (!this.#take("]")) {
      const first = this.#char(at);
      const isRange = this.#text[this.#at] === "-" && this.#text[this.#at + 1] !== "]";
      if (isRange) this.#at++;
      const last = isRange ? this.#char(at) : first;
      if (last < first) this.#fail("a range is upside down", at);
      ranges.push([first, last]);
    }
    const set = charSet(ranges);
    return negated ? complement(set) : set;
  }

  /** A character of a literal or class that began at a place. */
  #char(start: number): number {
    const code = this.#text.codePointAt(this.#at);
    if (code === undefined || code === 0x0a) this.#fail("a literal or class isn't closed", start);
    this.#at += code > 0xffff ? 2 : 1;
    if (code !== 0x5c) return code;
    const kind = this.#text[this.#at++] ?? "";
    const digits = { x: 2, u: 4, U: 8 }[kind];
    if (digits !== undefined) {
      const hex = this.#text.slice(this.#at, this.#at + digits);
      const value = Number.parseInt(hex, 16);
      if (!/^[0-9a-fA-F]+$/.test(hex) || hex.length < digits || value > 0x10ffff) {
        this.#fail("not an escape", this.#at - 2, `${digits} hexadecimal digits`);
      }
      this.#at += digits;
      return value;
    }
    const plain = { n: 0x0a, r: 0x0d, t: 0x09 }[kind];
    if (plain !== undefined) return plain;
    if (!'"\\[]-^'.includes(kind) || kind === "") {
      this.#fail("not an escape", this.#at - 2, '\\n, \\r, \\t, \\", \\\\, \\[, \\], \\x, \\u or \\U', kind);
    }
    return kind.charCodeAt(0);
  }

  #name(): string {
    const match = /^[a-zA-Z0-9][a-zA-Z0-9_-]*/.exec(this.#text.slice(this.#at, this.#at + 200));
    this.#at += match?.[0].length ?? 0;
    return match?.[0] ?? "";
  }

  /** Skips blanks and comments, and perhaps line ends. */
  #space(lineEnds: boolean): void {
    for (;;) {
      const char = this.#text[this.#at];
      if (char === " " || char === "\t" || (lineEnds && (char === "\n" || char === "\r"))) this.#at++;
      else if (char === "#") {
        const end = this.#text.indexOf("\n", this.#at);
        this.#at = end < 0 ? this.#text.length : end;
      } else return;
    }
  }

  #take(text: string): boolean {
    if (!this.#text.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  #fail(what: string, at: number, expected?: string, found?: string): never {
    const lines = this.#text.slice(0, at).split("\n");
    throw new GrammarError(what, {
      where: `line ${lines.length}, column ${lines.at(-1)!.length + 1}`,
      ...(expected !== undefined && { expected }),
      ...(found !== undefined && { found }),
    });
  }
}
