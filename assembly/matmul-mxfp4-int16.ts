/**
 * MXFP4 × int16, on relaxed SIMD: q = 256 · upper + lower, two signed bytes that each go the way of
 * matmul-mxfp4-int8.ts, which describes the weights.
 */
import { highE8M0, lowE8M0 } from "./scales";
import { bandOf, streamsAt, TURN } from "./streams";
import { NIBBLES, ONES, SHIFTED_FP4 } from "./tables";
import { dot, high, low, more } from "./vectors";

/**
 * One token: y[row] = Σ over blocks of float(S) · (scale · d), S = Σ w · q, for rows [0, 8 · groups).
 *
 * @param q [blocks, 32 lower and 32 upper bytes] and `d` [blocks] (offset, factor), from quantize.ts
 */
export function matmul_mxfp4_int16(
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
        addBlocks(from, scalesFrom, q + n * 64, d + n * 8, to, some, table, mask, ones);
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
  v128.store(to, rows03);
  v128.store(to, rows47, 16);
}

/**
 * Two tokens; q [2, blocks, 64 bytes] and d [2, blocks], y [2, stride] floats. Sums of rows 0 to 3 are a (lower bytes) and b
 * (upper ones), a2 and b2 for the second token; those of rows 4 to 7 e, f, e2, f2. Many tokens are a matter for
 * matmul-mxfp4-tile.ts, which takes fewer instructions a product and more to unpack.
 */
export function matmul_mxfp4_int16_2(
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
          from, scalesFrom, q + n * 64, q + (n + blocks) * 64,
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
      let c: v128, k: v128, w: v128, x: v128, z: v128, x2: v128, z2: v128;
      c = v128.load(codes);
      k = v128.load(codes, 16);
      x = v128.load32_splat(at), z = v128.load32_splat(at, 32), x2 = v128.load32_splat(at2), z2 = v128.load32_splat(at2, 32);
      w = i8x16.relaxed_swizzle(table, low(c, mask));
      let a = dot(x, w), b = dot(z, w), a2 = dot(x2, w), b2 = dot(z2, w);
      w = i8x16.relaxed_swizzle(table, low(k, mask));
      let e = dot(x, w), f = dot(z, w), e2 = dot(x2, w), f2 = dot(z2, w);
      x = v128.load32_splat(at, 4), z = v128.load32_splat(at, 36), x2 = v128.load32_splat(at2, 4), z2 = v128.load32_splat(at2, 36);
      w = i8x16.relaxed_swizzle(table, high(c, mask));
      a = more(a, x, w), b = more(b, z, w), a2 = more(a2, x2, w), b2 = more(b2, z2, w);
      w = i8x16.relaxed_swizzle(table, high(k, mask));
      e = more(e, x, w), f = more(f, z, w), e2 = more(e2, x2, w), f2 = more(f2, z2, w);
      c = v128.load(codes, 32);
      k = v128.load(codes, 48);
      x = v128.load32_splat(at, 8), z = v128.load32_splat(at, 40), x2 = v128.load32_splat(at2, 8), z2 = v128.load32_splat(at2, 40);
      w = i8x16.relaxed_swizzle(table, low(c, mask));
      a = more(a, x, w), b = more(b, z, w), a2 = more(a2, x2, w), b2 = more(b2, z2, w);
      w = i8x16.relaxed_swizzle(table, low(k, mask));
      e = more(e, x, w), f = more(f, z, w), e2 = more(e2, x2, w), f2 = more(f2, z2, w);
      x = v128.load32_splat(at, 12), z = v128.load32_splat(at, 44), x2 = v128.load32_splat(at2, 12), z2 = v128.load32_splat(at2, 44);
      w = i8x16.relaxed_swizzle(table, high(c, mask));
      a = more(a, x, w), b = more(b, z, w), a2 = more(a2, x2, w), b2 = more(b2, z2, w);
      w = i8x16.relaxed_swizzle(table, high(k, mask));
      e = more(e, x, w), f = more(f, z, w), e2 = more(e2, x2, w), f2 = more(f2, z2, w);
      s = i32x4.add(s, i32x4.add(i32x4.dot_i16x8_s(a, ones), i32x4.shl(i32x4.dot_i16x8_s(b, ones), 8)));
      r = i32x4.add(r, i32x4.add(i32x4.dot_i16x8_s(e, ones), i32x4.shl(i32x4.dot_i16x8_s(f, ones), 8)));
      s2 = i32x4.add(s2, i32x4.add(i32x4.dot_i16x8_s(a2, ones), i32x4.shl(i32x4.dot_i16x8_s(b2, ones), 8)));
      r2 = i32x4.add(r2, i32x4.add(i32x4.dot_i16x8_s(e2, ones), i32x4.shl(i32x4.dot_i16x8_s(f2, ones), 8)));
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
    at += 32;
    at2 += 32;
    dAt += 8;
    dAt2 += 8;
  }
  v128.store(to, rows03);
  v128.store(to, rows47, 16);
  v128.store(to2, other03);
  v128.store(to2, other47, 16);
}
