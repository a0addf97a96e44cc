/**
 * Half a block of 4 rows is unpacked once, into 8 registers, and meets all tokens; their totals, and the sums of first halves, lie
 * in memory, which the caches hold.
 */
import { lowE8M0 } from "../../assembly/scales";
import { NIBBLES_16, SHIFTED_FP4 } from "../../assembly/tables";

export function multiply(
  codes: usize, scales: usize, q: usize, d: usize, y: usize, groups: i32, blocks: i32,
  tokens: i32, stride: i32, totals: usize,
): void {
  const end = totals + (tokens << 4);
  const sums = end - totals; // distance of the int32 sums of a first half block from the totals
  for (let half = 0; half < groups << 1; half++) {
    memory.fill(totals, 0, tokens << 4);
    let from = codes + (half >> 1) * (blocks << 7) + ((half & 1) << 4);
    let scale = scales + (half >> 1) * (blocks << 3) + ((half & 1) << 2);
    let at = q, dAt = d;
    for (let n = 0; n < blocks; n++) {
      const table = v128.load(SHIFTED_FP4), mask = v128.load(NIBBLES_16);
      let c = v128.load(from), k = v128.load(from, 32);
      let w0 = i8x16.swizzle(table, v128.and(c, mask)), w1 = i8x16.swizzle(table, v128.and(i16x8.shr_u(c, 4), mask));
      let w2 = i8x16.swizzle(table, v128.and(i16x8.shr_u(c, 8), mask)), w3 = i8x16.swizzle(table, i16x8.shr_u(c, 12));
      let w4 = i8x16.swizzle(table, v128.and(k, mask)), w5 = i8x16.swizzle(table, v128.and(i16x8.shr_u(k, 4), mask));
      let w6 = i8x16.swizzle(table, v128.and(i16x8.shr_u(k, 8), mask)), w7 = i8x16.swizzle(table, i16x8.shr_u(k, 12));
      let x = at;
      for (let total = totals; total < end; total += 16) {
        v128.store(total + sums, dot16(x, w0, w1, w2, w3, w4, w5, w6, w7));
        x += 64;
      }
      c = v128.load(from, 64), k = v128.load(from, 96);
      w0 = i8x16.swizzle(table, v128.and(c, mask)), w1 = i8x16.swizzle(table, v128.and(i16x8.shr_u(c, 4), mask));
      w2 = i8x16.swizzle(table, v128.and(i16x8.shr_u(c, 8), mask)), w3 = i8x16.swizzle(table, i16x8.shr_u(c, 12));
      w4 = i8x16.swizzle(table, v128.and(k, mask)), w5 = i8x16.swizzle(table, v128.and(i16x8.shr_u(k, 4), mask));
      w6 = i8x16.swizzle(table, v128.and(i16x8.shr_u(k, 8), mask)), w7 = i8x16.swizzle(table, i16x8.shr_u(k, 12));
      const e = lowE8M0(scale);
      for (let total = totals; total < end; total += 16) {
        const first = i32x4.add(v128.load(total + sums), v128.load32_splat(dAt));
        const s = i32x4.add(dot16(at + 32, w0, w1, w2, w3, w4, w5, w6, w7), first);
        const product = f32x4.mul(f32x4.convert_i32x4_s(s), f32x4.mul(e, v128.load32_splat(dAt, 4)));
        v128.store(total, f32x4.add(v128.load(total), product));
        at += 64;
        dAt += 8;
      }
      from += 128;
      scale += 8;
    }
    for (let t = 0; t < tokens; t++) v128.store(y + ((t * stride) << 2) + (half << 4), v128.load(totals + (t << 4)));
  }
}

// @ts-ignore: decorator
@inline
function dot16(
  x: usize, w0: v128, w1: v128, w2: v128, w3: v128, w4: v128, w5: v128, w6: v128, w7: v128,
): v128 {
  let s = i32x4.dot_i16x8_s(w0, v128.load32_splat(x));
  let r = i32x4.dot_i16x8_s(w1, v128.load32_splat(x, 4));
  s = i32x4.add(s, i32x4.dot_i16x8_s(w2, v128.load32_splat(x, 8)));
  r = i32x4.add(r, i32x4.dot_i16x8_s(w3, v128.load32_splat(x, 12)));
  s = i32x4.add(s, i32x4.dot_i16x8_s(w4, v128.load32_splat(x, 16)));
  r = i32x4.add(r, i32x4.dot_i16x8_s(w5, v128.load32_splat(x, 20)));
  s = i32x4.add(s, i32x4.dot_i16x8_s(w6, v128.load32_splat(x, 24)));
  r = i32x4.add(r, i32x4.dot_i16x8_s(w7, v128.load32_splat(x, 28)));
  return i32x4.add(s, r);
}
