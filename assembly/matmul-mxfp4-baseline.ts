/**
 * MXFP4 × int16 (int8 activations come as int16 too) on baseline SIMD, with the weights of matmul-mxfp4-int8.ts.
 *
 * A 16-bit lane holds columns c, c + 1 of a row in its lower byte and c + 2, c + 3 in its upper one. Masked down to one
 * nibble, its upper byte is code 0, which the table turns into 12, so that the lane becomes 256 · 12 + (value + 12).
 * Sums may wrap around 2³²: taking off 3084 · Σq, mod 2³² too, leaves what was meant.
 */
import { highE8M0, lowE8M0 } from "./scales";
import { bandOf, streamsAt, TURN } from "./streams";
import { NIBBLES_16, SHIFTED_FP4 } from "./tables";

/** One token; q [blocks, 32] int16. */
export function matmul_mxfp4_baseline(
  codes: usize, scales: usize, q: usize, d: usize, y: usize, groups: i32, blocks: i32,
): void {
  const table = v128.load(SHIFTED_FP4), mask = v128.load(NIBBLES_16);
  const row = blocks * 128, rowScales = blocks * 8, band = bandOf(groups);
  memory.fill(y, 0, groups << 5);
  for (let g = 0; g < band; g++) {
    const streams = streamsAt(g, groups, band);
    for (let n = 0; n < blocks; n += TURN / 128) {
      const some = min(TURN / 128, blocks - n);
      let from = codes + n * 128, scalesFrom = scales + n * 8, to = y;
      for (let k = 0; k < streams; k++) {
        addBlocks(from, scalesFrom, q + n * 64, d + n * 8, to, some, table, mask);
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
  table: v128, mask: v128,
): void {
  let rows03 = v128.load(to), rows47 = v128.load(to, 16);
  for (let n = 0; n < blocks; n++) {
    let c: v128, k: v128, x: v128;
    let s = v128.load32_splat(dAt), r = s;
    c = v128.load(codes, 0);
    k = v128.load(codes, 16);
    x = v128.load32_splat(at, 0);
    s = i32x4.add(s, dot(x, v128.and(c, mask), table));
    r = i32x4.add(r, dot(x, v128.and(k, mask), table));
    x = v128.load32_splat(at, 4);
    s = i32x4.add(s, dot(x, v128.and(i16x8.shr_u(c, 4), mask), table));
    r = i32x4.add(r, dot(x, v128.and(i16x8.shr_u(k, 4), mask), table));
    x = v128.load32_splat(at, 8);
    s = i32x4.add(s, dot(x, v128.and(i16x8.shr_u(c, 8), mask), table));
    r = i32x4.add(r, dot(x, v128.and(i16x8.shr_u(k, 8), mask), table));
    x = v128.load32_splat(at, 12);
    s = i32x4.add(s, dot(x, i16x8.shr_u(c, 12), table));
    r = i32x4.add(r, dot(x, i16x8.shr_u(k, 12), table));
    c = v128.load(codes, 32);
    k = v128.load(codes, 48);
    x = v128.load32_splat(at, 16);
    s = i32x4.add(s, dot(x, v128.and(c, mask), table));
    r = i32x4.add(r, dot(x, v128.and(k, mask), table));
    x = v128.load32_splat(at, 20);
    s = i32x4.add(s, dot(x, v128.and(i16x8.shr_u(c, 4), mask), table));
    r = i32x4.add(r, dot(x, v128.and(i16x8.shr_u(k, 4), mask), table));
    x = v128.load32_splat(at, 24);
    s = i32x4.add(s, dot(x, v128.and(i16x8.shr_u(c, 8), mask), table));
    r = i32x4.add(r, dot(x, v128.and(i16x8.shr_u(k, 8), mask), table));
    x = v128.load32_splat(at, 28);
    s = i32x4.add(s, dot(x, i16x8.shr_u(c, 12), table));
    r = i32x4.add(r, dot(x, i16x8.shr_u(k, 12), table));
    c = v128.load(codes, 64);
    k = v128.load(codes, 80);
    x = v128.load32_splat(at, 32);
    s = i32x4.add(s, dot(x, v128.and(c, mask), table));
    r = i32x4.add(r, dot(x, v128.and(k, mask), table));
    x = v128.load32_splat(at, 36);
    s = i32x4.add(s, dot(x, v128.and(i16x8.shr_u(c, 4), mask), table));
    r = i32x4.add(r, dot(x, v128.and(i16x8.shr_u(k, 4), mask), table));
    x = v128.load32_splat(at, 40);
    s = i32x4.add(s, dot(x, v128.and(i16x8.shr_u(c, 8), mask), table));
    r = i32x4.add(r, dot(x, v128.and(i16x8.shr_u(k, 8), mask), table));
    x = v128.load32_splat(at, 44);
    s = i32x4.add(s, dot(x, i16x8.shr_u(c, 12), table));
    r = i32x4.add(r, dot(x, i16x8.shr_u(k, 12), table));
    c = v128.load(codes, 96);
    k = v128.load(codes, 112);
    x = v128.load32_splat(at, 48);
    s = i32x4.add(s, dot(x, v128.and(c, mask), table));
    r = i32x4.add(r, dot(x, v128.and(k, mask), table));
    x = v128.load32_splat(at, 52);
    s = i32x4.add(s, dot(x, v128.and(i16x8.shr_u(c, 4), mask), table));
    r = i32x4.add(r, dot(x, v128.and(i16x8.shr_u(k, 4), mask), table));
    x = v128.load32_splat(at, 56);
    s = i32x4.add(s, dot(x, v128.and(i16x8.shr_u(c, 8), mask), table));
    r = i32x4.add(r, dot(x, v128.and(i16x8.shr_u(k, 8), mask), table));
    x = v128.load32_splat(at, 60);
    s = i32x4.add(s, dot(x, i16x8.shr_u(c, 12), table));
    r = i32x4.add(r, dot(x, i16x8.shr_u(k, 12), table));
    const factor = v128.load32_splat(dAt, 4);
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

function dot(x: v128, codes: v128, table: v128): v128 {
  return i32x4.dot_i16x8_s(i8x16.swizzle(table, codes), x);
}
