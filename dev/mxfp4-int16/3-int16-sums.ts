/**
 * Sums of four products of pairs stay in int16, as with int8 activations.
 * 1.5 times as fast as the rung before.
 */
import { NIBBLES, ONES, SHIFTED_FP4 } from "../../assembly/tables";

export function multiply(
  codes: usize, scales: usize, q: usize, d: usize, y: usize, groups: i32, blocks: i32,
): void {
  const table = v128.load(SHIFTED_FP4), mask = v128.load(NIBBLES), ones = v128.load(ONES);
  for (let g = 0; g < groups << 1; g++) {
    let rows = f32x4.splat(0);
    let at = q, dAt = d;
    for (let n = 0; n < blocks; n++) {
      let c: v128, w: v128, a: v128, b: v128, s: v128, upper: v128;
      c = v128.load(codes, 0);
      w = i8x16.relaxed_swizzle(table, v128.and(c, mask));
      a = dot(at + 0, w);
      b = dot(at + 32, w);
      w = i8x16.relaxed_swizzle(table, v128.and(i16x8.shr_u(c, 4), mask));
      a = i16x8.add(a, dot(at + 4, w));
      b = i16x8.add(b, dot(at + 36, w));
      c = v128.load(codes, 16);
      w = i8x16.relaxed_swizzle(table, v128.and(c, mask));
      a = i16x8.add(a, dot(at + 8, w));
      b = i16x8.add(b, dot(at + 40, w));
      w = i8x16.relaxed_swizzle(table, v128.and(i16x8.shr_u(c, 4), mask));
      a = i16x8.add(a, dot(at + 12, w));
      b = i16x8.add(b, dot(at + 44, w));
      s = i32x4.dot_i16x8_s(a, ones);
      upper = i32x4.dot_i16x8_s(b, ones);
      c = v128.load(codes, 32);
      w = i8x16.relaxed_swizzle(table, v128.and(c, mask));
      a = dot(at + 16, w);
      b = dot(at + 48, w);
      w = i8x16.relaxed_swizzle(table, v128.and(i16x8.shr_u(c, 4), mask));
      a = i16x8.add(a, dot(at + 20, w));
      b = i16x8.add(b, dot(at + 52, w));
      c = v128.load(codes, 48);
      w = i8x16.relaxed_swizzle(table, v128.and(c, mask));
      a = i16x8.add(a, dot(at + 24, w));
      b = i16x8.add(b, dot(at + 56, w));
      w = i8x16.relaxed_swizzle(table, v128.and(i16x8.shr_u(c, 4), mask));
      a = i16x8.add(a, dot(at + 28, w));
      b = i16x8.add(b, dot(at + 60, w));
      s = i32x4.add(i32x4.add(s, i32x4.dot_i16x8_s(a, ones)), v128.load32_splat(dAt));
      s = i32x4.add(s, i32x4.shl(i32x4.add(upper, i32x4.dot_i16x8_s(b, ones)), 8));
      const e = i32x4.shl(i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(scales))), 23);
      rows = f32x4.add(rows, f32x4.mul(f32x4.convert_i32x4_s(s), f32x4.mul(e, v128.load32_splat(dAt, 4))));
      codes += 64;
      scales += 4;
      at += 64;
      dAt += 8;
    }
    v128.store(y, rows);
    y += 16;
  }
}

function dot(x: usize, w: v128): v128 {
  return i16x8.relaxed_dot_i8x16_i7x16_s(v128.load32_splat(x), w);
}
