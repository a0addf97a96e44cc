import { expect, test } from "vitest";
import { exp } from "../../src/numerics/elementary.ts";
import { expFloat32 } from "../../src/numerics/exp-float32.ts";

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

function fromBits(u: number): number {
  bits[0] = u;
  return float[0]!;
}

function toBits(x: number): number {
  float[0] = x;
  return bits[0]!;
}

const HIGHEST = Math.fround(88.37626);
const LOWEST = Math.fround(-87.33654);

test("is the correctly rounded value or a neighbour of it", () => {
  let largest = 0;
  for (const [first, last] of [
    [0, toBits(HIGHEST)],
    [0x80000000, toBits(LOWEST)],
  ] as const) {
    for (let u = first; u <= last; u += 2003) {
      const x = fromBits(u);
      // positive floats are ordered as their bits are: the difference counts the steps between two
      const steps = Math.abs(toBits(expFloat32(x)) - toBits(Math.fround(exp(x))));
      largest = Math.max(largest, steps);
    }
  }
  expect(largest).toBe(1);
});

test("results are normal numbers up to both thresholds, and 0 or infinite beyond", () => {
  expect(expFloat32(HIGHEST)).toBe(Math.fround(exp(HIGHEST)));
  expect(expFloat32(LOWEST)).toBe(Math.fround(exp(LOWEST)));
  expect(expFloat32(LOWEST)).toBeGreaterThanOrEqual(2 ** -126);
  expect(expFloat32(fromBits(toBits(HIGHEST) + 1))).toBe(Number.POSITIVE_INFINITY);
  expect(expFloat32(Number.POSITIVE_INFINITY)).toBe(Number.POSITIVE_INFINITY);
  expect(expFloat32(fromBits(toBits(LOWEST) + 1))).toBe(0);
  expect(expFloat32(Number.NEGATIVE_INFINITY)).toBe(0);
  expect(expFloat32(Number.NaN)).toBeNaN();
  expect([expFloat32(0), expFloat32(-0)]).toEqual([1, 1]);
});
