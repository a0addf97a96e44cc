/**
 * 4 rows × 4 tokens: weights are unpacked once for 4 tokens; q [blocks, tokens, 32], tokens a multiple of 4.
 * As fast as the rung before.
 */
import { lowE8M0 } from "../../assembly/scales";
import { NIBBLES, SHIFTED_FP4 } from "../../assembly/tables";

export function multiply(
  codes: usize, scales: usize, q: usize, d: usize, y: usize, groups: i32, blocks: i32,
  tokens: i32, stride: i32, totals: usize,
): void {
  const table = v128.load(SHIFTED_FP4), mask = v128.load(NIBBLES);
  for (let half = 0; half < groups << 1; half++) {
    for (let t = 0; t < tokens; t += 4) {
      let from = codes + (half >> 1) * (blocks << 7) + ((half & 1) << 4);
      let scale = scales + (half >> 1) * (blocks << 3) + ((half & 1) << 2);
      let at = q + (t << 5), dAt = d + (t << 3);
      let y0 = f32x4.splat(0), y1 = y0, y2 = y0, y3 = y0;
      for (let n = 0; n < blocks; n++) {
        let s0 = v128.load32_splat(dAt), s1 = v128.load32_splat(dAt, 8), s2 = v128.load32_splat(dAt, 16), s3 = v128.load32_splat(dAt, 24);
        for (let i = 0; i < 4; i++) {
          const c = v128.load(from + (i << 5)), x = at + (i << 3);
          let w = i8x16.relaxed_swizzle(table, v128.and(c, mask));
          s0 = dot(x, w, s0);
          s1 = dot(x + 32, w, s1);
          s2 = dot(x + 64, w, s2);
          s3 = dot(x + 96, w, s3);
          w = i8x16.relaxed_swizzle(table, v128.and(i16x8.shr_u(c, 4), mask));
          s0 = dot(x + 4, w, s0);
          s1 = dot(x + 36, w, s1);
          s2 = dot(x + 68, w, s2);
          s3 = dot(x + 100, w, s3);
        }
        const e = lowE8M0(scale);
        y0 = f32x4.add(y0, f32x4.mul(f32x4.convert_i32x4_s(s0), f32x4.mul(e, v128.load32_splat(dAt, 4))));
        y1 = f32x4.add(y1, f32x4.mul(f32x4.convert_i32x4_s(s1), f32x4.mul(e, v128.load32_splat(dAt, 12))));
        y2 = f32x4.add(y2, f32x4.mul(f32x4.convert_i32x4_s(s2), f32x4.mul(e, v128.load32_splat(dAt, 20))));
        y3 = f32x4.add(y3, f32x4.mul(f32x4.convert_i32x4_s(s3), f32x4.mul(e, v128.load32_splat(dAt, 28))));
        from += 128;
        scale += 8;
        at += tokens << 5;
        dAt += tokens << 3;
      }
      const to = y + ((t * stride) << 2) + (half << 4);
      v128.store(to, y0);
      v128.store(to + (stride << 2), y1);
      v128.store(to + (stride << 3), y2);
      v128.store(to + stride * 12, y3);
    }
  }
}

function dot(x: usize, w: v128, sum: v128): v128 {
  return i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load32_splat(x), w, sum);
}
