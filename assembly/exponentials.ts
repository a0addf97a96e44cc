/**
 * Exponentials of logits ahead of a draw, in float64: the same bits as exponentials in src/numerics. e^x as there (fdlibm's e_exp.c):
 * x = k · ln 2 + r, a rational approximation of e^r, and k added to the exponent.
 */

/** The largest of n floats, NaN if any is, to `out`. */
export function highest(x: usize, n: i32, out: usize): void {
  // pmax is one instruction, but passes over NaN in its second operand
  let max = f32x4.splat(-Infinity), max2 = max, unordered = i32x4.splat(0);
  const end = x + (n << 2);
  for (; x + 32 <= end; x += 32) {
    const v = v128.load(x), v2 = v128.load(x, 16);
    max = f32x4.pmax(max, v);
    max2 = f32x4.pmax(max2, v2);
    unordered = v128.or(unordered, v128.or(f32x4.ne(v, v), f32x4.ne(v2, v2)));
  }
  for (; x < end; x += 4) {
    const v = v128.load32_splat(x);
    max = f32x4.pmax(max, v);
    unordered = v128.or(unordered, f32x4.ne(v, v));
  }
  max = f32x4.pmax(max, max2);
  max = f32x4.pmax(max, i64x2.shuffle(max, max, 1, 0));
  max = f32x4.pmax(max, i32x4.shuffle(max, max, 1, 0, 3, 2));
  store<f32>(out, v128.any_true(unordered) ? NaN : f32x4.extract_lane(max, 0));
}

/** weights[i] = exp((x[i] − max) / temperature) in float64, 0 below e^−707; to `sum`, the even ones' sum plus the odd ones'. */
export function exponentials(x: usize, n: i32, max: f64, temperature: f64, weights: usize, sum: usize): void {
  const highest = f64x2.splat(max), divisor = f64x2.splat(temperature);
  let sums = f64x2.splat(0);
  for (let i = 0; i + 2 <= n; i += 2) {
    const weight = exp(f64x2.div(f64x2.sub(f64x2.promote_low_f32x4(v128.load64_zero(x)), highest), divisor));
    v128.store(weights, weight);
    sums = f64x2.add(sums, weight);
    x += 8;
    weights += 16;
  }
  let even = f64x2.extract_lane(sums, 0);
  if (n & 1) {
    const weight = f64x2.extract_lane(
      exp(f64x2.div(f64x2.sub(f64x2.promote_low_f32x4(v128.load32_zero(x)), highest), divisor)), 0);
    store<f64>(weights, weight);
    even += weight;
  }
  store<f64>(sum, even + f64x2.extract_lane(sums, 1));
}

/** e^x of two floats ≤ 0; 0 from −707 down. */
// @ts-ignore: decorator
@inline
function exp(x: v128): v128 {
  const inRange = f64x2.gt(x, constant(0));
  const k = f64x2.floor(f64x2.add(f64x2.mul(v128.and(x, inRange), constant(1)), constant(2)));
  const high = f64x2.sub(x, f64x2.mul(k, constant(3))), low = f64x2.mul(k, constant(4));
  const r = f64x2.sub(high, low);
  const t = f64x2.mul(r, r);
  let p = constant(5);
  p = f64x2.add(f64x2.mul(p, t), constant(6));
  p = f64x2.add(f64x2.mul(p, t), constant(7));
  p = f64x2.add(f64x2.mul(p, t), constant(8));
  p = f64x2.add(f64x2.mul(p, t), constant(9));
  const c = f64x2.sub(r, f64x2.mul(t, p));
  const e = f64x2.sub(constant(11),
    f64x2.sub(f64x2.sub(low, f64x2.div(f64x2.mul(r, c), f64x2.sub(constant(10), c))), high));
  const exponent = i64x2.extend_low_i32x4_s(i32x4.add(i32x4.trunc_sat_f64x2_s_zero(k), i32x4.splat(1023)));
  return v128.and(f64x2.mul(e, i64x2.shl(exponent, 52)), inRange);
}

// @ts-ignore: decorator
@inline
function constant(i: usize): v128 {
  return v128.load64_splat(CONSTANTS + (i << 3));
}

const CONSTANTS: usize = memory.data<f64>([
  -707, 1.4426950408889634, 0.5, // 1 / ln 2
  6.9314718036912381649e-1, 1.90821492927058770002e-10, // ln 2 in two parts
  4.13813679705723846039e-8, -1.6533902205465251539e-6, 6.61375632143793436117e-5, -2.77777777770155933842e-3,
  1.66666666666666019037e-1, 2, 1,
], 16);
