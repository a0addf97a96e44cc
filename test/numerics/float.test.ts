import { describe, expect, test } from "vitest";
import { decodeFloat16, encodeFloat16, roundToEven } from "../../src/numerics/float.ts";

describe("float16", () => {
  const finite = Array.from({ length: 0x7c00 }, (_, u) => u);

  test("every value survives decoding and encoding, of both signs", () => {
    expect(finite.map((u) => encodeFloat16(decodeFloat16(u)))).toEqual(finite);
    expect(finite.map((u) => encodeFloat16(-decodeFloat16(u)))).toEqual(finite.map((u) => u | 0x8000));
  });

  test("values between two go to the nearer, halves to the even one", () => {
    for (const u of finite.slice(0, -1)) {
      const [low, high] = [decodeFloat16(u), decodeFloat16(u + 1)];
      const half = (low + high) / 2;
      const quarter = (low + half) / 2; // exact in float32, as `half` is
      expect(encodeFloat16(quarter)).toBe(u);
      expect(encodeFloat16(half)).toBe(u % 2 === 0 ? u : u + 1);
      expect(encodeFloat16((half + high) / 2)).toBe(u + 1);
    }
  });

  test("what is too large becomes infinite, and NaN stays NaN", () => {
    expect(encodeFloat16(65519.996)).toBe(0x7bff);
    expect(encodeFloat16(65520)).toBe(0x7c00);
    expect(encodeFloat16(Number.NEGATIVE_INFINITY)).toBe(0xfc00);
    expect(decodeFloat16(encodeFloat16(Number.NaN))).toBeNaN();
  });
});

test("roundToEven rounds halves to the even integer", () => {
  const cases = [0, 0.5, 1.5, 2.5, 2.4999998, -0.5, -1.5, -2.5, 32766.5, -127.5, 2 ** 50 + 0.5];
  expect(cases.map(roundToEven)).toEqual([0, 0, 2, 2, 2, 0, -2, -2, 32766, -128, 2 ** 50]);
});
