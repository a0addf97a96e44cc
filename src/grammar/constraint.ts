import type { Tokenizer } from "../tokenizer/index.ts";
import type { Rules } from "./builder.ts";
import { KeyTracker } from "./keys.ts";
import { type Frame, Machine, type State } from "./machine.ts";
import { type Trie, vocabularyTrie } from "./trie.ts";

/** What a text must be, whatever the vocabulary: from jsonSchemaGrammar, regexGrammar or gbnfGrammar. */
export interface Grammar {
  readonly kind: "json-schema" | "regex" | "gbnf";
  readonly rules: Rules;
  /** Whether keys that the rules leave open must differ within an object. */
  readonly distinctKeys: boolean;
}

/** Masks that are kept, each of 25 KB for the vocabulary of gpt-oss. */
const MAX_MASKS = 1024;

const compiled = new WeakMap<Grammar, WeakMap<Tokenizer, Constraint>>();

/** Readies a grammar for a vocabulary, once. What it learns as texts are matched serves all its matchers. */
export function compile(grammar: Grammar, tokenizer: Tokenizer): Constraint {
  let constraints = compiled.get(grammar);
  if (!constraints) {
    constraints = new WeakMap();
    compiled.set(grammar, constraints);
  }
  let constraint = constraints.get(tokenizer);
  if (!constraint) {
    constraint = new Constraint(grammar, vocabularyTrie(tokenizer));
    constraints.set(tokenizer, constraint);
  }
  return constraint;
}

/** Tokens that a rule allows as far as it alone says, and nodes of the trie at which the rule may be over. */
interface LocalMask {
  readonly mask: Uint32Array;
  readonly exits: readonly number[];
}

/** A grammar over the tokens of a vocabulary; see compile. */
export class Constraint {
  readonly #trie: Trie;
  readonly #machine: Machine;
  readonly #distinctKeys: boolean;
  /** Words of a mask. */
  readonly #words: number;
  #generation = 0;
  readonly #masks: Map<State, Uint32Array> = new Map();
  readonly #locals: Map<State, LocalMask> = new Map();

  constructor(grammar: Grammar, trie: Trie) {
    this.#trie = trie;
    this.#machine = new Machine(grammar.rules, trie.longest);
    this.#distinctKeys = grammar.distinctKeys;
    this.#words = (trie.texts.length + 31) >> 5;
  }

