import { GrammarError, tooLarge } from "./errors.ts";

/** Nodes, and arrows between them, that a grammar may have. */
const MAX_PARTS = 2_000_000;

/** Calls a rule `min` to `max` times in a row; then the text goes on at `to`. */
export interface Call {
  readonly rule: number;
  readonly min: number;
  readonly max: number;
  readonly to: number;
}

/**
 * A context-free grammar over bytes, as one automaton for each rule: nodes with arrows that take a byte, nothing, or
 * whatever another rule takes. Every node can be completed, and no rule begins with itself.
 */
export interface Rules {
  /** By node: triples first byte, last byte, node. */
  readonly bytes: readonly (readonly number[])[];
  /** By node: nodes reached without a byte, such as behind a rule that may be empty. */
  readonly free: readonly (readonly number[])[];
  readonly calls: readonly (readonly Call[])[];
  /** By node: whether the rule ends here. */
  readonly ends: Uint8Array;
  /** By rule: where it begins. */
  readonly starts: readonly number[];
  /** By rule: a rank above that of every rule that begins with it. */
  readonly ranks: readonly number[];
  readonly root: number;
}

/** Makes rules, one node and arrow at a time. */
export class RulesBuilder {
  readonly #bytes: number[][] = [];
  readonly #free: number[][] = [];
  readonly #calls: Call[][] = [];
  readonly #names: string[] = [];
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];
  #parts = 0;

  rule(name: string): number {
    this.#starts.push(this.node());
    this.#ends.push(this.node());
    return this.#names.push(name) - 1;
  }

  start(rule: number): number {
    return this.#starts[rule]!;
  }

  end(rule: number): number {
    return this.#ends[rule]!;
  }

  node(): number {
    this.#count();
    this.#free.push([]);
    this.#calls.push([]);
    return this.#bytes.push([]) - 1;
  }

  byte(from: number, first: number, last: number, to: number): void {
    this.#count();
    this.#bytes[from]!.push(first, last, to);
  }

  skip(from: number, to: number): void {
    this.#count();
    this.#free[from]!.push(to);
  }

  call(from: number, rule: number, to: number, min = 1, max = 1): void {
    this.#count();
    if (max === 0) this.#free[from]!.push(to);
    else this.#calls[from]!.push({ rule, min, max, to });
  }

  /** Takes exactly these bytes. */
  literal(from: number, bytes: ArrayLike<number>, to: number): void {
    let at = from;
    for (let i = 0; i < bytes.length; i++) {
      const next = i === bytes.length - 1 ? to : this.node();
      this.byte(at, bytes[i]!, bytes[i]!, next);
      at = next;
    }
    if (bytes.length === 0) this.skip(from, to);
  }

  #count(): void {
    if (++this.#parts > MAX_PARTS) throw tooLarge("the grammar", MAX_PARTS);
  }

  /**
   * Checks the rules and drops what can't be completed.
   *
   * @throws GrammarError if nothing fulfils the root rule, or a rule begins with itself
   */
  finish(root: number, where: string): Rules {
    const live = this.#completable(false);
    if (!live[this.#starts[root]!]) {
      throw new GrammarError("no text fulfils this", {
        where,
        hint: "Some of its demands contradict each other.",
      });
    }
    const size = this.#bytes.length;
    for (let node = 0; node < size; node++) {
      const triples = this.#bytes[node]!;
      this.#bytes[node] = triples.filter((_, i) => live[triples[i - (i % 3) + 2]!] === 1);
      this.#free[node] = this.#free[node]!.filter((to) => live[to] === 1);
      const kept: Call[] = [];
      for (const call of this.#calls[node]!) {
        if (!live[call.to]) continue;
        if (live[this.#starts[call.rule]!]) kept.push(call);
        else if (call.min === 0) this.#free[node]!.push(call.to);
      }
      this.#calls[node] = kept;
    }
    const empty = this.#completable(true);
    const mayBeEmpty = this.#starts.map((start) => empty[start] === 1);
    for (let node = 0; node < size; node++) {
      for (const { rule, min, to } of this.#calls[node]!) {
        if (min === 0 || mayBeEmpty[rule]) this.#free[node]!.push(to);
      }
      // however often an empty text is repeated, it stays empty
      this.#calls[node] = this.#calls[node]!.map((call) =>
        mayBeEmpty[call.rule] ? { ...call, min: 0 } : call,
      );
    }
    const ends = new Uint8Array(size);
    for (const end of this.#ends) ends[end] = 1;
    return {
      bytes: this.#bytes,
      free: this.#free,
      calls: this.#calls,
      ends,
      starts: this.#starts,
      ranks: this.#rank(live),
      root,
    };
  }

  /** By node: whether its rule's end can be reached; with `silently`, by taking no byte. */
  #completable(silently: boolean): Uint8Array {
    const size = this.#bytes.length;
    const before: number[][] = Array.from({ length: size }, () => []);
    const callers: (readonly [number, Call])[][] = this.#starts.map(() => []);
    for (let node = 0; node < size; node++) {
      const triples = this.#bytes[node]!;
      if (!silently) for (let i = 2; i < triples.length; i += 3) before[triples[i]!]!.push(node);
      for (const to of this.#free[node]!) before[to]!.push(node);
      for (const call of this.#calls[node]!) {
        if (call.min === 0) before[call.to]!.push(node);
        else callers[call.rule]!.push([node, call]);
      }
    }
    const ruleAt = new Map(this.#starts.map((start, rule) => [start, rule]));
    const done = new Uint8Array(size);
    const ruleDone = new Uint8Array(this.#starts.length);
    const stack: number[] = [];
    const mark = (node: number): void => {
      if (done[node]) return;
      done[node] = 1;
      stack.push(node);
    };
    for (const end of this.#ends) mark(end);
    for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
      for (const other of before[node]!) mark(other);
      const rule = ruleAt.get(node);
      if (rule === undefined || ruleDone[rule]) continue;
      ruleDone[rule] = 1;
      for (const [from, call] of callers[rule]!) {
        before[call.to]!.push(from);
        if (done[call.to]) mark(from);
      }
    }
    return done;
  }

  /** Orders rules so that each comes after those that begin with it. */
  #rank(live: Uint8Array): number[] {
    const size = this.#starts.length;
    const begins = this.#starts.map((start) => (live[start] ? this.#beginsWith(start) : []));
    const waiting = new Int32Array(size);
    for (const rules of begins) for (const rule of rules) waiting[rule]!++;
    const ready: number[] = [];
    for (let rule = 0; rule < size; rule++) if (waiting[rule] === 0) ready.push(rule);
    const ranks = new Array<number>(size).fill(-1);
    for (let rank = 0; rank < ready.length; rank++) {
      const rule = ready[rank]!;
      ranks[rule] = rank;
      for (const other of begins[rule]!) if (--waiting[other]! === 0) ready.push(other);
    }
    if (ready.length < size) {
      throw new GrammarError("a rule begins with itself", {
        where: this.#names[this.#onCycle(begins, ranks)]!,
        hint: 'Turn left recursion around: instead of `list ::= list "," item`, write `list ::= item ("," item)*`.',
      });
    }
    return ranks;
  }

  #beginsWith(start: number): readonly number[] {
    const rules = new Set<number>();
    const seen = new Set([start]);
    for (const node of seen) {
      for (const to of this.#free[node]!) seen.add(to);
      for (const { rule } of this.#calls[node]!) rules.add(rule);
    }
    return [...rules];
  }

  // What has no rank is on a cycle or begun by one: a path backwards among these meets itself on the cycle.
  #onCycle(begins: readonly (readonly number[])[], ranks: readonly number[]): number {
    const seen = new Set<number>();
    let rule = ranks.indexOf(-1);
    while (!seen.has(rule)) {
      seen.add(rule);
      rule = begins.findIndex((others, other) => ranks[other] === -1 && others.includes(rule));
    }
    return rule;
  }
}
