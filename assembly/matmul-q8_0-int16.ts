/**
 * Q8_0 × int16 (int8 activations come as int16 too): both fit one multiply-add of int16 pairs, on baseline SIMD.
 *
 * Weights (repack.ts) come 8 rows at a time, block by block: 32 columns of 8 rows are 256 bytes, and 16 of float16 scales.
 * Each 16 bytes are one pair of columns, of rows 0 to 3 and 4 to 7: columns 0 4, 1 5, 2 6, 3 7 of each 8, as
 * quantize.ts has them.
 */
import { dot16 } from "./dot16";
import { highF16, lowF16 } from "./scales";
import { F16_BIAS, F16_MASK } from "./tables";

/**
 * One token: y[row] = Σ over blocks of float(S) · (scale · d), S = Σ w · q, for rows [0, 8 · groups).
 *
 * @param q [blocks, 32] int16 and `d` [blocks] (ignored, factor), from quantize.ts
 */
export function matmul_q8_0_int16(
  weights: usize, scales: usize, q: usize, d: usize, y: usize, groups: i32, blocks: i32,
): void {
  const mask = v128.load(F16_MASK), bias = v128.load(F16_BIAS);
  for (let g = 0; g < groups; g++) {
    let rows03 = f32x4.splat(0), rows47 = rows03;
    let at = q, dAt = d;
    for (let n = 0; n < blocks; n++) {
      let x: v128, s: v128, r: v128;
      x = v128.load32_splat(at, 0);
      s = i32x4.dot_i16x8_s(v128.load8x8_s(weights, 0), x);
      r = i32x4.dot_i16x8_s(v128.load8x8_s(weights, 8), x);
      x = v128.load32_splat(at, 4);
      s = i32x4.add(s, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 16), x));
      r = i32x4.add(r, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 24), x));
      x = v128.load32_splat(at, 8);
      s = i32x4.add(s, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 32), x));
      r = i32x4.add(r, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 40), x));
      x = v128.load32_splat(at, 12);
      s = i32x4.add(s, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 48), x));
      r = i32x4.add(r, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 56), x));
      x = v128.load32_splat(at, 16);
      s = i32x4.add(s, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 64), x));
      r = i32x4.add(r, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 72), x));
      x = v128.load32_splat(at, 20);
      s = i32x4.add(s, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 80), x));
      r = i32x4.add(r, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 88), x));
      x = v128.load32_splat(at, 24);
      s = i32x4.add(s, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 96), x));
      r = i32x4.add(r, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 104), x));
      x = v128.load32_splat(at, 28);
      s = i32x4.add(s, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 112), x));
      r = i32x4.add(r, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 120), x));
      x = v128.load32_splat(at, 32);
      s = i32x4.add(s, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 128), x));
      r = i32x4.add(r, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 136), x));
      x = v128.load32_splat(at, 36);
      s = i32x4.add(s, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 144), x));
      r = i32x4.add(r, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 152), x));
      x = v128.load32_splat(at, 40);
      s = i32x4.add(s, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 160), x));
      r = i32x4.add(r, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 168), x));
      x = v128.load32_splat(at, 44);
      s = i32x4.add(s, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 176), x));
      r = i32x4.add(r, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 184), x));
      x = v128.load32_splat(at, 48);
      s = i32x4.add(s, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 192), x));
      r = i32x4.add(r, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 200), x));
      x = v128.load32_splat(at, 52);
      s = i32x4.add(s, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 208), x));
      r = i32x4.add(r, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 216), x));
      x = v128.load32_splat(at, 56);
      s = i32x4.add(s, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 224), x));
      r = i32x4.add(r, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 232), x));
      x = v128.load32_splat(at, 60);
      s = i32x4.add(s, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 240), x));
      r = i32x4.add(r, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 248), x));
      const factor = v128.load32_splat(dAt, 4);
      rows03 = f32x4.add(rows03, f32x4.mul(f32x4.convert_i32x4_s(s), f32x4.mul(lowF16(scales, mask, bias), factor)));
      rows47 = f32x4.add(rows47, f32x4.mul(f32x4.convert_i32x4_s(r), f32x4.mul(highF16(scales, mask, bias), factor)));
      weights += 256;
      scales += 16;
      at += 64;
      dAt += 8;
    }
    v128.store(y, rows03);
    v128.store(y, rows47, 16);
    y += 32;
  }
}

/** Several tokens: half a block of 4 rows is widened once, into 8 registers, and meets all tokens. */
export function matmul_q8_0_int16_tile(
  weights: usize, scales: usize, q: usize, d: usize, y: usize, groups: i32, blocks: i32,
  tokens: i32, stride: i32, totals: usize,
): void {
  const mask = v128.load(F16_MASK), bias = v128.load(F16_BIAS);
  const end = totals + (tokens << 4);
  const sums = end - totals; // distance of the int32 sums of a first half block from the totals
  for (let half = 0; half < groups << 1; half++) {
    memory.fill(totals, 0, tokens << 4);
    let from = weights + (half >> 1) * (blocks << 8) + ((half & 1) << 3);
    let scale = scales + (half >> 1) * (blocks << 4) + ((half & 1) << 3);
    let at = q, dAt = d;
    for (let n = 0; n < blocks; n++) {
      let w0 = v128.load8x8_s(from), w1 = v128.load8x8_s(from, 16);
      let w2 = v128.load8x8_s(from, 32), w3 = v128.load8x8_s(from, 48);
      let w4 = v128.load8x8_s(from, 64), w5 = v128.load8x8_s(from, 80);
      let w6 = v128.load8x8_s(from, 96), w7 = v128.load8x8_s(from, 112);
      let x = at;
      for (let total = totals; total < end; total += 16) {
        v128.store(total + sums, dot16(x, w0, w1, w2, w3, w4, w5, w6, w7));
        x += 64;
      }
      w0 = v128.load8x8_s(from, 128), w1 = v128.load8x8_s(from, 144);
      w2 = v128.load8x8_s(from, 160), w3 = v128.load8x8_s(from, 176);
      w4 = v128.load8x8_s(from, 192), w5 = v128.load8x8_s(from, 208);
      w6 = v128.load8x8_s(from, 224), w7 = v128.load8x8_s(from, 240);
      const e = lowF16(scale, mask, bias);
      for (let total = totals; total < end; total += 16) {
        const s = i32x4.add(dot16(at + 32, w0, w1, w2, w3, w4, w5, w6, w7), v128.load(total + sums));
        const product = f32x4.mul(f32x4.convert_i32x4_s(s), f32x4.mul(e, v128.load32_splat(dAt, 4)));
        v128.store(total, f32x4.add(v128.load(total), product));
        at += 64;
        dAt += 8;
      }
      from += 256;
      scale += 16;
    }
    for (let t = 0; t < tokens; t++) v128.store(y + ((t * stride) << 2) + (half << 4), v128.load(totals + (t << 4)));
  }
}
