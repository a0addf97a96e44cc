import { roundToEven } from "./float.ts";

const f = Math.fround;

const HIGHEST = f(88.37626);
const LOWEST = f(-87.33654);
const LOG2E = f(Math.LOG2E);
const LN2_HIGH = 0.693359375; // 9 bits: n · LN2_HIGH is exact
const LN2_LOW = f(-2.1219444e-4);
const FIRST = f(1.98756915e-4);
const COEFFICIENTS: Float32Array = Float32Array.of(
  ...[1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1],
);

const bits = new Int32Array(1);
const float = new Float32Array(bits.buffer);

/**
 * e^x of a float32 in steps of float32, none of them fused, so that four lanes of a SIMD unit give the same bits: expf of
 * Moshier's Cephes. 0 below −87.34, where results would be subnormal; ∞ above 88.37. Elsewhere within 1 ulp of e^x.
 */
export function expFloat32(x: number): number {
  if (!(x >= LOWEST)) return Number.isNaN(x) ? Number.NaN : 0;
  if (x > HIGHEST) return Number.POSITIVE_INFINITY;
  // x = n·ln2 + r with |r| ≤ ln2/2
  const n = roundToEven(f(x * LOG2E));
  const r = f(f(x - f(n * LN2_HIGH)) - f(n * LN2_LOW));
  let y = FIRST;
  for (const c of COEFFICIENTS) y = f(f(y * r) + c);
  y = f(y * f(r * r));
  y = f(f(y + r) + 1);
  bits[0] = (n + 127) << 23;
  return f(y * float[0]!);
}
