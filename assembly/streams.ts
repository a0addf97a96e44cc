/**
 * How products of one or two tokens go through a matrix: several groups of rows side by side, block by block, each group in a band of its own.
 *
 * Such products wait for memory. What runs ahead of a kernel in the processor, its prefetcher first of all, works within pages
 * of 4 KB, and gets further in four pages at a time than in one: on an Intel Xeon (Sapphire Rapids class) products are
 * 1.2 to 1.6 times as fast. WebAssembly has no prefetch, and touching ahead gains nothing there: no load retires before it is done.
 */

const STREAMS = 4;
/** Bytes of weights of one stream before it is the next one's turn. */
export const TURN = 1024;

/** Groups in each band; the last band may have fewer, or none. */
export function bandOf(groups: i32): i32 {
  return (groups + STREAMS - 1) / STREAMS;
}

/** How many bands have an n-th group. */
export function streamsAt(n: i32, groups: i32, band: i32): i32 {
  return (groups - n + band - 1) / band;
}
