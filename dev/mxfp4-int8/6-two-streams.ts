/**
 * Two groups of 4 rows at a time, so that a broadcast serves 8 rows; their weights lie apart, in two streams.
 * 0.61 times as fast as the rung before.
 */
import { lowE8M0 } from "../../assembly/scales";
import { NIBBLES, ONES, SHIFTED_FP4 } from "../../assembly/tables";

export function multiply(
  codes: usize, scales: usize, q: usize, d: usize, y: usize, groups: i32, blocks: i32,
): void {
  const table = v128.load(SHIFTED_FP4), mask = v128.load(NIBBLES), ones = v128.load(ONES);
  const nextCodes = blocks << 6, nextScales = blocks << 2;
  for (let g = 0; g < groups; g++) {
    let rows03 = f32x4.splat(0), rows47 = rows03;
    let at = q, dAt = d;
    for (let n = 0; n < blocks; n++) {
      let c: v128, k: v128, x: v128, a: v128, b: v128, s: v128, r: v128;
      c = v128.load(codes, 0);
      k = v128.load(codes + nextCodes, 0);
      x = v128.load32_splat(at, 0);
      a = dot(x, low(c, mask), table);
      b = dot(x, low(k, mask), table);
      x = v128.load32_splat(at, 4);
      a = i16x8.add(a, dot(x, high(c, mask), table));
      b = i16x8.add(b, dot(x, high(k, mask), table));
      c = v128.load(codes, 16);
      k = v128.load(codes + nextCodes, 16);
      x = v128.load32_splat(at, 8);
      a = i16x8.add(a, dot(x, low(c, mask), table));
      b = i16x8.add(b, dot(x, low(k, mask), table));
      x = v128.load32_splat(at, 12);
      a = i16x8.add(a, dot(x, high(c, mask), table));
      b = i16x8.add(b, dot(x, high(k, mask), table));
      s = i32x4.dot_i16x8_s(a, ones);
      r = i32x4.dot_i16x8_s(b, ones);
      c = v128.load(codes, 32);
      k = v128.load(codes + nextCodes, 32);
      x = v128.load32_splat(at, 16);
      a = dot(x, low(c, mask), table);
      b = dot(x, low(k, mask), table);
      x = v128.load32_splat(at, 20);
      a = i16x8.add(a, dot(x, high(c, mask), table));
      b = i16x8.add(b, dot(x, high(k, mask), table));
      c = v128.load(codes, 48);
      k = v128.load(codes + nextCodes, 48);
      x = v128.load32_splat(at, 24);
      a = i16x8.add(a, dot(x, low(c, mask), table));
      b = i16x8.add(b, dot(x, low(k, mask), table));
      x = v128.load32_splat(at, 28);
      a = i16x8.add(a, dot(x, high(c, mask), table));
      b = i16x8.add(b, dot(x, high(k, mask), table));
      const offset = v128.load32_splat(dAt), factor = v128.load32_splat(dAt, 4);
      s = i32x4.add(i32x4.add(s, i32x4.dot_i16x8_s(a, ones)), offset);
      r = i32x4.add(i32x4.add(r, i32x4.dot_i16x8_s(b, ones)), offset);
      rows03 = f32x4.add(rows03, f32x4.mul(f32x4.convert_i32x4_s(s), f32x4.mul(lowE8M0(scales), factor)));
      rows47 = f32x4.add(rows47, f32x4.mul(f32x4.convert_i32x4_s(r), f32x4.mul(lowE8M0(scales + nextScales), factor)));
      codes += 64;
      scales += 4;
      at += 32;
      dAt += 8;
    }
    codes += nextCodes;
    scales += nextScales;
    v128.store(y, rows03);
    v128.store(y, rows47, 16);
    y += 32;
  }
}

function low(codes: v128, mask: v128): v128 {
  return v128.and(codes, mask);
}

function high(codes: v128, mask: v128): v128 {
  return v128.and(i16x8.shr_u(codes, 4), mask);
}

function dot(x: v128, codes: v128, table: v128): v128 {
  return i16x8.relaxed_dot_i8x16_i7x16_s(x, i8x16.relaxed_swizzle(table, codes));
}
