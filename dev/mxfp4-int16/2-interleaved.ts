/**
 * What int8 had learned: 4 rows interleaved, constants hoisted. Two relaxed dot products, one for each byte.
 * 14.8 times as fast as the rung before.
 */
import { NIBBLES, SHIFTED_FP4 } from "../../assembly/tables";

export function multiply(
  codes: usize, scales: usize, q: usize, d: usize, y: usize, groups: i32, blocks: i32,
): void {
  const table = v128.load(SHIFTED_FP4), mask = v128.load(NIBBLES);
  for (let g = 0; g < groups << 1; g++) {
    let rows = f32x4.splat(0);
    let at = q, dAt = d;
    for (let n = 0; n < blocks; n++) {
      let c: v128, w: v128, s = v128.load32_splat(dAt), upper = i32x4.splat(0);
      c = v128.load(codes, 0);
      w = i8x16.relaxed_swizzle(table, v128.and(c, mask));
      s = dot(at + 0, w, s);
      upper = dot(at + 32, w, upper);
      w = i8x16.relaxed_swizzle(table, v128.and(i16x8.shr_u(c, 4), mask));
      s = dot(at + 4, w, s);
      upper = dot(at + 36, w, upper);
      c = v128.load(codes, 16);
      w = i8x16.relaxed_swizzle(table, v128.and(c, mask));
      s = dot(at + 8, w, s);
      upper = dot(at + 40, w, upper);
      w = i8x16.relaxed_swizzle(table, v128.and(i16x8.shr_u(c, 4), mask));
      s = dot(at + 12, w, s);
      upper = dot(at + 44, w, upper);
      c = v128.load(codes, 32);
      w = i8x16.relaxed_swizzle(table, v128.and(c, mask));
      s = dot(at + 16, w, s);
      upper = dot(at + 48, w, upper);
      w = i8x16.relaxed_swizzle(table, v128.and(i16x8.shr_u(c, 4), mask));
      s = dot(at + 20, w, s);
      upper = dot(at + 52, w, upper);
      c = v128.load(codes, 48);
      w = i8x16.relaxed_swizzle(table, v128.and(c, mask));
      s = dot(at + 24, w, s);
      upper = dot(at + 56, w, upper);
      w = i8x16.relaxed_swizzle(table, v128.and(i16x8.shr_u(c, 4), mask));
      s = dot(at + 28, w, s);
      upper = dot(at + 60, w, upper);
      s = i32x4.add(s, i32x4.shl(upper, 8));
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

function dot(x: usize, w: v128, sum: v128): v128 {
  return i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load32_splat(x), w, sum);
}
