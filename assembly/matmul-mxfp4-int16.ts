/**
 * MXFP4 × int16, on relaxed SIMD: q = 256 · upper + lower, two signed bytes that each go the way of
 * matmul-mxfp4-int8.ts, which describes the weights.
 */
import { highE8M0, lowE8M0 } from "./scales";
import { NIBBLES, ONES, SHIFTED_FP4 } from "./tables";
import { high, low } from "./vectors";

/**
 * One token: y[row] = Σ over blocks of float(S) · (scale · d), S = Σ w · q, for rows [0, 8 · groups).
 *
 * @param q [blocks, 32 lower and 32 upper bytes] and `d` [blocks] (offset, factor), from quantize.ts
 */
export function matmul_mxfp4_int16(
  codes: usize, scales: usize, q: usize, d: usize, y: usize, groups: i32, blocks: i32,
): void {
  const table = v128.load(SHIFTED_FP4), mask = v128.load(NIBBLES), ones = v128.load(ONES);
  for (let g = 0; g < groups; g++) {
    let rows03 = f32x4.splat(0), rows47 = rows03;
    let at = q, dAt = d;
    for (let n = 0; n < blocks; n++) {
      let c: v128, k: v128, x: v128, z: v128, w: v128;
      let a: v128, a2: v128, b: v128, b2: v128, s: v128, s2: v128, r: v128, r2: v128;
      c = v128.load(codes, 0);
      k = v128.load(codes, 16);
      x = v128.load32_splat(at, 0);
      z = v128.load32_splat(at, 32);
      w = i8x16.relaxed_swizzle(table, low(c, mask));
      a = dot(x, w);
      a2 = dot(z, w);
      w = i8x16.relaxed_swizzle(table, low(k, mask));
      b = dot(x, w);
      b2 = dot(z, w);
      x = v128.load32_splat(at, 4);
      z = v128.load32_splat(at, 36);
      w = i8x16.relaxed_swizzle(table, high(c, mask));
      a = i16x8.add(a, dot(x, w));
      a2 = i16x8.add(a2, dot(z, w));
      w = i8x16.relaxed_swizzle(table, high(k, mask));
      b = i16x8.add(b, dot(x, w));
      b2 = i16x8.add(b2, dot(z, w));
      c = v128.load(codes, 32);
      k = v128.load(codes, 48);
      x = v128.load32_splat(at, 8);
      z = v128.load32_splat(at, 40);
      w = i8x16.relaxed_swizzle(table, low(c, mask));
      a = i16x8.add(a, dot(x, w));
      a2 = i16x8.add(a2, dot(z, w));
      w = i8x16.relaxed_swizzle(table, low(k, mask));
      b = i16x8.add(b, dot(x, w));
      b2 = i16x8.add(b2, dot(z, w));
      x = v128.load32_splat(at, 12);
      z = v128.load32_splat(at, 44);
      w = i8x16.relaxed_swizzle(table, high(c, mask));
      a = i16x8.add(a, dot(x, w));
      a2 = i16x8.add(a2, dot(z, w));
      w = i8x16.relaxed_swizzle(table, high(k, mask));
      b = i16x8.add(b, dot(x, w));
      b2 = i16x8.add(b2, dot(z, w));
      s = i32x4.dot_i16x8_s(a, ones);
      s2 = i32x4.dot_i16x8_s(a2, ones);
      r = i32x4.dot_i16x8_s(b, ones);
      r2 = i32x4.dot_i16x8_s(b2, ones);
      c = v128.load(codes, 64);
      k = v128.load(codes, 80);
      x = v128.load32_splat(at, 16);
      z = v128.load32_splat(at, 48);
      w = i8x16.relaxed_swizzle(table, low(c, mask));
      a = dot(x, w);
      a2 = dot(z, w);
      w = i8x16.relaxed_swizzle(table, low(k, mask));
      b = dot(x, w);
      b2 = dot(z, w);
      x = v128.load32_splat(at, 20);
      z = v128.load32_splat(at, 52);
      w = i8x16.relaxed_swizzle(table, high(c, mask));
      a = i16x8.add(a, dot(x, w));
      a2 = i16x8.add(a2, dot(z, w));
      w = i8x16.relaxed_swizzle(table, high(k, mask));
      b = i16x8.add(b, dot(x, w));
      b2 = i16x8.add(b2, dot(z, w));
      c = v128.load(codes, 96);
      k = v128.load(codes, 112);
      x = v128.load32_splat(at, 24);
      z = v128.load32_splat(at, 56);
      w = i8x16.relaxed_swizzle(table, low(c, mask));
      a = i16x8.add(a, dot(x, w));
      a2 = i16x8.add(a2, dot(z, w));
      w = i8x16.relaxed_swizzle(table, low(k, mask));
      b = i16x8.add(b, dot(x, w));
      b2 = i16x8.add(b2, dot(z, w));
      x = v128.load32_splat(at, 28);
      z = v128.load32_splat(at, 60);
      w = i8x16.relaxed_swizzle(table, high(c, mask));
      a = i16x8.add(a, dot(x, w));
      a2 = i16x8.add(a2, dot(z, w));
      w = i8x16.relaxed_swizzle(table, high(k, mask));
      b = i16x8.add(b, dot(x, w));
      b2 = i16x8.add(b2, dot(z, w));
      const offset = v128.load32_splat(dAt), factor = v128.load32_splat(dAt, 4);
      s = i32x4.add(s, i32x4.dot_i16x8_s(a, ones));
      s2 = i32x4.add(s2, i32x4.dot_i16x8_s(a2, ones));
      s = i32x4.add(i32x4.add(s, i32x4.shl(s2, 8)), offset);
      r = i32x4.add(r, i32x4.dot_i16x8_s(b, ones));
      r2 = i32x4.add(r2, i32x4.dot_i16x8_s(b2, ones));
      r = i32x4.add(i32x4.add(r, i32x4.shl(r2, 8)), offset);
      rows03 = f32x4.add(rows03, f32x4.mul(f32x4.convert_i32x4_s(s), f32x4.mul(lowE8M0(scales), factor)));
      rows47 = f32x4.add(rows47, f32x4.mul(f32x4.convert_i32x4_s(r), f32x4.mul(highE8M0(scales), factor)));
      codes += 128;
      scales += 8;
      at += 64;
      dAt += 8;
    }
    v128.store(y, rows03);
    v128.store(y, rows47, 16);
    y += 32;
  }
}