  /** A matcher at the beginning of a text. */
  start(): Matcher {
    return new Matcher(this, this.#machine.start, this.#distinctKeys ? new KeyTracker() : undefined);
  }

  /** The state after a token, or undefined if it isn't allowed. */
  advance(state: State, id: number): State | undefined {
    const text = this.#trie.texts[id];
    if (!text) return undefined;
    let at: State | null = state;
    for (let i = 0; i < text.length && at; i++) at = this.#machine.step(at, this.#machine.classes[text[i]!]!);
    return at ?? undefined;
  }

  trackKeys(keys: KeyTracker, id: number): KeyTracker | undefined {
    let at: KeyTracker | undefined = keys;
    const text = this.#trie.texts[id]!;
    for (let i = 0; i < text.length && at; i++) at = at.step(text[i]!);
    return at;
  }

  /** The tokens that may follow, a bit each; the caller leaves them as they are. */
  mask(state: State): Uint32Array {
    if (this.#generation !== this.#machine.generation) {
      this.#masks.clear();
      this.#locals.clear();
      this.#generation = this.#machine.generation;
    }
    const { nodes, frames, complete } = this.#machine.current(state);
    const capped = new Map<string, readonly [number, Frame]>();
    for (const [i, node] of nodes.entries()) {
      const frame = frames[i]!.capped;
      capped.set(`${node},${frame.id}`, [node, frame]);
    }
    const key = this.#machine.state([...capped.values()], complete);
    const known = this.#masks.get(key);
    if (known) return known;
    const mask = this.#compute(key);
    return keep(this.#masks, key, mask);
  }

  // Positions of one rule and call allow the same tokens wherever the rule was called from, up to where it is over. So
  // the walk through the vocabulary is done once for a rule's positions; for its caller, only the rest of tokens that
  // reach beyond the rule is looked at.
  #compute(state: State): Uint32Array {
    const mask = new Uint32Array(this.#words);
    for (const [base, positions] of byBase(state)) {
      const local = this.#local(
        this.#machine.state(
          positions.map(([node, frame]) => [node, this.#rebase(frame)]),
          false,
        ),
      );
      for (let i = 0; i < mask.length; i++) mask[i]! |= local.mask[i]!;
      if (base === this.#machine.root) continue;
      const outside = this.#machine.returned(base);
      for (const node of local.exits) this.#walk(node, outside, mask, undefined);
    }
    return mask;
  }

  /** The frame as it would be if the rule had been called as the root. */
  #rebase(frame: Frame): Frame {
    const { repeat } = frame;
    if (!repeat) return this.#machine.root;
    return this.#machine.repeatFrame(repeat.call, repeat.min, repeat.max, this.#rebase(frame.returns[0]![1]));
  }

  #local(state: State): LocalMask {
    const known = this.#locals.get(state);
    if (known) return known;
    const exits: number[] = [];
    const mask = new Uint32Array(this.#words);
    this.#walk(0, state, mask, exits);
    return keep(this.#locals, state, { mask, exits });
  }

  /** Allows the tokens below a node of the trie that can follow a state, and notes the nodes where the text may end. */
  #walk(top: number, state: State, mask: Uint32Array, exits: number[] | undefined): void {
    const { bytes, depths, ends, tokens } = this.#trie;
    const machine = this.#machine;
    const { classes } = machine;
    const states: State[] = [];
    states[depths[top]!] = state;
    const end = ends[top]!;
    for (let node = top + 1; node < end; ) {
      const depth = depths[node]!;
      const from = states[depth - 1]!;
      const byteClass = classes[bytes[node]!]!;
      let to = from.next[byteClass];
      if (to === undefined) to = machine.step(from, byteClass);
      if (to === null) {
        node = ends[node]!;
        continue;
      }
      states[depth] = to;
      const id = tokens[node]!;
      if (id >= 0) mask[id >> 5]! |= 1 << (id & 31);
      if (to.complete) exits?.push(node);
      node++;
    }
  }

  /** Takes away the tokens that would repeat a key. */
  withoutRepeatedKeys(mask: Uint32Array, keys: KeyTracker): Uint32Array {
    const { bytes, depths, ends, tokens, quotes } = this.#trie;
    const out = mask.slice();
    const path: KeyTracker[] = [keys];
    for (let node = 1; node < bytes.length; ) {
      if (!quotes[node]) {
        node = ends[node]!;
        continue;
      }
      const depth = depths[node]!;
      const next = path[depth - 1]!.step(bytes[node]!);
      if (next) {
        path[depth] = next;
        node++;
        continue;
      }
      for (const end = ends[node]!; node < end; node++) {
        const id = tokens[node]!;
        if (id >= 0) out[id >> 5]! &= ~(1 << (id & 31));
      }
    }
    return out;
  }
}

/** Follows one text. Cheap to clone: whoever goes back to an earlier place keeps a clone of it. */
export class Matcher {
  readonly #constraint: Constraint;
  #state: State;
  #keys: KeyTracker | undefined;

  constructor(constraint: Constraint, state: State, keys: KeyTracker | undefined) {
    this.#constraint = constraint;
    this.#state = state;
    this.#keys = keys;
  }

  /** Whether the text may end here. */
  get isComplete(): boolean {
    return this.#state.complete;
  }

  /** Whether the text must end here: no token may follow. */
  get mustEnd(): boolean {
    return this.#state.nodes.length === 0;
  }

  /** Takes a token; false, and nothing changes, if it isn't allowed. Control tokens never are. */
  accept(id: number): boolean {
    const state = this.#constraint.advance(this.#state, id);
    if (!state) return false;
    if (this.#keys) {
      const keys = this.#constraint.trackKeys(this.#keys, id);
      if (!keys) return false;
      this.#keys = keys;
    }
    this.#state = state;
    return true;
  }

  /** The ids that may come next: bit id % 32 of word id / 32. Valid until the next call; not to be changed. */
  mask(): Uint32Array {
    const mask = this.#constraint.mask(this.#state);
    return this.#keys ? this.#constraint.withoutRepeatedKeys(mask, this.#keys) : mask;
  }

  /** Sets the logits [vocab] of all other ids to −∞, except `also`: the ids that may end the text, for instance. */
  apply(logits: Float32Array | Float64Array, also: readonly number[] = []): void {
    const mask = this.mask();
    const kept = also.map((id) => [id, logits[id]] as const);
    for (let id = 0; id < logits.length; id++) {
      if (((mask[id >> 5] ?? 0) & (1 << (id & 31))) === 0) logits[id] = Number.NEGATIVE_INFINITY;
    }
    for (const [id, logit] of kept) if (logit !== undefined) logits[id] = logit;
  }

  clone(): Matcher {
    return new Matcher(this.#constraint, this.#state, this.#keys);
  }
}

function byBase({ nodes, frames }: State): Map<Frame, [number, Frame][]> {
  const groups = new Map<Frame, [number, Frame][]>();
  for (const [i, node] of nodes.entries()) {
    const frame = frames[i]!;
    const group = groups.get(frame.base);
    if (group) group.push([node, frame]);
    else groups.set(frame.base, [[node, frame]]);
  }
  return groups;
}

function keep<K, V>(cache: Map<K, V>, key: K, value: V): V {
  if (cache.size >= MAX_MASKS) cache.delete(cache.keys().next().value!);
  cache.set(key, value);
  return value;
}
