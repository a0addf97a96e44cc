/** 16 columns of 4 rows, int16 pairs: what the tile kernels of Q8_0 and of baseline SIMD do for one token. */
// @ts-ignore: decorator
@inline
export function dot16(
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
