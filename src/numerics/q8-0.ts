import { decodeFloat16, encodeFloat16 } from "./float.ts";

/** ggml's Q8_0: blocks of 32 values, a float16 scale and 32 signed bytes. */
const BYTES_PER_BLOCK = 34;

/** Dequantises `out.length / 32` blocks; exact in float32 (11 bits of scale times 7 of value). */
export function dequantizeQ8_0(data: Uint8Array, out: Float32Array): void {
  for (let o = 0, i = 0; o < out.length; i += BYTES_PER_BLOCK) {
    const scale = decodeFloat16(data[i]! | (data[i + 1]! << 8));
    for (let j = 2; j < BYTES_PER_BLOCK; j++) out[o++] = scale * ((data[i + j]! << 24) >> 24);
  }
}

/** The integers and float16 scales of `scales.length` blocks, apart. */
export function unpackQ8_0(data: Uint8Array, values: Int8Array, scales: Float32Array): void {
  for (let block = 0, i = 0; block < scales.length; block++, i += BYTES_PER_BLOCK) {
    scales[block] = decodeFloat16(data[i]! | (data[i + 1]! << 8));
    values.set(data.subarray(i + 2, i + BYTES_PER_BLOCK), block * 32);
  }
}

/** Magnitudes from here on have no scale in float16. */
export const Q8_0_LIMIT: number = 127 * 65520;

/**
 * As ggml's `quantize_row_q8_0_ref`: the scale is the largest magnitude over 127, values round half away from zero.
 *
 * @param values in blocks of 32, all below {@link Q8_0_LIMIT} in magnitude
 */
export function quantizeQ8_0(values: Float32Array, out: Uint8Array): void {
  for (let block = 0, to = 0; block < values.length; block += 32) {
    let largest = 0;
    for (let i = block; i < block + 32; i++) largest = Math.max(largest, Math.abs(values[i]!));
    const scale = Math.fround(largest / 127);
    const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
    const half = encodeFloat16(scale);
    out[to++] = half & 255;
    out[to++] = half >> 8;
    for (let i = block; i < block + 32; i++) {
      const x = Math.fround(values[i]! * inverse);
      out[to++] = x < 0 ? -Math.floor(0.5 - x) : Math.floor(x + 0.5);
    }
  }
}
