/**
 * MXFP4 × int8, on relaxed SIMD.
 *
 * Weights (repack.ts) come 8 rows at a time, block by block: 32 columns of 8 rows are 128 bytes of codes and 8 of scales.
 * Of each pair of vectors the first has rows 0 to 3, the second rows 4 to 7. A 32-bit lane holds 8 columns of one
 * row, the even ones in its low nibbles, the odd ones in its high nibbles. So one broadcast of 4 activations serves
 * 8 rows, and no sum ever crosses lanes.
 *
 * FP4 values times two are the integers ±{0, 1, 2, 3, 4, 6, 8, 12}. The table holds them plus 12, since `relaxed_dot`
 * is the same on every CPU only where its second operand lies in 0 … 127; Σ 12 · q is taken off by starting the sum there.
 * A pair of products is at most 2 · 24 · 128, so the int16 lanes of an accumulator hold four of them, and only every
 * fourth is widened.
 */
import { highE8M0, lowE8M0 } from "./scales";
import { NIBBLES, ONES, SHIFTED_FP4 } from "./tables";
import { high, low } from "./vectors";

/**
 * One token: y[row] = Σ over blocks of float(S) · (scale · d), S = Σ w · q, for rows [0, 8 · groups).
 *
 * @param q [blocks, 32] int8 and `d` [blocks] (offset, factor), from quantize.ts
 */
export function matmul_mxfp4_int8(
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
      a = dot(x, low(c, mask), table);
      b = dot(x, low(k, mask), table);
      x = v128.load32_splat(at, 4);
      a = i16x8.add(a, dot(x, high(c, mask), table));
      b = i16x8.add(b, dot(x, high(k, mask), table));
      c = v128.load(codes, 32);
      k = v128.load(codes, 48);
      x = v128.load32_splat(at, 8);
      a = i16x8.add(a, dot(x, low(c, mask), table));
      b = i16x8.add(b, dot(x, low(k, mask), table));
      x = v128.load32_splat(at, 12);
      a = i16x8.add(a, dot(x, high(c, mask), table));
      b = i16x8.add(b, dot(x, high(k, mask), table));
      s = i32x4.dot_i16x8_s(a, ones);
      r = i32x4.dot_i16x8_s(b, ones);
      c = v128.load(codes, 64);
      k = v128.load(codes, 80);
      x = v128.load32_splat(at, 16);
      a = dot(x, low(c, mask), table);
      b = dot(x, low(k, mask), table);
      x = v128.load32_splat(at, 20);
      a = i16x8.add(a, dot(x, high(c, mask), table));
      b = i16x8.add(b, dot(x, high(k, mask), table));
      c = v128.load(codes, 96);
      k = v128.load(codes, 112);
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

function dot(x: v128, codes: v128, table: v128): v128 {
  return i16x8.relaxed_dot_i8x16_i7x16_s(x, i8x16.relaxed_swizzle(table, codes));
}

/**
 * Several tokens: weights of a block are unpacked once, into 8 registers, and meet all tokens. y [tokens, stride] floats.
 *
 * @param q [blocks, tokens, 32] and `d` [blocks, tokens] (quantize.ts, tile)
 * @param totals room for 16 bytes a token
 */
export function matmul_mxfp4_int8_tile(
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
