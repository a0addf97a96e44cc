/**
 * Q8_0 × int16 (int8 activations come as int16 too): both fit one multiply-add of int16 pairs, on baseline SIMD.
 *
 * Weights (repack.ts) come 8 rows at a time, block by block: 32 columns of 8 rows are 256 bytes, and 16 of float16 scales.
 * Each 16 bytes are one pair of columns, of rows 0 to 3 and 4 to 7: columns 0 4, 1 5, 2 6, 3 7 of each 8, as
 * quantize.ts has them.
 */
import { highF16, lowF16 } from "./scales";
import { bandOf, streamsAt, TURN } from "./streams";
import { F16_BIAS, F16_MASK } from "./tables";
import { firstHalf, secondHalf, storeTotals } from "./tile16";

/**
 * One token: y[row] = Σ over blocks of float(S) · (scale · d), S = Σ w · q, for rows [0, 8 · groups).
 *
 * @param q [blocks, 32] int16 and `d` [blocks] (ignored, factor), from quantize.ts
 */
export function matmul_q8_0_int16(
  weights: usize, scales: usize, q: usize, d: usize, y: usize, groups: i32, blocks: i32,
): void {
  const mask = v128.load(F16_MASK), bias = v128.load(F16_BIAS);
  const row = blocks * 256, rowScales = blocks * 16, band = bandOf(groups);
  memory.fill(y, 0, groups << 5);
  for (let g = 0; g < band; g++) {
    const streams = streamsAt(g, groups, band);
    for (let n = 0; n < blocks; n += TURN / 256) {
      const some = min(TURN / 256, blocks - n);
      let from = weights + n * 256, scalesFrom = scales + n * 16, to = y;
      for (let k = 0; k < streams; k++) {
        addBlocks(from, scalesFrom, q + n * 64, d + n * 8, to, some, mask, bias);
        from += band * row;
        scalesFrom += band * rowScales;
        to += band * 32;
      }
    }
    weights += row;
    scales += rowScales;
    y += 32;
  }
}

/** Some blocks of 8 rows, whose products are added to y. */
function addBlocks(
  weights: usize, scales: usize, at: usize, dAt: usize, to: usize, blocks: i32,
  mask: v128, bias: v128,
): void {
  let rows03 = v128.load(to), rows47 = v128.load(to, 16);
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
  v128.store(to, rows03);
  v128.store(to, rows47, 16);
}

/**
 * Several tokens; y [tokens, stride] floats.
 *
 * @param q [blocks, tokens, 32] int16 and `d` [blocks, tokens] (quantize.ts, tile)
 * @param totals room for 32 bytes a token, and 16
 */
export function matmul_q8_0_int16_tile(
  weights: usize, scales: usize, q: usize, d: usize, y: usize, groups: i32, blocks: i32,
  tokens: i32, stride: i32, totals: usize,
): void {
  const mask = v128.load(F16_MASK), bias = v128.load(F16_BIAS);
  const sums = tokens << 4, e = totals + 2 * sums;
  for (let half = 0; half < groups << 1; half++) {
    memory.fill(totals, 0, sums);
    let w = weights + (half >> 1) * (blocks << 8) + ((half & 1) << 3);
    let scale = scales + (half >> 1) * (blocks << 4) + ((half & 1) << 3);
    let x = q, dAt = d;
    for (let n = 0; n < blocks; n++) {
      v128.store(e, lowF16(scale, mask, bias)); // through memory: see matmul-mxfp4-tile.ts
      firstHalf(x, totals, sums, v128.load8x8_s(w), v128.load8x8_s(w, 16), v128.load8x8_s(w, 32), v128.load8x8_s(w, 48),
        v128.load8x8_s(w, 64), v128.load8x8_s(w, 80), v128.load8x8_s(w, 96), v128.load8x8_s(w, 112));
      secondHalf(x, dAt, v128.load(e), totals, sums, v128.load8x8_s(w, 128), v128.load8x8_s(w, 144), v128.load8x8_s(w, 160),
        v128.load8x8_s(w, 176), v128.load8x8_s(w, 192), v128.load8x8_s(w, 208), v128.load8x8_s(w, 224), v128.load8x8_s(w, 240));
      w += 256;
      scale += 16;
      x += tokens << 6;
      dAt += tokens << 3;
    }
    storeTotals(totals, tokens, y + (half << 4), stride);
  }
}
