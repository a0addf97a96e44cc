import { type CharSet, MAX_CODE_POINT } from "./charset.ts";
import { tooLarge } from "./errors.ts";
import type { Regex } from "./regex.ts";

/** States that an automaton may have; what would need more is refused, within a second or so. */
const MAX_STATES = 20_000;
/** Entries of a transition table. */
const MAX_TABLE = 4_000_000;
const MAX_NFA = 100_000;
/** Sizes of all sets that determinising one expression makes. */
const MAX_WORK = 2_000_000;

/** A deterministic automaton over code points: state 0 is the first, and each state can still reach acceptance. */
export interface Automaton {
  /** First code point of each class of characters; a class ends where the next begins. starts[0] is 0. */
  readonly starts: readonly number[];
  /** [states × classes], the next state or −1. */
  readonly next: Int32Array;
  readonly accepts: Uint8Array;
  /** Number of states; 0 if nothing is accepted. */
  readonly size: number;
}

/** The texts that an expression matches as a whole, or, if `search`, somewhere within. */
export function fromRegex(regex: Regex, search = false): Automaton {
  const nfa = new Nfa();
  const [from, to] = [nfa.state(), nfa.state()];
  nfa.add(regex, from, to);
  if (search) {
    nfa.loop(from);
    nfa.loop(to);
  }
  return nfa.determinise(from, to);
}

const START = -1;
const END = -2;

class Nfa {
  /** By state: other states reached without a character, each behind a guard: 0, START or END. */
  readonly #free: number[][] = [];
  readonly #sets: { set: CharSet; to: number }[][] = [];

  state(): number {
    if (this.#free.length >= MAX_NFA) throw tooLarge("a pattern", MAX_NFA);
    this.#sets.push([]);
    return this.#free.push([]) - 1;
  }

  loop(state: number): void {
    this.#sets[state]!.push({ set: [[0, MAX_CODE_POINT]], to: state });
  }

  add(regex: Regex, from: number, to: number): void {
    if (regex.type === "set") this.#sets[from]!.push({ set: regex.set, to });
    else if (regex.type === "start") this.#free[from]!.push(to, START);
    else if (regex.type === "end") this.#free[from]!.push(to, END);
    else if (regex.type === "any") for (const item of regex.items) this.add(item, from, to);
    else if (regex.type === "all") {
      let at = from;
      for (const item of regex.items) {
        const end = this.state();
        this.add(item, at, end);
        at = end;
      }
      this.#free[at]!.push(to, 0);
    } else if (regex.type === "repeat") this.#repeat(regex.item, regex.min, regex.max, from, to);
  }

  #repeat(item: Regex, min: number, max: number, from: number, to: number): void {
    let at = this.state();
    this.#free[from]!.push(at, 0);
    for (let i = 0; i < min; i++) at = this.#once(item, at);
    if (max === Number.POSITIVE_INFINITY) this.#free[this.#once(item, at)]!.push(at, 0);
    else {
      for (let i = min; i < max; i++) {
        this.#free[at]!.push(to, 0);
        at = this.#once(item, at);
      }
    }
    this.#free[at]!.push(to, 0);
  }

  #once(item: Regex, from: number): number {
    const to = this.state();
    this.add(item, from, to);
    return to;
  }

  determinise(from: number, to: number): Automaton {
    const starts = boundaries(this.#sets.flat().map(({ set }) => set));
    const classes = starts.length;
    const classAt = new Map(starts.map((start, index) => [start, index]));
    const ids = new Map<string, number>();
    const sets: (readonly number[])[] = [];
    const rows: number[] = [];
    let work = 0;
    const intern = (seeds: readonly number[], atStart: boolean): number => {
      if (seeds.length === 0) return -1;
      const set = this.#close(seeds, atStart, false);
      work += set.length;
      if (work > MAX_WORK) throw tooLarge("a pattern's automaton", MAX_WORK);
      const key = `${atStart ? "^" : ""}${set.join()}`;
      let id = ids.get(key);
      if (id === undefined) {
        id = sets.push(set) - 1;
        ids.set(key, id);
        checkSize(sets.length, classes);
      }
      return id;
    };
    intern([from], true);
    const accepts: number[] = [];
    for (let id = 0; id < sets.length; id++) {
      const set = sets[id]!;
      const ends = this.#close(set, id === 0, true);
      accepts.push(ends.includes(to) ? 1 : 0);
      work += ends.length;
      const targets: number[][] = Array.from({ length: classes }, () => []);
      for (const state of set) {
        for (const { set: chars, to: target } of this.#sets[state]!) {
          for (const [lo, hi] of chars) {
            for (let c = classAt.get(lo)!; c < classes && starts[c]! <= hi; c++) {
              targets[c]!.push(target);
              work++;
            }
          }
        }
      }
      for (const seeds of targets) rows.push(intern(seeds, false));
    }
    return trim({
      starts,
      next: Int32Array.from(rows),
      accepts: Uint8Array.from(accepts),
      size: sets.length,
    });
  }

  #close(seeds: readonly number[], atStart: boolean, atEnd: boolean): number[] {
    const seen = new Set(seeds);
    const stack = [...seen];
    for (let state = stack.pop(); state !== undefined; state = stack.pop()) {
      const free = this.#free[state]!;
      for (let i = 0; i < free.length; i += 2) {
        const [target, guard] = [free[i]!, free[i + 1]!];
        if ((guard === START && !atStart) || (guard === END && !atEnd) || seen.has(target)) continue;
        seen.add(target);
        stack.push(target);
      }
    }
    return [...seen].sort((a, b) => a - b);
  }
}

