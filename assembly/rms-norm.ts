/**
 * RMSNorm (arXiv:1910.07467) of rows of n values: x / sqrt(mean(x²) + eps) · scale.
 * The sum of squares is in float64, four partial sums, by index mod 4.
 */
export function rms_norm(x: usize, scale: usize, y: usize, rows: i32, n: i32, eps: f64): void {
  for (let row = 0; row < rows; row++) {
    let ab = f64x2.splat(0), cd = ab;
    const end = x + (n << 2), endOfVectors = x + ((n & ~3) << 2);
    for (let at = x; at < endOfVectors; at += 16) {
      const v = v128.load(at);
      const low = f64x2.promote_low_f32x4(v);
      const high = f64x2.promote_low_f32x4(i64x2.shuffle(v, v, 1, 0));
      ab = f64x2.add(ab, f64x2.mul(low, low));
      cd = f64x2.add(cd, f64x2.mul(high, high));
    }
    let a = f64x2.extract_lane(ab, 0);
    for (let at = endOfVectors; at < end; at += 4) {
      const v = <f64>load<f32>(at);
      a += v * v;
    }
    const sum = a + f64x2.extract_lane(ab, 1) + (f64x2.extract_lane(cd, 0) + f64x2.extract_lane(cd, 1));
    const mean = <f32>(sum / <f64>n);
    const inverse = <f32>(1 / sqrt<f64>(<f64><f32>(<f64>mean + eps)));
    const factor = f32x4.splat(inverse);
    let s = scale;
    let at = x;
    for (; at < endOfVectors; at += 16) {
      v128.store(y, f32x4.mul(f32x4.mul(v128.load(at), factor), v128.load(s)));
      y += 16;
      s += 16;
    }
    for (; at < end; at += 4) {
      store<f32>(y, load<f32>(at) * inverse * load<f32>(s));
      y += 4;
      s += 4;
    }
    x = end;
  }
}
