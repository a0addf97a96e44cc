/**
 * exp, log, pow, sin and cos that give the same bits on every JavaScript engine.
 *
 * ECMAScript leaves the precision of `Math.exp` and its kin to the engine, and V8, JavaScriptCore and SpiderMonkey
 * differ in last digits. These use only + − × ÷ and comparisons, which IEEE 754 fixes, and follow FreeBSD's msun
 * (fdlibm): e_exp.c, e_log.c, k_sin.c, k_cos.c, e_rem_pio2.c. Errors stay below 1 ulp of float64 where those do,
 * and far below 1 ulp of float32 everywhere.
 *
 * fdlibm: Copyright (C) 1993, 2004 by Sun Microsystems, Inc. All rights reserved. Permission to use, copy, modify,
 * and distribute this software is freely granted, provided that this notice is preserved.
 */

const f64 = new Float64Array(1);
const words = new Uint32Array(f64.buffer); // little endian, as every JavaScript engine's typed arrays in use

/** 2^k for −1022 ≤ k ≤ 1023, at k + 1022. */
const POWERS_OF_TWO = new Float64Array(2046);
for (let k = 0, power = 1; k <= 1023; k++, power *= 2) {
  POWERS_OF_TWO[1022 + k] = power;
  if (k < 1023) POWERS_OF_TWO[1022 - k] = 1 / power;
}

function powerOfTwo(k: number): number {
  return POWERS_OF_TWO[(k | 0) + 1022]!;
}

const LN2_HIGH = 6.9314718036912381649e-1; // the upper 33 bits of ln 2: k · LN2_HIGH is exact
const LN2_LOW = 1.90821492927058770002e-10;
const INVERSE_LN2 = Math.LOG2E;

/** e^x. Overflows to ∞ above 709.78, underflows gradually to 0. */
export function exp(x: number): number {
  if (!(x > -707 && x < 709)) return expAtEdges(x);
  const k = exponent(x);
  return fraction(x, k) * powerOfTwo(k);
}

/** x = k·ln2 + r with |r| ≤ ln2/2. */
function exponent(x: number): number {
  return Math.floor(x * INVERSE_LN2 + 0.5);
}

/** e^r by its continued-fraction-like rational approximation (a Remez polynomial in r²). */
function fraction(x: number, k: number): number {
  const high = x - k * LN2_HIGH;
  const low = k * LN2_LOW;
  const r = high - low;
  const t = r * r;
  const c =
    r -
    t *
      (1.66666666666666019037e-1 +
        t *
          (-2.77777777770155933842e-3 +
            t *
              (6.61375632143793436117e-5 + t * (-1.6533902205465251539e-6 + t * 4.13813679705723846039e-8))));
  return 1 - (low - (r * c) / (2 - c) - high);
}

/** Results that are subnormal, 0 or ∞, or nearly so: 2^k may be out of range. */
function expAtEdges(x: number): number {
  if (!(x > -745.2)) return Number.isNaN(x) ? Number.NaN : 0;
  if (x > 709.782712893384) return Number.POSITIVE_INFINITY;
  const k = exponent(x);
  const y = fraction(x, k);
  return k > 0 ? y * 2 * powerOfTwo(k - 1) : y * powerOfTwo(k + 1000) * powerOfTwo(-1000);
}

/** Natural logarithm. log(0) = −∞; of a negative number NaN. */
export function log(x: number): number {
  if (!(x > 0)) return x === 0 ? Number.NEGATIVE_INFINITY : Number.NaN;
  if (x === Number.POSITIVE_INFINITY) return x;
  // x = 2^k · (1 + f) with √½ < 1 + f < √2
  let k = 0;
  if (x < 2.2250738585072014e-308) {
    k = -54;
    x *= 18014398509481984;
  }
  f64[0] = x;
  const high = words[1]!;
  k += (high >> 20) - 1023;
  const mantissa = high & 0xfffff;
  const carry = (mantissa + 0x95f64) & 0x100000; // 1 when the mantissa is above √2
  words[1] = mantissa | (carry ^ 0x3ff00000);
  k += carry >> 20;
  const f = f64[0]! - 1;
  const s = f / (2 + f);
  const z = s * s;
  const w = z * z;
  const even = w * (3.999999999940941908e-1 + w * (2.222219843214978396e-1 + w * 1.531383769920937332e-1));
  const odd =
    z *
    (6.66666666666673513e-1 +
      w * (2.857142874366239149e-1 + w * (1.818357216161805012e-1 + w * 1.479819860511658591e-1)));
  const half = 0.5 * f * f;
  return k * LN2_HIGH - (half - (s * (half + even + odd) + k * LN2_LOW) - f);
}

