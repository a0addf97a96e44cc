/**
 * A block of 4 rows stays in 8 registers and meets all tokens; their totals lie in memory, which the caches hold.
 * As fast as the rung before.
 */
import { lowE8M0 } from "../../assembly/scales";
import { NIBBLES, SHIFTED_FP4 } from "../../assembly/tables";

export function multiply(
  codes: usize, scales: usize, q: usize, d: usize, y: usize, groups: i32, blocks: i32,
  tokens: i32, stride: i32, totals: usize,
): void {
  const end = totals + (tokens << 4);
  for (let half = 0; half < groups << 1; half++) {
    memory.fill(totals, 0, tokens << 4);
    let from = codes + (half >> 1) * (blocks << 7) + ((half & 1) << 4);
    let scale = scales + (half >> 1) * (blocks << 3) + ((half & 1) << 2);
    let at = q, dAt = d;
    for (let n = 0; n < blocks; n++) {
      const table = v128.load(SHIFTED_FP4), mask = v128.load(NIBBLES);
      const c0 = v128.load(from), c1 = v128.load(from, 32), c2 = v128.load(from, 64), c3 = v128.load(from, 96);
      const w0 = unpack(c0, mask, table), w1 = unpack(i16x8.shr_u(c0, 4), mask, table);
      const w2 = unpack(c1, mask, table), w3 = unpack(i16x8.shr_u(c1, 4), mask, table);
      const w4 = unpack(c2, mask, table), w5 = unpack(i16x8.shr_u(c2, 4), mask, table);
      const w6 = unpack(c3, mask, table), w7 = unpack(i16x8.shr_u(c3, 4), mask, table);
      const e = lowE8M0(scale);
      for (let total = totals; total < end; total += 16) {
        let s = dot(at, w0, v128.load32_splat(dAt));
        s = dot(at + 4, w1, s);
        s = dot(at + 8, w2, s);
        s = dot(at + 12, w3, s);
        s = dot(at + 16, w4, s);
        s = dot(at + 20, w5, s);
        s = dot(at + 24, w6, s);
        s = dot(at + 28, w7, s);
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

function unpack(codes: v128, mask: v128, table: v128): v128 {
  return i8x16.relaxed_swizzle(table, v128.and(codes, mask));
}

function dot(x: usize, w: v128, sum: v128): v128 {
  return i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load32_splat(x), w, sum);
}
