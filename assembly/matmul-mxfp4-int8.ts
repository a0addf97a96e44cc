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
import { bandOf, streamsAt, TURN } from "./streams";
import { NIBBLES, ONES, SHIFTED_FP4 } from "./tables";
import { storeTotals } from "./tile16";
import { dot, high, low, more } from "./vectors";

/**
 * One token: y[row] = Σ over blocks of float(S) · (scale · d), S = Σ w · q, for rows [0, 8 · groups).
 *
 * @param q [blocks, 32] int8 and `d` [blocks] (offset, factor), from quantize.ts
 */
export function matmul_mxfp4_int8(
  codes: usize, scales: usize, q: usize, d: usize, y: usize, groups: i32, blocks: i32,
): void {
  const table = v128.load(SHIFTED_FP4), mask = v128.load(NIBBLES), ones = v128.load(ONES);
  const row = blocks * 128, rowScales = blocks * 8, band = bandOf(groups);
  memory.fill(y, 0, groups << 5);
  for (let g = 0; g < band; g++) {
    const streams = streamsAt(g, groups, band);
    for (let n = 0; n < blocks; n += TURN / 128) {
      const some = min(TURN / 128, blocks - n);
      let from = codes + n * 128, scalesFrom = scales + n * 8, to = y;
      for (let k = 0; k < streams; k++) {
        addBlocks(from, scalesFrom, q + n * 32, d + n * 8, to, some, table, mask, ones);
        from += band * row;
        scalesFrom += band * rowScales;
        to += band * 32;
      }
    }
    codes += row;
    scales += rowScales;
    y += 32;
  }
}

/** Some blocks of 8 rows, whose products are added to y. */
function addBlocks(
  codes: usize, scales: usize, at: usize, dAt: usize, to: usize, blocks: i32,
  table: v128, mask: v128, ones: v128,
): void {
  let rows03 = v128.load(to), rows47 = v128.load(to, 16);
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
  v128.store(to, rows03);
  v128.store(to, rows47, 16);
}

/** Two tokens, as matmul_mxfp4_int16_2 has them. */
export function matmul_mxfp4_int8_2(
  codes: usize, scales: usize, q: usize, d: usize, y: usize, groups: i32, blocks: i32, stride: i32,
): void {
  const table = v128.load(SHIFTED_FP4), mask = v128.load(NIBBLES), ones = v128.load(ONES);
  const row = blocks * 128, rowScales = blocks * 8, band = bandOf(groups);
  memory.fill(y, 0, groups << 5);
  memory.fill(y + (stride << 2), 0, groups << 5);
  for (let g = 0; g < band; g++) {
    const streams = streamsAt(g, groups, band);
    for (let n = 0; n < blocks; n += TURN / 128) {
      const some = min(TURN / 128, blocks - n);
      let from = codes + n * 128, scalesFrom = scales + n * 8, to = y;
      for (let k = 0; k < streams; k++) {
        addBlocksOfTwo(
          from, scalesFrom, q + n * 32, q + (n + blocks) * 32,
          d + n * 8, d + (n + blocks) * 8, to, to + (stride << 2), some, table, mask, ones,
        );
        from += band * row;
        scalesFrom += band * rowScales;
        to += band * 32;
      }
    }
    codes += row;
    scales += rowScales;
    y += 32;
  }
}