/** Where a character's class changes: the first of each range, and what comes after its last. */
function boundaries(sets: readonly CharSet[]): number[] {
  const starts = new Set([0]);
  for (const set of new Set(sets)) {
    for (const [lo, hi] of set) {
      starts.add(lo);
      if (hi < MAX_CODE_POINT) starts.add(hi + 1);
    }
  }
  return [...starts].sort((a, b) => a - b);
}

function checkSize(states: number, classes: number): void {
  if (states > MAX_STATES) throw tooLarge("a pattern's automaton", MAX_STATES);
  if (states * classes > MAX_TABLE) throw tooLarge("a pattern's table", MAX_TABLE);
}

/** Drops states that can't reach acceptance, and what only they lead to. */
function trim({ starts, next, accepts, size }: Automaton): Automaton {
  const classes = starts.length;
  const before: number[][] = Array.from({ length: size }, () => []);
  for (let i = 0; i < size * classes; i++) {
    const to = next[i]!;
    if (to >= 0) before[to]!.push(Math.floor(i / classes));
  }
  const live = new Uint8Array(size);
  const stack: number[] = [];
  for (let state = 0; state < size; state++) if (accepts[state]) stack.push(state);
  for (const state of stack) live[state] = 1;
  for (let state = stack.pop(); state !== undefined; state = stack.pop()) {
    for (const other of before[state]!) {
      if (live[other]) continue;
      live[other] = 1;
      stack.push(other);
    }
  }
  if (!live[0]) return { starts: [0], next: new Int32Array(0), accepts: new Uint8Array(0), size: 0 };
  const renamed = new Int32Array(size).fill(-1);
  const order = [0];
  renamed[0] = 0;
  for (const state of order) {
    for (let c = 0; c < classes; c++) {
      const to = next[state * classes + c]!;
      if (to >= 0 && live[to] && renamed[to]! < 0) renamed[to] = order.push(to) - 1;
    }
  }
  const out = new Int32Array(order.length * classes).fill(-1);
  order.forEach((state, id) => {
    for (let c = 0; c < classes; c++) {
      const to = next[state * classes + c]!;
      if (to >= 0 && live[to]) out[id * classes + c] = renamed[to]!;
    }
  });
  return {
    starts,
    next: out,
    accepts: Uint8Array.from(order, (state) => accepts[state]!),
    size: order.length,
  };
}

/** Builds the part that is reached of an automaton whose states have names; undefined is no transition. */
export function explore<T>(
  starts: readonly number[],
  first: T,
  name: (state: T) => string | number,
  step: (state: T, charClass: number) => T | undefined,
  accept: (state: T) => boolean,
): Automaton {
  const ids = new Map([[name(first), 0]]);
  const states = [first];
  const rows: number[] = [];
  for (let id = 0; id < states.length; id++) {
    for (let c = 0; c < starts.length; c++) {
      const to = step(states[id]!, c);
      if (to === undefined) {
        rows.push(-1);
        continue;
      }
      const key = name(to);
      let target = ids.get(key);
      if (target === undefined) {
        target = states.push(to) - 1;
        ids.set(key, target);
        checkSize(states.length, starts.length);
      }
      rows.push(target);
    }
  }
  return trim({
    starts,
    next: Int32Array.from(rows),
    accepts: Uint8Array.from(states, (state) => (accept(state) ? 1 : 0)),
    size: states.length,
  });
}

