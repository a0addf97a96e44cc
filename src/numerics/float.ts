/**
 * The small floating-point formats of checkpoints and activations.
 * Decoding is exact; rounding is to nearest, ties to even, as PyTorch's casts do.
 */

const f32 = new Float32Array(1);
const bits = new Uint32Array(f32.buffer);

/** float64 → float32 → bfloat16 (8 exponent bits, 7 of mantissa), as a number. */
export function roundToBfloat16(x: number): number {
  f32[0] = x;
  const u = bits[0]!;
  if ((u & 0x7fffffff) > 0x7f800000) return Number.NaN;
  bits[0] = (u + 0x7fff + ((u >>> 16) & 1)) & 0xffff0000;
  return f32[0]!;
}

/** A bfloat16 is the upper half of a float32. */
export function decodeBfloat16(u16: number): number {
  bits[0] = u16 << 16;
  return f32[0]!;
}

/** IEEE 754 binary16: 5 exponent bits (bias 15), 10 of mantissa. */
export function decodeFloat16(u16: number): number {
  const sign = u16 & 0x8000 ? -1 : 1;
  const exponent = (u16 >> 10) & 0x1f;
  const mantissa = u16 & 0x3ff;
  if (exponent === 0) return sign * mantissa * (1 / (1 << 24));
  if (exponent === 0x1f) return mantissa ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + mantissa / 1024) * POWERS_OF_TWO[exponent]!;
}

/** Decodes `out.length` little-endian values, at any alignment. */
export function decodeFloats(encoding: "f32" | "f16" | "bf16", data: Uint8Array, out: Float32Array): void {
  switch (encoding) {
    case "f32":
      new Uint8Array(out.buffer, out.byteOffset, out.byteLength).set(data.subarray(0, out.byteLength));
      break;
    case "bf16": {
      const words = new Uint32Array(out.buffer, out.byteOffset, out.length);
      for (let i = 0; i < out.length; i++) words[i] = (data[2 * i]! | (data[2 * i + 1]! << 8)) << 16;
      break;
    }
    case "f16":
      for (let i = 0; i < out.length; i++) out[i] = decodeFloat16(data[2 * i]! | (data[2 * i + 1]! << 8));
      break;
  }
}

/** The nearest binary16 of a float32, ties to even; ±∞ from 65520 on. */
export function encodeFloat16(x: number): number {
  f32[0] = x;
  const sign = (bits[0]! >>> 16) & 0x8000;
  const magnitude = bits[0]! & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude < 0x38800000) return sign | roundToEven(Math.abs(f32[0]!) * (1 << 24)); // a multiple of 2^-24
  return sign | ((magnitude + 0xfff + ((magnitude >>> 13) & 1) - 0x38000000) >>> 13);
}

/** The nearest integer, ties to even, for |x| ≤ 2^51: a double's sum with 1.5 · 2^52 has no room for a fraction. */
export function roundToEven(x: number): number {
  return x + 0x18000000000000 - 0x18000000000000;
}

// 2 ** n with an integer n could go through an engine's pow(): a table leaves no doubt.
const POWERS_OF_TWO: Float64Array = Float64Array.from({ length: 31 }, (_, e) =>
  e < 15 ? 1 / (1 << (15 - e)) : 1 << (e - 15),
);
