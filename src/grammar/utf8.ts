import { type CharSet, charSet, intersect } from "./charset.ts";

/** Ranges of bytes, one for each byte of a UTF-8 sequence. */
export type ByteSequence = readonly (readonly [number, number])[];

/** Code points that UTF-8 can express: all but surrogates. */
export const SCALARS: CharSet = [
  [0, 0xd7ff],
  [0xe000, 0x10ffff],
];
/** Where sequences get longer, and where the first byte's bits meet those of the next. */
const LENGTHS: CharSet = [
  [0, 0x7f],
  [0x80, 0x7ff],
  [0x800, 0xffff],
  [0x10000, 0x10ffff],
];

/** UTF-8 of a set of code points, as sequences of byte ranges: a text is in the set if it fits one of them. */
export function utf8Sequences(set: CharSet): ByteSequence[] {
  const out: ByteSequence[] = [];
  for (const length of LENGTHS) {
    for (const [lo, hi] of intersect(intersect(charSet(set), SCALARS), [length])) split(lo, hi, out);
  }
  return out;
}

// Splits until all bytes but the first few are whole ranges 80–BF: then the range is a box of byte ranges.
function split(lo: number, hi: number, out: ByteSequence[]): void {
  for (let bits = 6; bits <= 18; bits += 6) {
    const low = (1 << bits) - 1;
    if (lo >= 0x80 && lo >> bits !== hi >> bits) {
      if ((lo & low) !== 0) {
        split(lo, lo | low, out);
        split((lo | low) + 1, hi, out);
        return;
      }
      if ((hi & low) !== low) {
        split(lo, (hi & ~low) - 1, out);
        split(hi & ~low, hi, out);
        return;
      }
    }
  }
  const first = encode(lo);
  const last = encode(hi);
  out.push(first.map((byte, i) => [byte, last[i]!]));
}

/** UTF-8 of one code point. */
export function encode(code: number): number[] {
  if (code < 0x80) return [code];
  if (code < 0x800) return [0xc0 | (code >> 6), tail(code)];
  if (code < 0x10000) return [0xe0 | (code >> 12), tail(code >> 6), tail(code)];
  return [0xf0 | (code >> 18), tail(code >> 12), tail(code >> 6), tail(code)];
}

function tail(bits: number): number {
  return 0x80 | (bits & 0x3f);
}
