import type { Call, Rules } from "./builder.ts";
import { tooLarge } from "./errors.ts";

/** Positions that a text may have in a grammar at the same time. */
const MAX_POSITIONS = 10_000;
/** States and frames kept for reuse; beyond, all are forgotten and made again as needed. */
const MAX_KEPT = 30_000;

/**
 * Where rules return to: all callers of a rule at one place of the text share a frame, so that an ambiguous grammar
 * doesn't multiply stacks. Equal frames are one object.
 */
export class Frame {
  readonly id: number;
  /** Node and frame in which to go on, for each caller. */
  readonly returns: readonly (readonly [node: number, frame: Frame])[];
  /** Of a call in a row: what is called, and how often it must and may return here, this time included. */
  readonly repeat: { readonly call: Call; readonly min: number; readonly max: number } | undefined;
  /** The nearest frame outwards that isn't one of a repetition. */
  readonly base: Frame;
  /** The same with counts no higher than a token can use up: such frames allow the same tokens. */
  readonly capped: Frame;
  /** The state after a return from here. */
  returned: State | undefined;

  constructor(id: number, returns: Frame["returns"], repeat: Frame["repeat"], capped: Frame | undefined) {
    this.id = id;
    this.returns = returns;
    this.repeat = repeat;
    this.base = repeat ? returns[0]![1].base : this;
    this.capped = capped ?? this;
  }
}

/** All positions that a text can have in a grammar. Equal states are one object. */
export interface State {
  readonly nodes: readonly number[];
  readonly frames: readonly Frame[];
  /** Whether the text may end here. */
  readonly complete: boolean;
  /** By class of bytes: the state after one, null if it can't follow. */
  readonly next: (State | null | undefined)[];
  readonly generation: number;
}

/** Runs rules over bytes. States are found as they are needed, and kept. */
export class Machine {
  readonly #rules: Rules;
  /** A token has at most so many bytes. */
  readonly #longest: number;
  /** Class of each byte: those that no arrow of the grammar tells apart. */
  readonly classes: Uint8Array;
  readonly #byteOf: readonly number[];
  readonly #reach: (readonly number[] | undefined)[];
  readonly root: Frame = new Frame(0, [], undefined, undefined);
  readonly start: State;
  #frames: Map<string, Frame> = new Map();
  #states: Map<string, State> = new Map();
  #frameIds = 0;
  #generation = 0;

  constructor(rules: Rules, longest: number) {
    this.#rules = rules;
    this.#longest = longest;
    this.classes = byteClasses(rules);
    this.#byteOf = Array.from({ length: Math.max(...this.classes) + 1 }, (_, c) => this.classes.indexOf(c));
    this.#reach = new Array<undefined>(rules.bytes.length);
    const closure = new Closure(this);
    closure.add(rules.starts[rules.root]!, this.root);
    this.start = closure.finish()!;
  }

  get rules(): Rules {
    return this.#rules;
  }

  /** The state after a byte of this class, or null if none can follow. */
  step(state: State, byteClass: number): State | null {
    const known = state.next[byteClass];
    if (known !== undefined) return known;
    const byte = this.#byteOf[byteClass]!;
    const closure = new Closure(this);
    for (let i = 0; i < state.nodes.length; i++) {
      const arrows = this.#rules.bytes[state.nodes[i]!]!;
      for (let k = 0; k < arrows.length; k += 3) {
        if (byte >= arrows[k]! && byte <= arrows[k + 1]!) closure.add(arrows[k + 2]!, state.frames[i]!);
      }
    }
    const next = closure.finish();
    state.next[byteClass] = next;
    return next;
  }

  /** The state after a return from a frame. */
  returned(frame: Frame): State {
    if (!frame.returned || frame.returned.generation !== this.#generation) {
      const closure = new Closure(this);
      closure.leave(frame);
      frame.returned = closure.finish()!;
    }
    return frame.returned;
  }

