import { type Automaton, transitions } from "./automaton.ts";
import type { RulesBuilder } from "./builder.ts";
import { type CharSet, complement, intersect } from "./charset.ts";
import { type ByteSequence, utf8Sequences } from "./utf8.ts";

/** How characters are written: as they are, or as within a JSON string. */
export type Writing = "plain" | "json";

/** Characters that a JSON string can't hold as they are: control characters, the quotation mark and the backslash. */
const ESCAPED: CharSet = [
  [0x00, 0x1f],
  [0x22, 0x22],
  [0x5c, 0x5c],
];
const UNESCAPED: CharSet = complement(ESCAPED);

/** Takes the texts that an automaton accepts, in UTF-8; in JSON, escaped only where there is no other way. */
export function embed(
  builder: RulesBuilder,
  automaton: Automaton,
  from: number,
  to: number,
  writing: Writing,
): void {
  const nodes = Array.from({ length: automaton.size }, () => builder.node());
  const arrows = new CharacterArrows(builder);
  for (const [state, node] of nodes.entries()) {
    if (state === 0) builder.skip(from, node);
    if (automaton.accepts[state]) builder.skip(node, to);
    for (const [target, set] of transitions(automaton, state)) arrows.add(node, set, nodes[target]!, writing);
  }
}

/** Takes one character of a set. */
export class CharacterArrows {
  readonly #builder: RulesBuilder;
  /** Nodes from which only the rest of a UTF-8 sequence leads on, by what that is and where it leads. */
  readonly #tails: Map<string, number> = new Map();

  constructor(builder: RulesBuilder) {
    this.#builder = builder;
  }

  add(from: number, set: CharSet, to: number, writing: Writing): void {
    const plain = writing === "json" ? intersect(set, UNESCAPED) : set;
    for (const sequence of utf8Sequences(plain)) this.#sequence(from, sequence, to);
    if (writing === "plain") return;
    for (const [lo, hi] of intersect(set, ESCAPED)) {
      for (let code = lo; code <= hi; code++) {
        const written = JSON.stringify(String.fromCharCode(code)).slice(1, -1);
        const bytes = Array.from(written, (char): [number, number] => [
          char.charCodeAt(0),
          char.charCodeAt(0),
        ]);
        this.#sequence(from, bytes, to);
      }
    }
  }

  #sequence(from: number, sequence: ByteSequence, to: number): void {
    const [[first, last], ...tail] = sequence as [[number, number], ...[number, number][]];
    this.#builder.byte(from, first, last, tail.length === 0 ? to : this.#tail(tail, to));
  }

  #tail(sequence: ByteSequence, to: number): number {
    const key = `${sequence.join(";")}>${to}`;
    let node = this.#tails.get(key);
    if (node === undefined) {
      node = this.#builder.node();
      this.#tails.set(key, node);
      this.#sequence(node, sequence, to);
    }
    return node;
  }
}
