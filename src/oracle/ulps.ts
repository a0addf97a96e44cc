/** Buckets of a histogram: no error, at most 1, 2, 4 … 2²⁰ units in the last place, and more. */
export const ULP_BUCKETS = 23;

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/** The bucket of an error beside a value, for floating-point numbers of so many mantissa bits (24 float32, 8 bfloat16). */
export function ulpBucket(error: number, value: number, mantissaBits: number): number {
  if (error === 0) return 0;
  if (!(error < Number.POSITIVE_INFINITY)) return ULP_BUCKETS - 1;
  const distance = exponent(error) - exponent(value) + mantissaBits - 1;
  // a power of two is its own bucket's upper end
  const above = isPowerOfTwo(error) ? 0 : 1;
  return Math.max(1, Math.min(ULP_BUCKETS - 1, distance + above + 1));
}

function exponent(x: number): number {
  float[0] = x;
  return Math.max(1, (bits[0]! >>> 23) & 255);
}

function isPowerOfTwo(x: number): boolean {
  float[0] = x;
  return (bits[0]! & 0x7fffff) === 0;
}