  /** The one object for these positions. */
  state(positions: readonly (readonly [node: number, frame: Frame])[], complete: boolean): State {
    if (positions.length > MAX_POSITIONS) throw tooLarge("the ways to read this text", MAX_POSITIONS);
    const sorted = [...positions].sort(([a, f], [b, g]) => a - b || f.id - g.id);
    let key = complete ? "." : "";
    for (const [node, frame] of sorted) key += `${node},${frame.id};`;
    let state = this.#states.get(key);
    if (!state) {
      if (this.#states.size + this.#frames.size > MAX_KEPT) this.#forget();
      state = {
        nodes: sorted.map(([node]) => node),
        frames: sorted.map(([, frame]) => frame),
        complete,
        next: new Array<undefined>(this.#byteOf.length),
        generation: this.#generation,
      };
      this.#states.set(key, state);
    }
    return state;
  }

  /** The same state among those that are kept now. */
  current(state: State): State {
    if (state.generation === this.#generation) return state;
    return this.state(
      state.nodes.map((node, i) => [node, state.frames[i]!]),
      state.complete,
    );
  }

  get generation(): number {
    return this.#generation;
  }

  // What matchers hold stays valid: it is no longer the only one of its kind, that's all.
  #forget(): void {
    this.#states = new Map();
    this.#frames = new Map();
    this.#generation++;
  }

  frame(returns: Frame["returns"]): Frame {
    const sorted = [...returns].sort(([a, f], [b, g]) => a - b || f.id - g.id);
    const key = sorted.map(([node, frame]) => `${node},${frame.id}`).join(";");
    return this.#frame(key, (id) => {
      const same = sorted.every(([, frame]) => frame.capped === frame);
      const capped = same ? undefined : this.frame(unique(sorted.map(([n, f]) => [n, f.capped])));
      return new Frame(id, sorted, undefined, capped);
    });
  }

  repeatFrame(call: Call, min: number, max: number, parent: Frame): Frame {
    const key = `${call.rule}*${call.to},${min},${max},${parent.id}`;
    return this.#frame(key, (id) => {
      const cap = this.#longest + 1;
      const [low, high] = [Math.min(min, cap), max === Number.POSITIVE_INFINITY ? max : Math.min(max, cap)];
      const same = low === min && high === max && parent.capped === parent;
      const capped = same ? undefined : this.repeatFrame(call, low, high, parent.capped);
      return new Frame(id, [[call.to, parent]], { call, min, max }, capped);
    });
  }

  #frame(key: string, make: (id: number) => Frame): Frame {
    let frame = this.#frames.get(key);
    if (!frame) {
      frame = make(++this.#frameIds);
      this.#frames.set(key, frame);
    }
    return frame;
  }

  /** Nodes reached without a byte where something happens: a byte is taken, a rule called, or the rule ends. */
  reach(node: number): readonly number[] {
    let reached = this.#reach[node];
    if (!reached) {
      const { bytes, free, calls, ends } = this.#rules;
      const seen = new Set([node]);
      for (const at of seen) for (const to of free[at]!) seen.add(to);
      reached = [...seen].filter((at) => bytes[at]!.length > 0 || calls[at]!.length > 0 || ends[at] === 1);
      this.#reach[node] = reached;
    }
    return reached;
  }
}

/** Gathers the positions of one state: first what follows within open rules, then the rules that are called there. */
class Closure {
  readonly #machine: Machine;
  readonly #rules: Rules;
  readonly #nodes: number;
  readonly #seen: Set<number> = new Set();
  readonly #left: Set<Frame> = new Set();
  readonly #positions: [number, Frame][] = [];
  readonly #called: Map<number, { call: Call; frame: Frame; min: number; max: number }[]> = new Map();
  #complete = false;
  #calling = false;

  constructor(machine: Machine) {
    this.#machine = machine;
    this.#rules = machine.rules;
    this.#nodes = this.#rules.bytes.length;
  }

