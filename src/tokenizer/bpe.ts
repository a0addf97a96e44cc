import type { Steps } from "./steps.ts";

/** Ranks by token, and a token is a string of one character (0 to 255) for each byte. A rank is also the token's id. */
export type Ranks = ReadonlyMap<string, number>;

/**
 * Byte pair encoding of one piece that isn't a token itself, as tiktoken does it: the piece starts as single bytes, and as long
 * as two neighbours together are a token, the pair of lowest rank is joined, the leftmost of equals. (No list of merges is
 * needed: joining by rank of the result is what o200k's merges say.)
 *
 * A linked list and a heap keep it at O(n log n) for n bytes, whatever they are. Appends the ids to `out`. Its steps count for
 * nothing: whoever hands it the piece tells of its length.
 *
 * @param piece bytes as characters
 * @param longest length in bytes of the longest token, beyond which no look-up is needed
 */
export function* joinPairs(piece: string, ranks: Ranks, longest: number, out: number[]): Steps<void> {
  // A part is named by where it starts. next[i] is where the part after i starts, previous[i] the part ahead of it.
  const length = piece.length;
  const next = new Uint32Array(length);
  const previous = new Int32Array(length + 1);
  const pairRank = new Int32Array(length); // of part i joined with the part after it, -1 if that is no token
  const heap: number[] = [];

  const lookUp = (start: number): void => {
    const middle = next[start]!;
    const end = middle < length ? next[middle]! : Infinity;
    const rank = end - start <= longest ? ranks.get(piece.slice(start, end)) : undefined;
    pairRank[start] = rank ?? -1;
    if (rank !== undefined) push(heap, rank * POSITIONS + start);
  };

  for (let i = 0; i < length; i++) {
    next[i] = i + 1;
    previous[i] = i - 1;
  }
  for (let i = 0; i < length; i++) {
    if (i % STEP === STEP - 1) yield 0;
    lookUp(i);
  }

  for (let joined = 1; heap.length > 0; joined++) {
    if (joined % STEP === 0) yield 0;
    const entry = pop(heap);
    const start = entry % POSITIONS;
    if (pairRank[start] !== (entry - start) / POSITIONS) continue; // one of the two has been joined elsewhere since
    const middle = next[start]!;
    const end = next[middle]!;
    next[start] = end;
    previous[end] = start;
    pairRank[middle] = -1;
    lookUp(start);
    if (start > 0) lookUp(previous[start]!);
  }

  for (let i = 0; i < length; i = next[i]!) {
    const rank = ranks.get(piece.slice(i, next[i]!));
    if (rank !== undefined) out.push(rank); // always: single bytes are tokens, and joined parts were looked up
  }
}

/** Look-ups between two steps: a millisecond or a few. */
const STEP = 4096;

// A heap entry is rank · 2³¹ + position: one number that sorts by rank, then from the left. Ranks fit in 20 bits.
const POSITIONS = 2 ** 31;

function push(heap: number[], entry: number): void {
  let child = heap.length;
  while (child > 0) {
    const parent = (child - 1) >> 1;
    if (heap[parent]! <= entry) break;
    heap[child] = heap[parent]!;
    child = parent;
  }
  heap[child] = entry;
}

function pop(heap: number[]): number {
  const top = heap[0]!;
  const entry = heap.pop()!;
  const length = heap.length;
  if (length === 0) return top;
  let parent = 0;
  for (;;) {
    let child = 2 * parent + 1;
    if (child >= length) break;
    if (child + 1 < length && heap[child + 1]! < heap[child]!) child++;
    if (heap[child]! >= entry) break;
    heap[parent] = heap[child]!;
    parent = child;
  }
  heap[parent] = entry;
  return top;
}
