import type { HostTensor } from "../engine/ops.ts";

/** One comparison with a golden value. */
export interface Check {
  /** What it belongs to, such as an op or a model. */
  readonly group: string;
  readonly name: string;
  run(): Promise<CheckResult>;
}

export interface CheckResult {
  readonly error: number;
  /** Largest error that passes. */
  readonly tolerance: number;
  readonly unit: "relative rms" | "max relative" | "float32 ulp" | "differing";
  /** Where the error is largest. */
  readonly detail?: string;
}

export function passes({ error, tolerance }: CheckResult): boolean {
  return error <= tolerance; // false for NaN
}

type Values = HostTensor["data"];

/** rms(actual − expected) / rms(expected). Equal non-finite values count as no error, others as an infinite one. */
export function relativeRms(actual: Values, expected: Values): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  let error = 0;
  let signal = 0;
  for (let i = 0; i < expected.length; i++) {
    const a = actual[i]!;
    const e = expected[i]!;
    if (Object.is(a, e)) {
      if (Number.isFinite(e)) signal += e * e;
    } else if (Number.isFinite(a) && Number.isFinite(e)) {
      error += (a - e) ** 2;
      signal += e * e;
    } else return Number.POSITIVE_INFINITY;
  }
  return error === 0 ? 0 : Math.sqrt(error / signal);
}

/** Largest |actual − expected| / |expected|; float32's subnormal numbers count as its smallest normal one. */
export function maxRelative(actual: Values, expected: Values): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  let max = 0;
  for (let i = 0; i < expected.length; i++) {
    const a = actual[i]!;
    const e = expected[i]!;
    if (a === e || (Number.isNaN(a) && Number.isNaN(e))) continue;
    const error = Math.abs(a - e) / Math.max(Math.abs(e), 2 ** -126);
    if (!(error <= max)) max = Number.isNaN(error) ? Number.POSITIVE_INFINITY : error;
  }
  return max;
}

/** How many values differ; NaN equals NaN, and 0 equals −0. */
export function differing(actual: Values, expected: Values): number {
  if (actual.length !== expected.length) return Math.max(actual.length, expected.length);
  let count = 0;
  for (let i = 0; i < expected.length; i++) {
    if (actual[i] !== expected[i] && !(Number.isNaN(actual[i]) && Number.isNaN(expected[i]))) count++;
  }
  return count;
}

/** Largest error in units of the last place of the expected float32. */
export function maxFloat32Ulps(actual: Values, expected: Values): number {
  let max = 0;
  for (let i = 0; i < expected.length; i++) {
    const a = actual[i]!;
    const e = expected[i]!;
    if (Object.is(a, e) || (Math.fround(a) === Math.fround(e) && !Number.isFinite(Math.fround(e)))) continue;
    const error = Math.abs(a - e) / float32Ulp(e);
    if (!(error <= max)) max = Number.isNaN(error) ? Number.POSITIVE_INFINITY : error;
  }
  return max;
}

/** Distance between the float32 values around x. */
function float32Ulp(x: number): number {
  const magnitude = Math.min(Math.max(Math.abs(x), 2 ** -126), 2 ** 127);
  return 2 ** (Math.floor(Math.log2(magnitude)) - 23);
}
