import { exp } from "../../numerics/elementary.ts";
import { roundToBfloat16 } from "../../numerics/float.ts";
import { E8M0_VALUES } from "../../numerics/mxfp4.ts";

/**
 * Random tensors by a counter, so that a range of bytes can be made on its own, at a gigabyte a second or so, and every
 * JavaScript engine makes the same. Fit for weights of test models; neither for statistics nor for secrets.
 */

/** Writes the bytes of a tensor from byte `first` on. */
export type Fill = (first: number, out: Uint8Array) => void;

/** Which stream of random numbers: one a seed and tensor name. */
export interface Stream {
  readonly offset: number;
  readonly multiplier: number;
}

/** FNV-1a of the name, twice over with different starts. */
export function stream(seed: number, name: string): Stream {
  let a = Math.imul(seed ^ 0x811c9dc5, 0x01000193);
  let b = Math.imul(seed ^ 0x2545f491, 0x9e3779b1);
  for (let i = 0; i < name.length; i++) {
    a = Math.imul(a ^ name.charCodeAt(i), 0x01000193);
    b = Math.imul(b ^ name.charCodeAt(i), 0x85ebca6b);
  }
  return { offset: a, multiplier: b | 1 };
}

/** 32 random bits for a counter: xorshifts and multiplications in turn, as in MurmurHash3's finaliser. */
function random({ offset, multiplier }: Stream, counter: number): number {
  let x = Math.imul(counter + offset, 0x9e3779b1);
  x = Math.imul(x ^ (x >>> 16), multiplier);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return x ^ (x >>> 16);
}

/** Uniform bytes, such as the codes of MXFP4: all 16 alike, so that their rms is {@link RMS_OF_CODES}. */
export function uniformBytes(from: Stream): Fill {
  return (first, out) => {
    const words = asWords(first, out);
    const start = first / 4;
    for (let i = 0; i < words.length; i++) words[i] = random(from, start + i);
  };
}

/** Of the 16 values of E2M1: sqrt(137 / 16). */
const RMS_OF_CODES: number = Math.sqrt((2 * (0.25 + 1 + 2.25 + 4 + 9 + 16 + 36)) / 16);

/** E8M0 scales that give MXFP4 about this standard deviation; they vary by a factor of 8. */
export function mxfp4Scales(from: Stream, std: number): Fill {
  let middle = 127;
  while (E8M0_VALUES[middle]! * RMS_OF_CODES > std * Math.SQRT2) middle--;
  const table = new Uint8Array(256);
  for (let i = 0; i < 256; i++) table[i] = middle + (i < 38 ? -2 : i < 128 ? -1 : i < 218 ? 0 : 1);
  return (first, out) => {
    let word = random(from, first >> 2);
    for (let i = 0; i < out.length; i++) {
      const byte = first + i;
      if (byte % 4 === 0) word = random(from, byte >> 2);
      out[i] = table[(word >>> (8 * (byte & 3))) & 255]!;
    }
  };
}

/** Normally distributed bfloat16, from 65536 quantiles. */
export function normalBfloat16(from: Stream, std: number, mean = 0): Fill {
  const table = normalTable(std, mean);
  return (first, out) => {
    const words = asWords(first, out);
    const start = first / 4;
    for (let i = 0; i < words.length; i++) {
      const bits = random(from, start + i);
      words[i] = table[bits & 0xffff]! | (table[bits >>> 16]! << 16);
    }
  };
}

const tables = new Map<string, Uint16Array>();

function normalTable(std: number, mean: number): Uint16Array {
  const key = `${std} ${mean}`;
  let table = tables.get(key);
  if (table === undefined) {
    const value = new Float32Array(1);
    const bits = new Uint32Array(value.buffer);
    table = Uint16Array.from(normalQuantiles(), (x) => {
      value[0] = roundToBfloat16(mean + std * x);
      return bits[0]! >>> 16;
    });
    tables.set(key, table);
  }
  return table;
}

/** x for which the standard normal distribution reaches (i + ½) / 65536. */
function normalQuantiles(): Float64Array {
  const quantiles = new Float64Array(65536);
  const step = 2 ** -14;
  const density = 1 / Math.sqrt(2 * Math.PI);
  let reached = 0.5;
  let x = 0;
  for (let i = 32768; i < 65536; i++) {
    while (reached < (i + 0.5) / 65536) {
      const middle = x + step / 2;
      reached += density * exp((-middle * middle) / 2) * step;
      x += step;
    }
    quantiles[i] = x;
    quantiles[65535 - i] = -x;
  }
  return quantiles;
}

/** The output as 32-bit words: both ends of the range must fall between two of them. */
function asWords(first: number, out: Uint8Array): Int32Array {
  if (first % 4 !== 0 || out.length % 4 !== 0 || out.byteOffset % 4 !== 0) {
    throw new RangeError(`not whole words: ${out.length} bytes from ${first} on`);
  }
  return new Int32Array(out.buffer, out.byteOffset, out.length / 4);
}
