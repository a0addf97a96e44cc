/**
 * 4 rows × all tokens of a tile, for activations in pairs of int16: what the tile kernels of MXFP4 and Q8_0 share. Half a block
 * of weights stays in 8 registers and meets each token; totals, 16 bytes a token, and the int32 sums of the first
 * half, `sums` bytes behind them, lie in memory, which a cache holds.
 */

/** Columns 0 to 15 of a block. */
// @ts-ignore: decorator
@inline
export function firstHalf(
  x: usize, totals: usize, sums: usize,
  w0: v128, w1: v128, w2: v128, w3: v128, w4: v128, w5: v128, w6: v128, w7: v128,
): void {
  for (const end = totals + sums; totals < end; totals += 16) {
    v128.store(totals + sums, dot(x, w0, w1, w2, w3, w4, w5, w6, w7));
    x += 64;
  }
}

/** Columns 16 to 31, and the block's scales: `e` of the rows, and those of the tokens at `d`. */
// @ts-ignore: decorator
@inline
export function secondHalf(
  x: usize, d: usize, e: v128, totals: usize, sums: usize,
  w0: v128, w1: v128, w2: v128, w3: v128, w4: v128, w5: v128, w6: v128, w7: v128,
): void {
  for (const end = totals + sums; totals < end; totals += 16) {
    const s = i32x4.add(dot(x + 32, w0, w1, w2, w3, w4, w5, w6, w7), v128.load(totals + sums));
    const product = f32x4.mul(f32x4.convert_i32x4_s(s), f32x4.mul(e, v128.load32_splat(d, 4)));
    v128.store(totals, f32x4.add(v128.load(totals), product));
    x += 64;
    d += 8;
  }
}

// @ts-ignore: decorator
@inline
function dot(
  x: usize, w0: v128, w1: v128, w2: v128, w3: v128, w4: v128, w5: v128, w6: v128, w7: v128,
): v128 {
  let s = i32x4.dot_i16x8_s(w0, v128.load32_splat(x));
  let r = i32x4.dot_i16x8_s(w1, v128.load32_splat(x, 4));
  s = i32x4.add(s, i32x4.dot_i16x8_s(w2, v128.load32_splat(x, 8)));
  r = i32x4.add(r, i32x4.dot_i16x8_s(w3, v128.load32_splat(x, 12)));
  s = i32x4.add(s, i32x4.dot_i16x8_s(w4, v128.load32_splat(x, 16)));
  r = i32x4.add(r, i32x4.dot_i16x8_s(w5, v128.load32_splat(x, 20)));
  s = i32x4.add(s, i32x4.dot_i16x8_s(w6, v128.load32_splat(x, 24)));
  r = i32x4.add(r, i32x4.dot_i16x8_s(w7, v128.load32_splat(x, 28)));
  return i32x4.add(s, r);
}

/** Ends a tile's 4 rows: their totals go to y, rows of `stride` floats. */
export function storeTotals(totals: usize, tokens: i32, y: usize, stride: i32): void {
  for (let t = 0; t < tokens; t++) v128.store(y + ((t * stride) << 2), v128.load(totals + (t << 4)));
}
