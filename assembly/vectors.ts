/** Small steps that several kernels share; the compiler inlines them. */

/** Four floats, from float32 or (T = u16) bfloat16. */
// @ts-ignore: decorator
@inline
export function load4<T>(at: usize): v128 {
  return sizeof<T>() == 4 ? v128.load(at) : i32x4.shl(v128.load16x4_u(at), 16);
}

/** Adds two vectors to those in memory. */
export function accumulate(y: usize, low: v128, high: v128): void {
  v128.store(y, f32x4.add(v128.load(y), low));
  v128.store(y, f32x4.add(v128.load(y, 16), high), 16);
}

/** The low and the high nibbles of 16 bytes. */
export function low(codes: v128, mask: v128): v128 {
  return v128.and(codes, mask);
}

export function high(codes: v128, mask: v128): v128 {
  return v128.and(i16x8.shr_u(codes, 4), mask);
}

/** Bytes of a table, by codes below 16: relaxed SIMD spares the check of those above. */
// @ts-ignore: decorator
@inline
export function lookUp(table: v128, codes: v128): v128 {
  return ASC_FEATURE_RELAXED_SIMD ? i8x16.relaxed_swizzle(table, codes) : i8x16.swizzle(table, codes);
}

/** 16 signed bytes times 16 of 0 … 127: the sums of 8 pairs of products; and the same added to other sums. Relaxed SIMD only. */
export function dot(x: v128, w: v128): v128 {
  return i16x8.relaxed_dot_i8x16_i7x16_s(x, w);
}

// @ts-ignore: decorator
@inline
export function more(sums: v128, x: v128, w: v128): v128 {
  return i16x8.add(sums, dot(x, w));
}