/** What both accept (or, with `butNot`, the first alone). */
export function both(a: Automaton, b: Automaton, butNot = false): Automaton {
  if (a.size === 0 || (b.size === 0 && butNot)) return a;
  if (b.size === 0) return b;
  const starts = [...new Set([...a.starts, ...b.starts])].sort((x, y) => x - y);
  const classA = starts.map((start) => classOf(a, start));
  const classB = starts.map((start) => classOf(b, start));
  return explore<readonly [number, number]>(
    starts,
    [0, 0],
    ([p, q]) => p * (b.size + 1) + q + 1,
    ([p, q], c) => {
      const toA = a.next[p * a.starts.length + classA[c]!]!;
      const toB = q < 0 ? -1 : b.next[q * b.starts.length + classB[c]!]!;
      return toA < 0 || (toB < 0 && !butNot) ? undefined : [toA, toB];
    },
    ([p, q]) => a.accepts[p] === 1 && (q >= 0 && b.accepts[q] === 1) !== butNot,
  );
}

/** Texts of `min` to `max` code points. */
export function ofLength(a: Automaton, min: number, max: number): Automaton {
  if (a.size === 0 || (min <= 0 && max === Number.POSITIVE_INFINITY)) return a;
  const last = max === Number.POSITIVE_INFINITY ? min : max;
  return explore<readonly [number, number]>(
    a.starts,
    [0, 0],
    ([state, length]) => length * a.size + state,
    ([state, length], c) => {
      const to = a.next[state * a.starts.length + c]!;
      if (to < 0 || length >= max) return undefined;
      return [to, Math.min(length + 1, last)];
    },
    ([state, length]) => a.accepts[state] === 1 && length >= min && length <= max,
  );
}

function classOf({ starts }: Automaton, code: number): number {
  let [lo, hi] = [0, starts.length];
  while (hi - lo > 1) {
    const middle = (lo + hi) >> 1;
    if (starts[middle]! <= code) lo = middle;
    else hi = middle;
  }
  return lo;
}

export function accepts(a: Automaton, text: string): boolean {
  let state = a.size === 0 ? -1 : 0;
  for (const char of text) {
    if (state < 0) return false;
    state = a.next[state * a.starts.length + classOf(a, char.codePointAt(0)!)]!;
  }
  return state >= 0 && a.accepts[state] === 1;
}

/** Transitions of one state, by target. */
export function transitions(a: Automaton, state: number): Map<number, [number, number][]> {
  const out = new Map<number, [number, number][]>();
  for (let c = 0; c < a.starts.length; c++) {
    const to = a.next[state * a.starts.length + c]!;
    if (to < 0) continue;
    const range: [number, number] = [a.starts[c]!, (a.starts[c + 1] ?? MAX_CODE_POINT + 1) - 1];
    const ranges = out.get(to);
    if (!ranges) out.set(to, [range]);
    else if (ranges.at(-1)![1] === range[0] - 1) ranges.at(-1)![1] = range[1];
    else ranges.push(range);
  }
  return out;
}

/**
 * The part in which every beginning can be finished in endlessly many ways, so that one is left however many are taken.
 */
export function endless(a: Automaton): Automaton {
  const classes = a.starts.length;
  // States from which a cycle can be reached: what is left after taking away states without successors, again and again.
  const out = new Int32Array(a.size);
  const before: number[][] = Array.from({ length: a.size }, () => []);
  for (let i = 0; i < a.size * classes; i++) {
    const to = a.next[i]!;
    if (to < 0) continue;
    const from = Math.floor(i / classes);
    out[from]!++;
    before[to]!.push(from);
  }
  const ended: number[] = [];
  for (let state = 0; state < a.size; state++) if (out[state] === 0) ended.push(state);
  const finite = new Uint8Array(a.size);
  for (let state = ended.pop(); state !== undefined; state = ended.pop()) {
    finite[state] = 1;
    for (const other of before[state]!) if (--out[other]! === 0) ended.push(other);
  }
  if (a.size === 0 || finite[0])
    return { starts: [0], next: new Int32Array(0), accepts: new Uint8Array(0), size: 0 };
  return trim({ ...a, next: a.next.map((to) => (to >= 0 && finite[to] ? -1 : to)) });
}

/** All texts that are accepted, or undefined if they are more than `limit`. */
export function texts(a: Automaton, limit: number): string[] | undefined {
  const out: string[] = [];
  let level: (readonly [state: number, text: string])[] = a.size === 0 ? [] : [[0, ""]];
  while (level.length > 0) {
    const next: (readonly [number, string])[] = [];
    for (const [state, text] of level) {
      if (a.accepts[state]) out.push(text);
      for (const [to, ranges] of transitions(a, state)) {
        for (const [lo, hi] of ranges) {
          // each beginning leads to a text of its own
          if (hi - lo + next.length + out.length >= limit) return undefined;
          for (let code = lo; code <= hi; code++) next.push([to, text + String.fromCodePoint(code)]);
        }
      }
    }
    level = next;
  }
  return out.length > limit ? undefined : out;
}
