/**
 * MXFP4, the format of gpt-oss's expert weights (OCP Microscaling Formats 1.0, §5.3): blocks of 32 values along
 * the input dimension, each a 4-bit float E2M1, times one power of two, the E8M0 scale 2^(byte − 127).
 * As in OpenAI's `gpt_oss/torch/weights.py`; 4.25 bits a weight.
 */

/** Bytes of a block of 32 values, its scale apart. */
const BYTES_PER_BLOCK = 16;

/** E2M1: sign, 2 exponent bits, 1 of mantissa. */
export const FP4_VALUES: Float32Array = Float32Array.of(
  ...[0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0],
  ...[-0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0],
);

/** E8M0: 2^(byte − 127), the first a subnormal of float32; 255 is NaN. */
export const E8M0_VALUES: Float32Array = new Float32Array(
  Uint32Array.from({ length: 256 }, (_, byte) => {
    if (byte === 0) return 0x00400000;
    return byte === 255 ? 0x7fc00000 : byte << 23;
  }).buffer,
);

/**
 * Dequantises `out.length / 32` blocks. Every value is exact in float32 (and in bfloat16).
 *
 * @param blocks 16 bytes a block: element 2j in the low nibble of byte j, element 2j+1 in the high one
 * @param scales one byte a block
 */
export function dequantizeMxfp4(blocks: Uint8Array, scales: Uint8Array, out: Float32Array): void {
  for (let block = 0, o = 0, i = 0; o < out.length; block++) {
    const scale = E8M0_VALUES[scales[block]!]!;
    for (const end = i + BYTES_PER_BLOCK; i < end; i++, o += 2) {
      const byte = blocks[i]!;
      out[o] = FP4_VALUES[byte & 15]! * scale;
      out[o + 1] = FP4_VALUES[byte >> 4]! * scale;
    }
  }
}

/** Twice the values of {@link FP4_VALUES}: integers. */
const FP4_DOUBLED: Int8Array = Int8Array.from(FP4_VALUES, (value) => 2 * value);

/**
 * The doubled values of `scales.length` blocks as integers, and the scales as the float32 whose exponent field is the byte: the
 * scale is 0, not 2^-127, for a byte of 0, and infinite for 255.
 */
export function unpackMxfp4(
  blocks: Uint8Array,
  scaleBytes: Uint8Array,
  values: Int8Array,
  scales: Float32Array,
): void {
  for (let i = 0, o = 0; o < values.length; i++, o += 2) {
    const byte = blocks[i]!;
    values[o] = FP4_DOUBLED[byte & 15]!;
    values[o + 1] = FP4_DOUBLED[byte >> 4]!;
  }
  const bits = new Uint32Array(scales.buffer, scales.byteOffset, scales.length);
  for (let block = 0; block < bits.length; block++) bits[block] = scaleBytes[block]! << 23;
}
