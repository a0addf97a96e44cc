import { type Automaton, fromRegex } from "./automaton.ts";
import type { RulesBuilder } from "./builder.ts";
import { CharacterArrows, embed } from "./embed.ts";
import { ANYTHING } from "./regex.ts";
import { numberAutomaton } from "./schema/numbers.ts";

/** Spaces that may follow a line break between two parts of a JSON text. */
export const MAX_INDENT = 32;

/** The parts that JSON texts share, each made once. */
export class JsonRules {
  readonly builder: RulesBuilder;
  readonly #made: Map<string, number> = new Map();

  constructor(builder: RulesBuilder) {
    this.builder = builder;
  }

  /** The rule of this name, made by `fill` where it is new. */
  rule(name: string, fill: (from: number, to: number) => void): number {
    let rule = this.#made.get(name);
    if (rule === undefined) {
      rule = this.builder.rule(name);
      this.#made.set(name, rule);
      fill(this.builder.start(rule), this.builder.end(rule));
    }
    return rule;
  }

  /** ASCII text. */
  text(from: number, text: string, to: number): void {
    this.builder.literal(from, new TextEncoder().encode(text), to);
  }

  /** Nothing, a space, or a line break and an indent. */
  space(from: number, to: number): void {
    const { builder } = this;
    const blank = this.rule("blank", (start, end) => builder.byte(start, 0x20, 0x20, end));
    const space = this.rule("space", (start, end) => {
      builder.skip(start, end);
      builder.byte(start, 0x20, 0x20, end);
      const broken = builder.node();
      builder.byte(start, 0x0a, 0x0a, broken);
      builder.call(broken, blank, end, 0, MAX_INDENT);
    });
    builder.call(from, space, to);
  }

  /** Text, and space after it. */
  spaced(from: number, text: string, to: number): void {
    const after = this.builder.node();
    this.text(from, text, after);
    this.space(after, to);
  }

  /** A string of so many characters, escaped or not as the writer likes. */
  string(min: number, max: number): number {
    const { builder } = this;
    return this.rule(`string of ${min} to ${max}`, (from, to) => {
      const [open, close] = [builder.node(), builder.node()];
      builder.byte(from, 0x22, 0x22, open);
      if (min === 0 && max === Number.POSITIVE_INFINITY) {
        this.#character(open, open);
        builder.skip(open, close);
      } else if (min <= max)
        builder.call(
          open,
          this.rule("character", (a, b) => this.#character(a, b)),
          close,
          min,
          max,
        );
      builder.byte(close, 0x22, 0x22, to);
    });
  }

  #character(from: number, to: number): void {
    const { builder } = this;
    new CharacterArrows(builder).add(
      from,
      [
        [0x20, 0x21],
        [0x23, 0x5b],
        [0x5d, 0x10ffff],
      ],
      to,
      "plain",
    );
    const escaped = builder.node();
    builder.byte(from, 0x5c, 0x5c, escaped);
    for (const char of '"\\/bfnrt') this.text(escaped, char, to);
    const unicode = builder.node();
    this.text(escaped, "u", unicode);
    // a code unit that is no surrogate, or a high one and a low one
    this.#hex(unicode, ["0123456789abcefABCEF", HEX, HEX, HEX], to);
    this.#hex(unicode, ["dD", "01234567", HEX, HEX], to);
    const [high, low] = [builder.node(), builder.node()];
    this.#hex(unicode, ["dD", "89abAB", HEX, HEX], high);
    this.text(high, "\\u", low);
    this.#hex(low, ["dD", "cdefCDEF", HEX, HEX], to);
  }

  #hex(from: number, digits: readonly string[], to: number): void {
    let at = from;
    for (const [i, chars] of digits.entries()) {
      const next = i === digits.length - 1 ? to : this.builder.node();
      for (const char of chars) this.text(at, char, next);
      at = next;
    }
  }

  /** A string whose characters are those of a text that the automaton accepts. */
  quoted(from: number, automaton: Automaton, to: number): void {
    const { builder } = this;
    const [open, close] = [builder.node(), builder.node()];
    builder.byte(from, 0x22, 0x22, open);
    embed(builder, automaton, open, close, "json");
    builder.byte(close, 0x22, 0x22, to);
  }

  /** Any JSON value. */
  any(): number {
    const { builder } = this;
    return this.rule("any value", (from, to) => {
      for (const word of ["null", "true", "false"]) this.text(from, word, to);
      builder.call(from, this.number("any", numberAutomaton(FREE_NUMBER)), to);
      builder.call(from, this.string(0, Number.POSITIVE_INFINITY), to);
      builder.call(from, this.array(this.any(), 0, Number.POSITIVE_INFINITY), to);
      const anyText = fromRegex(ANYTHING);
      builder.call(
        from,
        this.rule("any object", (start, end) => {
          const member = this.member("any member", [[anyText, this.any()]]);
          const [open, close] = [builder.node(), builder.node()];
          this.spaced(start, "{", open);
          this.text(open, "}", end);
          this.members(open, member, 1, Number.POSITIVE_INFINITY, close);
          this.closing(close, "}", end);
        }),
        to,
      );
    });
  }

  number(name: string, automaton: Automaton): number {
    return this.rule(`number ${name}`, (from, to) => embed(this.builder, automaton, from, to, "plain"));
  }

  /** Space, and a closing bracket. */
  closing(from: number, bracket: string, to: number): void {
    const before = this.builder.node();
    this.space(from, before);
    this.text(before, bracket, to);
  }

  /** An array of `min` to `max` items. */
  array(item: number, min: number, max: number): number {
    const { builder } = this;
    return this.rule(`array of ${min} to ${max} × ${item}`, (from, to) => {
      const [open, close] = [builder.node(), builder.node()];
      this.spaced(from, "[", open);
      if (min === 0) this.text(open, "]", to);
      this.members(open, item, Math.max(1, min), max, close);
      this.closing(close, "]", to);
    });
  }

  /** `min` to `max` members of an array or object, at least one, with commas between. */
  members(from: number, member: number, min: number, max: number, to: number): void {
    if (max < Math.max(1, min)) return;
    const after = this.builder.node();
    this.builder.call(from, member, after);
    this.moreMembers(after, member, Math.max(0, min - 1), max - 1, to);
  }

  /** `min` to `max` further members, each with a comma ahead. */
  moreMembers(from: number, member: number, min: number, max: number, to: number): void {
    if (max < min) return;
    const more = this.rule(`comma and ${member}`, (start, end) => {
      const comma = this.builder.node();
      this.spaced(start, ",", comma);
      this.builder.call(comma, member, end);
    });
    this.builder.call(from, more, to, min, max);
  }

  /** A member of an object: one of these kinds of keys, with its value. */
  member(name: string, kinds: readonly (readonly [key: Automaton, value: number])[]): number {
    const { builder } = this;
    return this.rule(name, (from, to) => {
      for (const [key, value] of kinds) {
        const [colon, before] = [builder.node(), builder.node()];
        this.quoted(from, key, colon);
        this.spaced(colon, ":", before);
        builder.call(before, value, to);
      }
    });
  }
}

const HEX = "0123456789abcdefABCDEF";
export const FREE_NUMBER = { integer: false, min: undefined, max: undefined, multiples: [] } as const;
