/**
 * e^x of 4 floats, the same bits as expFloat32 in src/numerics: x = n · ln 2 + r, a polynomial for e^r (Cephes' expf),
 * and n added to the exponent. 0 below −87.33654, ∞ above 88.37626, NaN for NaN.
 */
// @ts-ignore: decorator
@inline
export function exp(x: v128): v128 {
  const n = f32x4.nearest(f32x4.mul(x, constant(0)));
  const r = f32x4.sub(f32x4.sub(x, f32x4.mul(n, constant(1))), f32x4.mul(n, constant(2)));
  let y = constant(3);
  y = f32x4.add(f32x4.mul(y, r), constant(4));
  y = f32x4.add(f32x4.mul(y, r), constant(5));
  y = f32x4.add(f32x4.mul(y, r), constant(6));
  y = f32x4.add(f32x4.mul(y, r), constant(7));
  y = f32x4.add(f32x4.mul(y, r), constant(8));
  y = f32x4.add(f32x4.add(f32x4.mul(y, f32x4.mul(r, r)), r), constant(9));
  y = f32x4.mul(y, i32x4.shl(f32x4.add(n, constant(10)), 23)); // the sum's last bits are n + 127
  y = v128.bitselect(constant(11), y, f32x4.gt(x, constant(12)));
  y = v128.andnot(y, f32x4.lt(x, constant(13)));
  return v128.bitselect(x, y, f32x4.ne(x, x));
}

// loaded where they are used (tables.ts says why), by a broadcast of one
// @ts-ignore: decorator
@inline
function constant(i: usize): v128 {
  return v128.load32_splat(CONSTANTS + (i << 2));
}

const CONSTANTS: usize = memory.data<f32>([
  1.44269504088896341, 0.693359375, -2.12194440e-4, // 1 / ln 2; ln 2 in two parts
  1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1, 1,
  12582912 + 127, Infinity, 88.37626, -87.33654,
], 16);
