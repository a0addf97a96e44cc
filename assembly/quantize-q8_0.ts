/**
 * Weights to ggml's Q8_0 (`quantize_row_q8_0_ref`), the same bytes as quantizeQ8_0 in src/numerics: of 32 values, the largest
 * magnitude over 127 as float16, and each value over that, rounded half away from zero.
 */
import { load4 } from "./vectors";

export function quantize_q8_0_bf16(from: usize, blocks: i32, to: usize): void {
  quantizeBlocks<u16>(from, blocks, to);
}

export function quantize_q8_0_f32(from: usize, blocks: i32, to: usize): void {
  quantizeBlocks<f32>(from, blocks, to);
}

function quantizeBlocks<T>(from: usize, blocks: i32, to: usize): void {
  const size = <i32>sizeof<T>();
  for (let b = 0; b < blocks; b++) {
    let m = f32x4.splat(0);
    for (let i = 0; i < 32; i += 4) m = f32x4.max(m, f32x4.abs(load4<T>(from + i * size)));
    m = f32x4.max(m, i64x2.shuffle(m, m, 1, 0));
    m = f32x4.max(m, i32x4.shuffle(m, m, 1, 0, 3, 2));
    const scale = f32x4.extract_lane(m, 0) / 127;
    store<u16>(to, float16(scale));
    const inverse = f32x4.splat(scale == 0 ? 0 : 1 / scale);
    for (let i = 0; i < 32; i += 8) {
      const low = rounded(f32x4.mul(load4<T>(from + i * size), inverse));
      const high = rounded(f32x4.mul(load4<T>(from + (i + 4) * size), inverse));
      const pair = i16x8.narrow_i32x4_s(low, high);
      v128.store64_lane(to + 2 + i, i8x16.narrow_i16x8_s(pair, pair), 0);
    }
    from += 32 * size;
    to += 34;
  }
}

/** To integers, halves away from zero. */
// @ts-ignore: decorator
@inline
function rounded(x: v128): v128 {
  const whole = f32x4.trunc(x);
  const sign = v128.and(x, f32x4.splat(-0.0));
  const away = f32x4.ge(f32x4.abs(f32x4.sub(x, whole)), f32x4.splat(0.5));
  return i32x4.trunc_sat_f32x4_s(f32x4.add(whole, v128.and(away, v128.or(f32x4.splat(1), sign))));
}

/** The bits of a float32 ≥ 0 as float16, to nearest, ties to even. */
function float16(x: f32): u16 {
  if (x != x) return 0x7e00;
  if (x >= 65520) return 0x7c00;
  if (x < 6.103515625e-5) return <u16>nearest<f32>(x * 16777216); // subnormal: in steps of 2^−24
  const bits = reinterpret<u32>(x);
  return <u16>(((bits + 0xfff + ((bits >> 13) & 1)) >> 13) - (112 << 10));
}
