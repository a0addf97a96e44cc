import type { Constraint, Matcher } from "../../src/grammar/index.ts";
import type { Tokenizer } from "../../src/tokenizer/index.ts";

/** A generator of numbers from 0 to 1, the same for the same seed (mulberry32). */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function allowedIds(matcher: Matcher): number[] {
  const ids: number[] = [];
  for (const [word, bits] of matcher.mask().entries()) {
    for (let rest = bits; rest !== 0; rest &= rest - 1) ids.push(word * 32 + (31 - Math.clz32(rest & -rest)));
  }
  return ids;
}

/** Whether a text's own tokens are accepted, and the text may end after them. */
export function acceptsText(constraint: Constraint, tokenizer: Tokenizer, text: string): boolean {
  const matcher = constraint.start();
  return tokenizer.encode(text).every((id) => matcher.accept(id)) && matcher.isComplete;
}

export interface Walk {
  readonly text: string;
  readonly ids: readonly number[];
  /** Whether the text came to an end, rather than to the limit. */
  readonly ended: boolean;
}

/**
 * Writes a text of random tokens among those allowed. After `loose` tokens, what closes strings, arrays and objects is
 * preferred, so that most walks end.
 *
 * @throws if no token is allowed where the text can't end, or a token of the mask isn't accepted
 */
export function walk(
  constraint: Constraint,
  tokenizer: Tokenizer,
  random: () => number,
  loose = 24,
  limit = 600,
): Walk {
  const matcher = constraint.start();
  const ids: number[] = [];
  const closers = ['"', "}", "]", ":", ",", "0", "a"].map((text) => tokenizer.encode(text)[0]!);
  while (ids.length < limit) {
    if (matcher.mustEnd || (matcher.isComplete && random() < 0.3)) break;
    const allowed = allowedIds(matcher);
    if (allowed.length === 0) {
      if (matcher.isComplete) break;
      throw new Error(`dead end after ${JSON.stringify(tokenizer.decode(ids))}`);
    }
    const closing =
      ids.length >= loose && random() < 0.9 ? closers.find((id) => allowed.includes(id)) : undefined;
    const short = random() < 0.5 ? allowed.filter((id) => tokenizer.bytes(id).length === 1) : [];
    const pool = short.length > 0 ? short : allowed;
    const id = closing ?? pool[Math.floor(random() * pool.length)]!;
    if (!matcher.accept(id))
      throw new Error(`token ${id} is in the mask and refused, after ${tokenizer.decode(ids)}`);
    ids.push(id);
  }
  return { text: tokenizer.decode(ids), ids, ended: matcher.isComplete };
}