/** x^y for x > 0, as e^(y·log x): relative error about |y·log x| · 2^−53. */
export function pow(x: number, y: number): number {
  return exp(y * log(x));
}

/** Largest magnitude that {@link sin} and {@link cos} take: 2^19 · π, beyond every angle that RoPE can make. */
export const MAX_ANGLE = 1647099;

// π/2 in two parts of 33 bits and a rest, so that n · part is exact for n < 2^20 (e_rem_pio2.c)
const PI_2_1 = 1.57079632673412561417;
const PI_2_2 = 6.0771005063039659766e-11;
const PI_2_2_REST = 2.02226624879595063154e-21;
const TWO_OVER_PI = 6.36619772367581382433e-1;

/** The two results of {@link reduce}: x − n·π/2 is `reduced + reducedTail`. */
let reduced = 0;
let reducedTail = 0;

/** Brings x into [−π/4, π/4]; returns the quadrant, n mod 4. */
function reduce(x: number): number {
  if (!(Math.abs(x) <= MAX_ANGLE)) {
    if (Number.isFinite(x)) throw new RangeError(`angle ${x} is beyond ±${MAX_ANGLE}`);
    reduced = reducedTail = Number.NaN;
    return 0;
  }
  const n = Math.floor(x * TWO_OVER_PI + 0.5);
  const first = x - n * PI_2_1;
  const second = n * PI_2_2;
  const r = first - second;
  const rest = n * PI_2_2_REST - (first - r - second);
  reduced = r - rest;
  reducedTail = r - reduced - rest;
  return n & 3;
}

/** sin of x + tail for |x| ≤ π/4 (k_sin.c). */
function kernelSin(x: number, tail: number): number {
  const z = x * x;
  const v = z * x;
  const r =
    8.33333333332248946124e-3 +
    z *
      (-1.98412698298579493134e-4 +
        z * (2.75573137070700676789e-6 + z * (-2.50507602534068634195e-8 + z * 1.58969099521155010221e-10)));
  return x - (z * (0.5 * tail - v * r) - tail - v * -1.66666666666666324348e-1);
}

/** cos of x + tail for |x| ≤ π/4 (k_cos.c). */
function kernelCos(x: number, tail: number): number {
  const z = x * x;
  const r =
    z *
    (4.16666666666666019037e-2 +
      z *
        (-1.38888888888741095749e-3 +
          z *
            (2.48015872894767294178e-5 +
              z *
                (-2.75573143513906633035e-7 +
                  z * (2.0875723212981748279e-9 + z * -1.13596475577881948265e-11)))));
  const half = 0.5 * z;
  const w = 1 - half;
  return w + (1 - w - half + (z * r - x * tail));
}

/** Sine of x radians, |x| ≤ {@link MAX_ANGLE}; NaN for ±∞, a RangeError for finite angles beyond. */
export function sin(x: number): number {
  switch (reduce(x)) {
    case 0:
      return kernelSin(reduced, reducedTail);
    case 1:
      return kernelCos(reduced, reducedTail);
    case 2:
      return -kernelSin(reduced, reducedTail);
    default:
      return -kernelCos(reduced, reducedTail);
  }
}

/** Cosine of x radians, with the range of {@link sin}. */
export function cos(x: number): number {
  switch (reduce(x)) {
    case 0:
      return kernelCos(reduced, reducedTail);
    case 1:
      return -kernelSin(reduced, reducedTail);
    case 2:
      return -kernelCos(reduced, reducedTail);
    default:
      return kernelSin(reduced, reducedTail);
  }
}
