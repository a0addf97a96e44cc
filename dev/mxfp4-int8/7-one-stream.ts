/**
 * 8 rows interleaved: the same, but all weights in one stream, which the processor fetches ahead.
 * 1.8 times as fast as the rung before.
 */
import { highE8M0, lowE8M0 } from "../../assembly/scales";
import { NIBBLES, ONES, SHIFTED_FP4 } from "../../assembly/tables";
import { dot, high, low } from "../../assembly/vectors";

export function multiply(
  codes: usize, scales: usize, q: usize, d: usize, y: usize, groups: i32, blocks: i32,
): void {
  const table = v128.load(SHIFTED_FP4), mask = v128.load(NIBBLES), ones = v128.load(ONES);
  for (let g = 0; g < groups; g++) {
    let rows03 = f32x4.splat(0), rows47 = rows03;
    let at = q, dAt = d;
    for (let n = 0; n < blocks; n++) {
      let c: v128, k: v128, x: v128, a: v128, b: v128, s: v128, r: v128;
      c = v128.load(codes, 0);
      k = v128.load(codes, 16);
      x = v128.load32_splat(at, 0);
      a = dot(x, i8x16.relaxed_swizzle(table, low(c, mask)));
      b = dot(x, i8x16.relaxed_swizzle(table, low(k, mask)));
      x = v128.load32_splat(at, 4);
      a = i16x8.add(a, dot(x, i8x16.relaxed_swizzle(table, high(c, mask))));
      b = i16x8.add(b, dot(x, i8x16.relaxed_swizzle(table, high(k, mask))));
      c = v128.load(codes, 32);
      k = v128.load(codes, 48);
      x = v128.load32_splat(at, 8);
      a = i16x8.add(a, dot(x, i8x16.relaxed_swizzle(table, low(c, mask))));
      b = i16x8.add(b, dot(x, i8x16.relaxed_swizzle(table, low(k, mask))));
      x = v128.load32_splat(at, 12);
      a = i16x8.add(a, dot(x, i8x16.relaxed_swizzle(table, high(c, mask))));
      b = i16x8.add(b, dot(x, i8x16.relaxed_swizzle(table, high(k, mask))));
      s = i32x4.dot_i16x8_s(a, ones);
      r = i32x4.dot_i16x8_s(b, ones);
      c = v128.load(codes, 64);
      k = v128.load(codes, 80);
      x = v128.load32_splat(at, 16);
      a = dot(x, i8x16.relaxed_swizzle(table, low(c, mask)));
      b = dot(x, i8x16.relaxed_swizzle(table, low(k, mask)));
      x = v128.load32_splat(at, 20);
      a = i16x8.add(a, dot(x, i8x16.relaxed_swizzle(table, high(c, mask))));
      b = i16x8.add(b, dot(x, i8x16.relaxed_swizzle(table, high(k, mask))));
      c = v128.load(codes, 96);
      k = v128.load(codes, 112);
      x = v128.load32_splat(at, 24);
      a = i16x8.add(a, dot(x, i8x16.relaxed_swizzle(table, low(c, mask))));
      b = i16x8.add(b, dot(x, i8x16.relaxed_swizzle(table, low(k, mask))));
      x = v128.load32_splat(at, 28);
      a = i16x8.add(a, dot(x, i8x16.relaxed_swizzle(table, high(c, mask))));
      b = i16x8.add(b, dot(x, i8x16.relaxed_swizzle(table, high(k, mask))));
      const offset = v128.load32_splat(dAt), factor = v128.load32_splat(dAt, 4);
      s = i32x4.add(i32x4.add(s, i32x4.dot_i16x8_s(a, ones)), offset);
      r = i32x4.add(i32x4.add(r, i32x4.dot_i16x8_s(b, ones)), offset);
      rows03 = f32x4.add(rows03, f32x4.mul(f32x4.convert_i32x4_s(s), f32x4.mul(lowE8M0(scales), factor)));
      rows47 = f32x4.add(rows47, f32x4.mul(f32x4.convert_i32x4_s(r), f32x4.mul(highE8M0(scales), factor)));
      codes += 128;
      scales += 8;
      at += 32;
      dAt += 8;
    }
    v128.store(y, rows03);
    v128.store(y, rows47, 16);
    y += 32;
  }
}
