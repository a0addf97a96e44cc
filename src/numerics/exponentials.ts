import { exp } from "./elementary.ts";

/** Values whose exponentials are added up apart from the others. */
export const CHUNK: number = 2 ** 14;

/**
 * What is ahead of a softmax: exp((x − max) / temperature) of each value goes to `weights`, or 0 where that would be below
 * e^−707. Returns their sum, added up in the order of two lanes of a SIMD unit and of threads that share the work: even and odd
 * ones apart, chunk by chunk. (`assembly/exponentials.ts` gives the same bits.)
 */
export function exponentials(
  x: ArrayLike<number>,
  max: number,
  temperature: number,
  weights: Float64Array,
): number {
  let total = 0;
  for (let first = 0; first < x.length; first += CHUNK) {
    const end = Math.min(first + CHUNK, x.length);
    let [even, odd] = [0, 0];
    for (let i = first; i < end; i += 2) {
      const weight = exponential((x[i]! - max) / temperature);
      weights[i] = weight;
      even += weight;
      if (i + 1 === end) break;
      const next = exponential((x[i + 1]! - max) / temperature);
      weights[i + 1] = next;
      odd += next;
    }
    total += even + odd;
  }
  return total;
}

function exponential(x: number): number {
  return x > -707 ? exp(x) : 0;
}
