import { describe, expect, test } from "vitest";
import { attention, dense, type Prepare, quantised } from "../../dev/cases.ts";
import { Bench, compile } from "../../dev/compile.ts";
import { compare } from "../../dev/ladders.ts";
import { expFloat32 } from "../../src/numerics/exp-float32.ts";

const module = await compile(`
  export * from "../assembly/relaxed";
  import { exp } from "../assembly/exp";
  export function powers(x: usize, y: usize, n: i32): void {
    for (let i = 0; i < n << 2; i += 16) v128.store(y + i, exp(v128.load(x + i)));
  }
`);

const KERNELS: readonly [kernel: string, order: string, prepare: Prepare][] = [
  ["matmul_f32", "16 rows", dense("f32", 1)],
  ["matmul_f32_4", "16 rows", dense("f32", 4)],
  ["matmul_bf16_4", "16 rows", dense("bf16", 4)],
  ["matmul_mxfp4_int8_2", "8 rows, in pairs", quantised("mxfp4", 8, 0, -12, 2)],
  ["matmul_mxfp4_int16_2", "8 rows, in pairs", quantised("mxfp4", 16, 2, -12, 2)],
  ["matmul_mxfp4_tile", "8 rows", quantised("mxfp4", 16, 1, -3084, 5)],
  ["matmul_mxfp4_tile", "8 rows", quantised("mxfp4", 8, 1, -3084, 5)],
  ["matmul_q8_0_int16_tile", "8 rows", quantised("q8_0", 8, 1, 0, 5)],
  ["scores_bf16", "4 keys", attention("scores", "bf16")],
  ["context_bf16", "rows", attention("context", "bf16")],
];

describe("kernels that no ladder ends in give the reference's bits, too", () => {
  test.each(KERNELS)("%s", (name, order, prepare) => {
    const bench = new Bench();
    const kernels = bench.instantiate(module);
    const made = prepare(bench, kernels, false);
    expect(() => compare(name, kernels[name]!, bench, made, order)).not.toThrow();
  });
});

test("exp has the bits of expFloat32, from −∞ to ∞ and for NaN", () => {
  const bench = new Bench();
  const bits = Uint32Array.from({ length: 2 ** 18 }, (_, i) => i * 16381);
  const edges = [0, -0, 88.37626, 88.37627, -87.33654, -87.33655, Infinity, -Infinity];
  bits.set(new Uint32Array(Float32Array.from(edges).buffer));
  const x = new Float32Array(bits.buffer);
  const y = bench.allocate(x.byteLength);
  bench.instantiate(module)["powers"]!(bench.place(x), y, x.length);
  const found = bench.floats(y, x.length);
  expect(x.findIndex((value, i) => !Object.is(found[i], Math.fround(expFloat32(value))))).toBe(-1);
});
