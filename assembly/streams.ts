/**
 * How products of few tokens go through a matrix: in four bands side by side, a kilobyte of each in turn.
 *
 * Such products wait for memory. What runs ahead of a kernel in the processor, its prefetcher first of all, works within pages
 * of 4 KB, and gets further in four pages at a time than in one: on an Intel Xeon (Sapphire Rapids class) products of one token are
 * 1.2 to 1.5 times as fast. WebAssembly has no prefetch, and touching ahead gains nothing there: a load that waits keeps all after it
 * from retiring.
 */

const STREAMS = 4;
/** Bytes of weights of one stream before it is the next one's turn. */
export const TURN = 1024;

/** Groups of rows in each band; the last bands may have fewer, or none. */
export function bandOf(groups: i32): i32 {
  return (groups + STREAMS - 1) / STREAMS;
}

/** How many bands have an n-th group. */
export function streamsAt(n: i32, groups: i32, band: i32): i32 {
  return (groups - n + band - 1) / band;
}
