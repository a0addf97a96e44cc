import { type Automaton, both, endless, texts } from "../automaton.ts";
import { RulesBuilder } from "../builder.ts";
import { GrammarError, tooLarge, within } from "../errors.ts";
import { JsonRules } from "../json.ts";
import {
  type Alternative,
  ANY_STRING,
  type ArrayAlternative,
  canonical,
  keyOf,
  type NumberAlternative,
  type ObjectAlternative,
  type StringAlternative,
} from "./alternatives.ts";
import { disjoint } from "./disjoint.ts";
import { at, refuse } from "./keywords.ts";
import type { Meaning } from "./meaning.ts";
import { numberAutomaton } from "./numbers.ts";
import type { Conjunction, SchemaId } from "./schemas.ts";

const MAX_PROPERTIES = 1000;
/** Regular expressions of patternProperties in one object: each subset of them is a kind of key. */
const MAX_KEY_PATTERNS = 4;
/** Values from which an array of unique items may choose: each subset of them is a state. */
const MAX_UNIQUE = 8;

/** Keys that a pattern may stand for, if it stands for a limited number. */
const MAX_LISTED_KEYS = 64;

const ANY_LENGTH = Number.POSITIVE_INFINITY;

/** Writes rules for what schemas mean. */
export class Emitter {
  readonly #meaning: Meaning;
  readonly #json: JsonRules = new JsonRules(new RulesBuilder());
  readonly #queue: (() => void)[] = [];
  /** Whether some object leaves its keys open. */
  hasOpenKeys = false;

  constructor(meaning: Meaning) {
    this.#meaning = meaning;
  }

  get builder(): RulesBuilder {
    return this.#json.builder;
  }