function dot(x: v128, w: v128): v128 {
  return i16x8.relaxed_dot_i8x16_i7x16_s(x, w);
}

/** Several tokens, as matmul_mxfp4_int8_tile has them; q [blocks, tokens, 64]. */
export function matmul_mxfp4_int16_tile(
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
        let a = dot(v128.load32_splat(at, 32), w0);
        a = i16x8.add(a, dot(v128.load32_splat(at, 36), w1));
        a = i16x8.add(a, dot(v128.load32_splat(at, 40), w2));
        a = i16x8.add(a, dot(v128.load32_splat(at, 44), w3));
        let b = dot(v128.load32_splat(at, 48), w4);
        b = i16x8.add(b, dot(v128.load32_splat(at, 52), w5));
        b = i16x8.add(b, dot(v128.load32_splat(at, 56), w6));
        b = i16x8.add(b, dot(v128.load32_splat(at, 60), w7));
        let s = i32x4.shl(i32x4.add(i32x4.dot_i16x8_s(a, ones), i32x4.dot_i16x8_s(b, ones)), 8);
        a = dot(v128.load32_splat(at), w0);
        a = i16x8.add(a, dot(v128.load32_splat(at, 4), w1));
        a = i16x8.add(a, dot(v128.load32_splat(at, 8), w2));
        a = i16x8.add(a, dot(v128.load32_splat(at, 12), w3));
        b = dot(v128.load32_splat(at, 16), w4);
        b = i16x8.add(b, dot(v128.load32_splat(at, 20), w5));
        b = i16x8.add(b, dot(v128.load32_splat(at, 24), w6));
        b = i16x8.add(b, dot(v128.load32_splat(at, 28), w7));
        s = i32x4.add(s, i32x4.add(i32x4.dot_i16x8_s(a, ones), i32x4.dot_i16x8_s(b, ones)));
        s = i32x4.add(s, v128.load32_splat(dAt));
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
