import { exp } from "./exp";

/** y = a + b, n values. */
export function add(a: usize, b: usize, y: usize, n: i32): void {
  const end = a + (n << 2);
  for (; a + 16 <= end; a += 16) {
    v128.store(y, f32x4.add(v128.load(a), v128.load(b)));
    b += 16;
    y += 16;
  }
  for (; a < end; a += 4) {
    store<f32>(y, load<f32>(a) + load<f32>(b));
    b += 4;
    y += 4;
  }
}

/**
 * Clamped SwiGLU of n pairs (gate, up) side by side: min(gate, limit) · sigmoid(alpha · gate) · (clamp(up, ±limit) + 1).
 * The last few of n go through the same vector code, from a copy.
 */
export function swiglu(x: usize, y: usize, n: i32, alpha: f32, limit: f32, scratch: usize): void {
  let i = 0;
  for (; i + 4 <= n; i += 4) v128.store(y + (i << 2), swiglu4(x + (i << 3), alpha, limit));
  if (i < n) {
    memory.copy(scratch, x + (i << 3), (n - i) << 3);
    v128.store(scratch, swiglu4(scratch, alpha, limit));
    memory.copy(y + (i << 2), scratch, (n - i) << 2);
  }
}

function swiglu4(x: usize, alpha: f32, limit: f32): v128 {
  const a = v128.load(x), b = v128.load(x, 16);
  const limits = f32x4.splat(limit), one = f32x4.splat(1);
  const gate = f32x4.min(f32x4.shuffle(a, b, 0, 2, 4, 6), limits);
  const up = f32x4.min(f32x4.max(f32x4.shuffle(a, b, 1, 3, 5, 7), f32x4.splat(-limit)), limits);
  const sigmoid = f32x4.div(one, f32x4.add(one, exp(f32x4.neg(f32x4.mul(gate, f32x4.splat(alpha))))));
  return f32x4.mul(f32x4.mul(gate, sigmoid), f32x4.add(up, one));
}

/** y[c] = Σ over j of x[j, c] · weights[j] for one token, in float64, rounded once. */
export function weighted_sum(x: usize, weights: usize, y: usize, k: i32, n: i32): void {
  const row = n << 2;
  let c = 0;
  for (; c + 8 <= row; c += 8) {
    let sum = f64x2.splat(0);
    for (let j = 0; j < k; j++) {
      const v = f64x2.promote_low_f32x4(v128.load64_zero(x + j * row + c));
      sum = f64x2.add(sum, f64x2.mul(v, f64x2.splat(<f64>load<f32>(weights + (j << 2)))));
    }
    v128.store64_lane(y + c, f32x4.demote_f64x2_zero(sum), 0);
  }
  if (c < row) {
    let sum: f64 = 0;
    for (let j = 0; j < k; j++) sum += <f64>load<f32>(x + j * row + c) * <f64>load<f32>(weights + (j << 2));
    store<f32>(y + c, <f32>sum);
  }
}
