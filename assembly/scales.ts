/** Scales of a block of 8 rows as float32, rows 0 to 3 or 4 to 7. */

/** E8M0: 2^(e − 127), whose bits are e << 23 (0 for e = 0, where the standard has 2^−127; ∞ for 255, its NaN). */
export function lowE8M0(at: usize): v128 {
  return i32x4.shl(i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(at))), 23);
}

export function highE8M0(at: usize): v128 {
  return lowE8M0(at + 4);
}

/**
 * Float16, which the loader has found finite: exponent and mantissa moved to where float32 has them, then
 * multiplied by 2^112, which corrects the exponent's bias, of subnormal numbers too. 0x8fffe000 drops copies of the sign.
 */
export function lowF16(at: usize, mask: v128, bias: v128): v128 {
  return f32x4.mul(v128.and(i32x4.shl(v128.load16x4_s(at), 13), mask), bias);
}

export function highF16(at: usize, mask: v128, bias: v128): v128 {
  return lowF16(at + 8, mask, bias);
}