  /** Writes all rules that these schemas need, and returns the number of theirs. */
  emit(root: SchemaId): number {
    const rule = this.#value(this.#meaning.schemas.all([root]));
    for (let next = this.#queue.pop(); next; next = this.#queue.pop()) next();
    this.#checkExclusive();
    return rule;
  }

  /** The rule of a value that fulfils all of these schemas. */
  #value(conjunction: Conjunction): number {
    if (conjunction.length === 0) return this.#any();
    return this.#json.rule(`schemas ${conjunction.join()}`, (from, to) => {
      const pointer = at(this.#meaning.schemas.pointer(conjunction[0]!));
      this.#queue.push(() => within(pointer, () => this.#fill(conjunction, from, to, pointer)));
    });
  }

  #fill(conjunction: Conjunction, from: number, to: number, pointer: string): void {
    const alternatives = this.#meaning.of(conjunction);
    this.#checkExclusive();
    this.#values(alternatives, from, to);
    for (const alternative of alternatives) {
      if (alternative.kind === "value") continue;
      const rule = this.#json.rule(keyOf(alternative), (start, end) =>
        this.#alternative(alternative, start, end, pointer),
      );
      this.builder.call(from, rule, to);
    }
  }

  #any(): number {
    this.hasOpenKeys = true;
    return this.#json.any();
  }

  #checkExclusive(): void {
    const { exclusive } = this.#meaning;
    for (let next = exclusive.pop(); next; next = exclusive.pop()) {
      const { branches, pointer } = next;
      for (const [i, branch] of branches.entries()) {
        for (const other of branches.slice(i + 1)) {
          if (branch.every((x) => other.every((y) => disjoint(this.#meaning, x, y)))) continue;
          throw new GrammarError("two branches of oneOf may both be valid", {
            where: pointer,
            keyword: "oneOf",
            hint: "Use anyOf, or tell the branches apart by type or by a required property with a const.",
          });
        }
      }
    }
  }

  #alternative(
    alternative: Exclude<Alternative, { kind: "value" }>,
    from: number,
    to: number,
    where: string,
  ): void {
    const { kind } = alternative;
    if (kind === "null") this.#json.text(from, "null", to);
    else if (kind === "boolean") for (const word of ["true", "false"]) this.#json.text(from, word, to);
    else if (kind === "number") this.#number(alternative, from, to, where);
    else if (kind === "string") this.#string(alternative, from, to);
    else if (kind === "array") this.#array(alternative, from, to, where);
    else this.#object(alternative, from, to, where);
  }

  #number(number: NumberAlternative, from: number, to: number, where: string): void {
    const automaton = numberAutomaton(number);
    const farthest = Math.max(number.min?.value ?? 0, -(number.max?.value ?? 0));
    if (automaton.size === 0 && farthest >= 1e15) {
      throw new GrammarError("numbers of more than 15 digits aren't supported", { where });
    }
    this.builder.call(from, this.#json.number(keyOf(number), automaton), to);
  }

  #string(string: StringAlternative, from: number, to: number): void {
    const { patterns, formats, excluded, min, max } = string;
    if (patterns.length + formats.length + excluded.length > 0) {
      this.#json.quoted(from, this.#meaning.textsOf(string), to);
    } else this.builder.call(from, this.#json.string(min, max), to);
  }

  /** One of these values. Their texts share beginnings, so that many values don't mean many positions at once. */
  #values(alternatives: readonly Alternative[], from: number, to: number): void {
    const tree = new Map<string, number>();
    for (const alternative of alternatives) {
      if (alternative.kind !== "value") continue;
      const { value } = alternative;
      if (typeof value === "object" && value !== null) this.builder.call(from, this.#constant(value), to);
      else this.#branch(tree, from, JSON.stringify(value === 0 ? 0 : value), to);
    }
  }

  #branch(tree: Map<string, number>, from: number, text: string, to: number): void {
    let [node, path] = [from, ""];
    for (const byte of new TextEncoder().encode(text)) {
      path += String.fromCharCode(byte);
      let next = tree.get(path);
      if (next === undefined) {
        next = this.builder.node();
        this.builder.byte(node, byte, byte, next);
        tree.set(path, next);
      }
      node = next;
    }
    this.builder.skip(node, to);
  }

  /** The rule of one value, with space where JSON allows it. */
  #constant(value: unknown): number {
    return this.#json.rule(`constant ${JSON.stringify(value)}`, (from, to) => {
      if (typeof value !== "object" || value === null) {
        this.#json.text(from, JSON.stringify(value === 0 ? 0 : value), to);
        return;
      }
      const isArray = Array.isArray(value);
      const [open, close] = isArray ? "[]" : "{}";
      let node = this.builder.node();
      this.#json.spaced(from, open!, node);
      for (const [i, [name, part]] of Object.entries(value).entries()) {
        const [start, key, end] = [this.builder.node(), this.builder.node(), this.builder.node()];
        if (i > 0) this.#json.spaced(node, ",", start);
        else this.builder.skip(node, start);
        if (isArray) this.builder.skip(start, key);
        else this.#json.spaced(start, `${JSON.stringify(name)}:`, key);
        this.builder.call(key, this.#constant(part), end);
        node = end;
      }
      if (Object.keys(value).length === 0) this.#json.text(node, close!, to);
      else this.#json.closing(node, close!, to);
    });
  }

  #array(array: ArrayAlternative, from: number, to: number, where: string): void {
    const { min, max } = array;
    if (min > max) return;
    if (array.unique && max > 1) {
      this.#uniqueArray(array, from, to, where);
      return;
    }
    const { builder } = this;
    const meaning = this.#meaning;
    const prefix = Math.min(meaning.prefix(array), max);
    let node = builder.node();
    this.#json.spaced(from, "[", node);
    if (min === 0) this.#json.text(node, "]", to);
    const close = builder.node();
    this.#json.closing(close, "]", to);
    for (let index = 0; index < prefix; index++) {
      const [start, end] = [builder.node(), builder.node()];
      if (index > 0) this.#json.spaced(node, ",", start);
      else builder.skip(node, start);
      builder.call(start, this.#value(meaning.item(array, index)), end);
      if (index + 1 >= min) builder.skip(end, close);
      node = end;
    }
    if (prefix >= max) return;
    const rest = this.#value(meaning.item(array, prefix));
    if (prefix === 0) this.#json.members(node, rest, min, max, close);
    else this.#json.moreMembers(node, rest, Math.max(0, min - prefix), max - prefix, close);
  }

  #uniqueArray(array: ArrayAlternative, from: number, to: number, where: string): void {
    const values = this.#meaning.prefix(array) > 0 ? undefined : this.#finite(this.#meaning.item(array, 0));
    if (!values || values.length > MAX_UNIQUE) {
      refuse(
        where,
        "uniqueItems",
        "unique items aren't supported here",
        `Supported: items from an enum of at most ${MAX_UNIQUE} values, without prefixItems.`,
      );
    }
    const { builder } = this;
    const close = builder.node();
    this.#json.closing(close, "]", to);
    const subsets = Array.from({ length: 2 ** values.length }, () => builder.node());
    this.#json.spaced(from, "[", subsets[0]!);
    if (array.min === 0) this.#json.text(subsets[0]!, "]", to);
    for (const [subset, node] of subsets.entries()) {
      const size = values.filter((_, i) => subset & (1 << i)).length;
      if (size >= array.max) continue;
      for (const [i, value] of values.entries()) {
        if (subset & (1 << i)) continue;
        const after = builder.node();
        builder.call(node, this.#constant(value), after);
        if (size + 1 >= array.min) builder.skip(after, close);
        this.#json.spaced(after, ",", subsets[subset | (1 << i)]!);
      }
    }
  }

  /** All values that fulfil these schemas, if they are few and plainly so. */
  #finite(conjunction: Conjunction): unknown[] | undefined {
    const values: unknown[] = [];
    for (const alternative of this.#meaning.of(conjunction)) {
      if (alternative.kind === "value") values.push(alternative.value);
      else if (alternative.kind === "null") values.push(null);
      else if (alternative.kind === "boolean") values.push(true, false);
      else if (alternative.kind === "number") {
        const { integer, min, max } = alternative;
        if (!integer || !min || !max || max.value - min.value > MAX_UNIQUE) return undefined;
        for (let value = Math.ceil(min.value); value <= max.value; value++) {
          if (this.#meaning.fits(value, alternative)) values.push(value);
        }
      } else return undefined;
    }
    return [...new Map(values.map((value) => [canonical(value), value])).values()];
  }

  #object(object: ObjectAlternative, from: number, to: number, where: string): void {
    const { min, max, required } = object;
    const { builder } = this;
    const meaning = this.#meaning;
    const declared = new Set<string>();
    for (const part of object.parts) {
      const { properties } = meaning.schemas.get(part) as { properties?: object };
      for (const name of Object.keys(properties ?? {})) declared.add(name);
    }
    for (const name of required) declared.add(name);
    if (this.#isOpen(object)) for (const name of this.#listedNames(object)) declared.add(name);
    const extra = this.#extraMember(object, declared, where);
    const names = [...declared].filter((name) => meaning.nameFits(object, name) === true);
    if (names.length > MAX_PROPERTIES) throw tooLarge("the properties of an object", MAX_PROPERTIES);
    if (!required.every((name) => names.includes(name))) return;

    // Counting properties multiplies nodes, so it's done only where it makes a difference.
    const isCounted =
      min > required.length || max < names.length || (extra !== undefined && max < ANY_LENGTH);
    const last = isCounted ? Math.min(max, Math.max(min, names.length)) : 0;
    const nodes = new Map<string, number>();
    const pending: (() => void)[] = [];
    const node = (name: string, fill: (node: number) => void): number => {
      let found = nodes.get(name);
      if (found === undefined) {
        found = builder.node();
        nodes.set(name, found);
        const made = found;
        pending.push(() => fill(made));
      }
      return found;
    };
    const count = (so: number): number => (isCounted ? Math.min(so + 1, max === ANY_LENGTH ? last : max) : 0);
    const close = builder.node();
    this.#json.closing(close, "}", to);
    /** Where the next key is one of those from an index on. */
    const key = (index: number, so: number): number =>
      node(`key ${index} ${so}`, (start) => {
        if (isCounted && so >= max) return;
        const name = names[index];
        if (name === undefined) {
          if (extra === undefined) return;
          const rest = max === ANY_LENGTH ? ANY_LENGTH : max - so - 1;
          const end = builder.node();
          builder.call(start, extra, end);
          this.#json.moreMembers(end, extra, isCounted ? Math.max(0, min - so - 1) : 0, rest, close);
          return;
        }
        const before = builder.node();
        this.#json.spaced(start, `${JSON.stringify(name)}:`, before);
        builder.call(before, this.#value(meaning.property(object, name)), after(index + 1, count(so)));
        if (!required.includes(name)) builder.skip(start, key(index + 1, so));
      });
    /** Where a member has ended. */
    const after = (index: number, so: number): number =>
      node(`after ${index} ${so}`, (start) => {
        if (mayEnd(index, so)) builder.skip(start, close);
        this.#json.spaced(start, ",", key(index, so));
      });
    const needed = new Set(required);
    const lastRequired = names.findLastIndex((name) => needed.has(name));
    const mayEnd = (index: number, so: number): boolean => index > lastRequired && (!isCounted || so >= min);
    const open = key(0, 0);
    this.#json.spaced(from, "{", open);
    if (mayEnd(0, 0)) this.#json.text(open, "}", to);
    for (let next = pending.pop(); next; next = pending.pop()) next();
  }

  /**
   * The rule of a member whose key isn't declared, if there may be any. Where keys of some kind are few, they are
   * declared instead: an object that has them all could not end otherwise.
   */
  #extraMember(object: ObjectAlternative, declared: Set<string>, where: string): number | undefined {
    const meaning = this.#meaning;
    const { schemas } = meaning;
    const parts = object.parts.map((part) => ({
      part,
      patterns: meaning.patterns(part),
      additional: schemas.child(part, "additionalProperties"),
    }));
    const sources = [...new Set(parts.flatMap(({ patterns }) => patterns.map(({ pattern }) => pattern)))];
    if (sources.length > MAX_KEY_PATTERNS) {
      refuse(where, "patternProperties", "too many patterns", `At most ${MAX_KEY_PATTERNS} are supported.`);
    }
    const allowed = this.#keys(object, [...declared], where);
    const kinds: (readonly [Automaton, number])[] = [];
    for (let subset = this.#isOpen(object) ? 0 : 1; subset < 2 ** sources.length; subset++) {
      let keys = allowed;
      for (const [i, source] of sources.entries()) {
        keys = both(keys, meaning.patternTexts(source), (subset & (1 << i)) === 0);
      }
      if (keys.size === 0) continue;
      const ids = parts.flatMap(({ patterns, additional }) => {
        const found = patterns.filter(({ pattern }) => subset & (1 << sources.indexOf(pattern)));
        if (found.length > 0) return found.map(({ id }) => id);
        return additional === undefined ? [] : [additional];
      });
      const conjunction = schemas.all(ids);
      if (meaning.of(conjunction).length === 0) continue;
      const all = keys;
      keys = endless(all);
      if (keys.size === 0) {
        const names = texts(all, MAX_LISTED_KEYS);
        if (!names) {
          refuse(
            where,
            "propertyNames",
            "an object whose keys are many, but not endlessly many, isn't supported",
            "List the keys in properties, or allow keys of any length.",
          );
        }
        for (const name of names) declared.add(name);
        continue;
      }
      kinds.push([keys, this.#value(conjunction)]);
    }
    if (kinds.length === 0) return undefined;
    this.hasOpenKeys = true;
    return this.#json.member(`extra member of ${keyOf(object)} at ${where}`, kinds);
  }

  /** Whether keys are written that neither properties nor patternProperties speaks of. */
  #isOpen({ parts }: ObjectAlternative): boolean {
    const { schemas } = this.#meaning;
    if (parts.some((part) => schemas.child(part, "additionalProperties") !== undefined)) return true;
    const has = (part: SchemaId, keyword: string): boolean => schemas.child(part, keyword) !== undefined;
    return !parts.some((part) => has(part, "properties") || has(part, "patternProperties"));
  }

  #nameSchemas({ parts }: ObjectAlternative): readonly Alternative[] {
    const { schemas } = this.#meaning;
    return this.#meaning.of(schemas.all(parts.flatMap((part) => schemas.child(part, "propertyNames") ?? [])));
  }

  /** Names that propertyNames lists one by one. */
  #listedNames(object: ObjectAlternative): string[] {
    return this.#nameSchemas(object).flatMap((alternative) =>
      alternative.kind === "value" && typeof alternative.value === "string" ? [alternative.value] : [],
    );
  }

  /** Keys that propertyNames allows and properties doesn't name. */
  #keys(object: ObjectAlternative, declared: readonly string[], where: string): Automaton {
    const alternatives = this.#nameSchemas(object).filter(
      ({ kind }) => kind === "string",
    ) as StringAlternative[];
    if (alternatives.length > 1) refuse(where, "propertyNames", "several kinds of names aren't supported");
    const names = alternatives[0] ?? { ...ANY_STRING, max: -1 };
    return this.#meaning.textsOf({ ...names, excluded: [...names.excluded, ...declared] });
  }
}
