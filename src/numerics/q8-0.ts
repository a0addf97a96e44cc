import { decodeFloat16 } from "./float.ts";

/** ggml's Q8_0: blocks of 32 values, a float16 scale and 32 signed bytes. */
const BYTES_PER_BLOCK = 34;

/** Dequantises `out.length / 32` blocks; exact in float32 (11 bits of scale times 7 of value). */
export function dequantizeQ8_0(data: Uint8Array, out: Float32Array): void {
  for (let o = 0, i = 0; o < out.length; i += BYTES_PER_BLOCK) {
    const scale = decodeFloat16(data[i]! | (data[i + 1]! << 8));
    for (let j = 2; j < BYTES_PER_BLOCK; j++) out[o++] = scale * ((data[i + j]! << 24) >> 24);
  }
}