/** The same for both tokens. */
function addBlocksOfTwo(
  codes: usize, scales: usize, at: usize, at2: usize, dAt: usize, dAt2: usize, to: usize, to2: usize, blocks: i32,
  table: v128, mask: v128, ones: v128,
): void {
  let rows03 = v128.load(to), rows47 = v128.load(to, 16), other03 = v128.load(to2), other47 = v128.load(to2, 16);
  for (let n = 0; n < blocks; n++) {
    let s = v128.load32_splat(dAt), r = s, s2 = v128.load32_splat(dAt2), r2 = s2;
    for (const end = codes + 128; codes < end; codes += 64) {
      let c: v128, k: v128, w: v128, x: v128, x2: v128;
      c = v128.load(codes);
      k = v128.load(codes, 16);
      x = v128.load32_splat(at), x2 = v128.load32_splat(at2);
      w = i8x16.relaxed_swizzle(table, low(c, mask));
      let a = dot(x, w), a2 = dot(x2, w);
      w = i8x16.relaxed_swizzle(table, low(k, mask));
      let e = dot(x, w), e2 = dot(x2, w);
      x = v128.load32_splat(at, 4), x2 = v128.load32_splat(at2, 4);
      w = i8x16.relaxed_swizzle(table, high(c, mask));
      a = more(a, x, w), a2 = more(a2, x2, w);
      w = i8x16.relaxed_swizzle(table, high(k, mask));
      e = more(e, x, w), e2 = more(e2, x2, w);
      c = v128.load(codes, 32);
      k = v128.load(codes, 48);
      x = v128.load32_splat(at, 8), x2 = v128.load32_splat(at2, 8);
      w = i8x16.relaxed_swizzle(table, low(c, mask));
      a = more(a, x, w), a2 = more(a2, x2, w);
      w = i8x16.relaxed_swizzle(table, low(k, mask));
      e = more(e, x, w), e2 = more(e2, x2, w);
      x = v128.load32_splat(at, 12), x2 = v128.load32_splat(at2, 12);
      w = i8x16.relaxed_swizzle(table, high(c, mask));
      a = more(a, x, w), a2 = more(a2, x2, w);
      w = i8x16.relaxed_swizzle(table, high(k, mask));
      e = more(e, x, w), e2 = more(e2, x2, w);
      s = i32x4.add(s, i32x4.dot_i16x8_s(a, ones));
      r = i32x4.add(r, i32x4.dot_i16x8_s(e, ones));
      s2 = i32x4.add(s2, i32x4.dot_i16x8_s(a2, ones));
      r2 = i32x4.add(r2, i32x4.dot_i16x8_s(e2, ones));
      at += 16;
      at2 += 16;
    }
    const factor = v128.load32_splat(dAt, 4), factor2 = v128.load32_splat(dAt2, 4);
    const e03 = lowE8M0(scales), e47 = highE8M0(scales);
    rows03 = f32x4.add(rows03, f32x4.mul(f32x4.convert_i32x4_s(s), f32x4.mul(e03, factor)));
    rows47 = f32x4.add(rows47, f32x4.mul(f32x4.convert_i32x4_s(r), f32x4.mul(e47, factor)));
    other03 = f32x4.add(other03, f32x4.mul(f32x4.convert_i32x4_s(s2), f32x4.mul(e03, factor2)));
    other47 = f32x4.add(other47, f32x4.mul(f32x4.convert_i32x4_s(r2), f32x4.mul(e47, factor2)));
    scales += 8;
    dAt += 8;
    dAt2 += 8;
  }
  v128.store(to, rows03);
  v128.store(to, rows47, 16);
  v128.store(to2, other03);
  v128.store(to2, other47, 16);
}

/**
 * Many tokens: a block of 4 rows is unpacked once, into 8 registers, and meets them all. What is unpacked goes through memory
 * for the reason that matmul-mxfp4-tile.ts gives. y [tokens, stride] floats.
 *
 * @param q [blocks, tokens, 32] and `d` [blocks, tokens] (quantize.ts, tile)
 * @param totals room for 16 bytes a token, and 144
 */
export function matmul_mxfp4_int8_tile(
  codes: usize, scales: usize, q: usize, d: usize, y: usize, groups: i32, blocks: i32,
  tokens: i32, stride: i32, totals: usize,
): void {
  const table = v128.load(SHIFTED_FP4), mask = v128.load(NIBBLES), ones = v128.load(ONES);
  const end = totals + (tokens << 4), w = end + 16;
  for (let half = 0; half < groups << 1; half++) {
    memory.fill(totals, 0, tokens << 4);
    let code = codes + (half >> 1) * (blocks << 7) + ((half & 1) << 4);
    let scale = scales + (half >> 1) * (blocks << 3) + ((half & 1) << 2);
    let x = q, dAt = d;
    for (let n = 0; n < blocks; n++) {
      for (let i = 0; i < 128; i += 32) {
        const c = v128.load(code + i);
        v128.store(w + i, i8x16.relaxed_swizzle(table, low(c, mask)));
        v128.store(w + i, i8x16.relaxed_swizzle(table, high(c, mask)), 16);
      }
      v128.store(end, lowE8M0(scale));
      const w0 = v128.load(w), w1 = v128.load(w, 16), w2 = v128.load(w, 32), w3 = v128.load(w, 48);
      const w4 = v128.load(w, 64), w5 = v128.load(w, 80), w6 = v128.load(w, 96), w7 = v128.load(w, 112);
      const e = v128.load(end);
      for (let total = totals; total < end; total += 16) {
        let a = dot(v128.load32_splat(x), w0);
        a = more(a, v128.load32_splat(x, 4), w1);
        a = more(a, v128.load32_splat(x, 8), w2);
        a = more(a, v128.load32_splat(x, 12), w3);
        let b = dot(v128.load32_splat(x, 16), w4);
        b = more(b, v128.load32_splat(x, 20), w5);
        b = more(b, v128.load32_splat(x, 24), w6);
        b = more(b, v128.load32_splat(x, 28), w7);
        const s = i32x4.add(i32x4.add(i32x4.dot_i16x8_s(a, ones), i32x4.dot_i16x8_s(b, ones)), v128.load32_splat(dAt));
        const product = f32x4.mul(f32x4.convert_i32x4_s(s), f32x4.mul(e, v128.load32_splat(dAt, 4)));
        v128.store(total, f32x4.add(v128.load(total), product));
        x += 32;
        dAt += 8;
      }
      code += 128;
      scale += 8;
    }
    storeTotals(totals, tokens, y + (half << 4), stride);
  }
}
