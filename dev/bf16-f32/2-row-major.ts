/**
 * SIMD along the row. The order of sums is another one: 4 lanes and, so that they don't wait for each other, 4 vectors of them.
 * 5.0 times as fast as the rung before.
 */
export function multiply(weights: usize, x: usize, y: usize, groups: i32, cols: i32): void {
  for (let row = 0; row < groups << 4; row++) {
    let a = f32x4.splat(0), b = a, c = a, d = a;
    let at = x;
    for (let n = 0; n < cols; n += 16) {
      a = f32x4.add(a, f32x4.mul(i32x4.shl(v128.load16x4_u(weights), 16), v128.load(at)));
      b = f32x4.add(b, f32x4.mul(i32x4.shl(v128.load16x4_u(weights, 8), 16), v128.load(at, 16)));
      c = f32x4.add(c, f32x4.mul(i32x4.shl(v128.load16x4_u(weights, 16), 16), v128.load(at, 32)));
      d = f32x4.add(d, f32x4.mul(i32x4.shl(v128.load16x4_u(weights, 24), 16), v128.load(at, 48)));
      weights += 32;
      at += 64;
    }
    const sums = f32x4.add(f32x4.add(a, b), f32x4.add(c, d));
    store<f32>(y, f32x4.extract_lane(sums, 0) + f32x4.extract_lane(sums, 1)
      + (f32x4.extract_lane(sums, 2) + f32x4.extract_lane(sums, 3)));
    y += 4;
  }
}