  add(node: number, frame: Frame): void {
    const { bytes, calls, ends } = this.#rules;
    for (const at of this.#machine.reach(node)) {
      const key = at + frame.id * this.#nodes;
      if (this.#seen.has(key)) continue;
      this.#seen.add(key);
      if (this.#seen.size > MAX_POSITIONS) throw tooLarge("the ways to read this text", MAX_POSITIONS);
      if (bytes[at]!.length > 0) this.#positions.push([at, frame]);
      for (const call of calls[at]!) this.#call(call, call.min, call.max, frame);
      // a rule that ends where it began is empty: its callers have gone on already
      if (ends[at] === 1 && !this.#calling) this.leave(frame);
    }
  }

  /** The rule that was called from this frame is over. */
  leave(frame: Frame): void {
    if (this.#left.has(frame)) return;
    this.#left.add(frame);
    if (frame === this.#machine.root) this.#complete = true;
    const { repeat, returns } = frame;
    if (repeat) {
      const { call } = repeat;
      const [min, max] = [Math.max(0, repeat.min - 1), repeat.max - 1];
      if (max > 0) this.#call(call, min, max, returns[0]![1]);
      if (min > 0) return;
    }
    for (const [node, outer] of returns) this.add(node, outer);
  }

  #call(call: Call, min: number, max: number, frame: Frame): void {
    const calls = this.#called.get(call.rule);
    if (calls) calls.push({ call, frame, min, max });
    else this.#called.set(call.rule, [{ call, frame, min, max }]);
  }

  finish(): State | null {
    const { ranks, starts } = this.#rules;
    this.#calling = true;
    while (this.#called.size > 0) {
      // the rule that no other one begins with: all its callers are known
      let rule = -1;
      for (const other of this.#called.keys()) if (rule < 0 || ranks[other]! < ranks[rule]!) rule = other;
      const calls = this.#called.get(rule)!;
      this.#called.delete(rule);
      const returns: (readonly [number, Frame])[] = [];
      for (const { call, frame, min, max } of calls) {
        if (min > 1 || max > 1) this.add(starts[rule]!, this.#machine.repeatFrame(call, min, max, frame));
        else if (this.#isTail(call, frame)) returns.push(...frame.returns);
        else returns.push([call.to, frame]);
      }
      if (returns.length > 0) this.add(starts[rule]!, this.#machine.frame(unique(returns)));
    }
    if (this.#positions.length === 0 && !this.#complete) return null;
    return this.#machine.state(this.#positions, this.#complete);
  }

  /** Whether nothing is left to do in the caller, so that the rule can return to the caller's callers at once. */
  #isTail({ to }: Call, frame: Frame): boolean {
    if (frame.repeat || frame === this.#machine.root) return false;
    const reached = this.#machine.reach(to);
    const at = reached[0]!;
    const { bytes, calls, ends } = this.#rules;
    return reached.length === 1 && ends[at] === 1 && bytes[at]!.length === 0 && calls[at]!.length === 0;
  }
}

function unique(returns: readonly (readonly [number, Frame])[]): (readonly [number, Frame])[] {
  if (returns.length < 2) return [...returns];
  const seen = new Map<string, readonly [number, Frame]>();
  for (const entry of returns) seen.set(`${entry[0]},${entry[1].id}`, entry);
  return [...seen.values()];
}

function byteClasses({ bytes }: Rules): Uint8Array {
  // Bytes are told apart by the set of arrows that take them; the boundaries of ranges are a refinement of that.
  const starts = new Uint8Array(257);
  for (const arrows of bytes) {
    for (let i = 0; i < arrows.length; i += 3) {
      starts[arrows[i]!] = 1;
      starts[arrows[i + 1]! + 1] = 1;
    }
  }
  const classes = new Uint8Array(256);
  for (let byte = 1; byte < 256; byte++) classes[byte] = classes[byte - 1]! + (starts[byte] ? 1 : 0);
  return classes;
}
