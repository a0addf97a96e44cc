/**
 * The orders of weights in memory, made once at load from row-major ones: what each is for stands at the kernel that reads it.
 * Row 2i lies at `even` + i · step, row 2i + 1 at `odd` + i · step: rows of one tensor, or of two that alternate.
 */

/** 8 rows a group: codes [rows, blocks, 16] and scales [rows, blocks] to [groups, blocks, 128] and [groups, blocks, 8]. */
export function repack_mxfp4(
  even: usize, odd: usize, step: i32, evenScales: usize, oddScales: usize, scaleStep: i32,
  groups: i32, blocks: i32, to: usize, toScales: usize,
): void {
  for (let g = 0; g < groups; g++) {
    for (let b = 0; b < blocks; b++) {
      const at = b << 4;
      const a = even + at, c = odd + at;
      transpose32(v128.load(a), v128.load(c), v128.load(a + step), v128.load(c + step), to);
      transpose32(v128.load(a + 2 * step), v128.load(c + 2 * step), v128.load(a + 3 * step), v128.load(c + 3 * step), to + 16);
      for (let r = 0; r < 4; r++) {
        store<u8>(toScales + 2 * r, load<u8>(evenScales + b + r * scaleStep));
        store<u8>(toScales + 2 * r + 1, load<u8>(oddScales + b + r * scaleStep));
      }
      to += 128;
      toScales += 8;
    }
    even += 4 * step;
    odd += 4 * step;
    evenScales += 4 * scaleStep;
    oddScales += 4 * scaleStep;
  }
}

/** The same from ggml's blocks of 17 bytes: the scale, then bytes j of elements j (low nibble) and j + 16 (high). */
export function repack_mxfp4_ggml(
  even: usize, odd: usize, step: i32, groups: i32, blocks: i32, to: usize, toScales: usize,
): void {
  for (let g = 0; g < groups; g++) {
    for (let b = 0; b < blocks; b++) {
      const a = even + b * 17, c = odd + b * 17;
      transpose32(fromGgml(a), fromGgml(c), fromGgml(a + step), fromGgml(c + step), to);
      transpose32(fromGgml(a + 2 * step), fromGgml(c + 2 * step), fromGgml(a + 3 * step), fromGgml(c + 3 * step), to + 16);
      for (let r = 0; r < 4; r++) {
        store<u8>(toScales + 2 * r, load<u8>(a + r * step));
        store<u8>(toScales + 2 * r + 1, load<u8>(c + r * step));
      }
      to += 128;
      toScales += 8;
    }
    even += 4 * step;
    odd += 4 * step;
  }
}

/** The codes of a block in OpenAI's order: byte j holds elements 2j and 2j + 1. */
function fromGgml(block: usize): v128 {
  const codes = v128.load(block, 1);
  const nibbles = i8x16.splat(15);
  const low = v128.and(codes, nibbles), high = v128.and(i16x8.shr_u(codes, 4), nibbles);
  const bytes = i16x8.splat(255);
  return i8x16.narrow_i16x8_u(
    v128.and(v128.or(low, i16x8.shr_u(low, 4)), bytes), v128.and(v128.or(high, i16x8.shr_u(high, 4)), bytes));
}

/** 4 rows of 4 words to 4 vectors, 32 bytes apart. */
// @ts-ignore: decorator
@inline
function transpose32(a: v128, b: v128, c: v128, d: v128, to: usize): void {
  const ab = i32x4.shuffle(a, b, 0, 4, 1, 5), cd = i32x4.shuffle(c, d, 0, 4, 1, 5);
  const ef = i32x4.shuffle(a, b, 2, 6, 3, 7), gh = i32x4.shuffle(c, d, 2, 6, 3, 7);
  v128.store(to, i64x2.shuffle(ab, cd, 0, 2));
  v128.store(to, i64x2.shuffle(ab, cd, 1, 3), 32);
  v128.store(to, i64x2.shuffle(ef, gh, 0, 2), 64);
  v128.store(to, i64x2.shuffle(ef, gh, 1, 3), 96);
}

/** 8 rows a group: blocks of 34 bytes (ggml's) to [groups, blocks, 256] and float16 scales [groups, blocks, 8]. */
export function repack_q8_0(
  even: usize, odd: usize, step: i32, groups: i32, blocks: i32, to: usize, toScales: usize,
): void {
  for (let g = 0; g < groups; g++) {
    for (let b = 0; b < blocks; b++) {
      const a = even + b * 34, c = odd + b * 34;
      for (let r = 0; r < 4; r++) {
        store<u16>(toScales + 4 * r, load<u16>(a + r * step));
        store<u16>(toScales + 4 * r + 2, load<u16>(c + r * step));
      }
      for (let half = 2; half < 34; half += 16) {
        const e = a + half, o = c + half;
        transpose16(
          pairs(e), pairs(o), pairs(e + step), pairs(o + step),
          pairs(e + 2 * step), pairs(o + 2 * step), pairs(e + 3 * step), pairs(o + 3 * step), to, 16);
        to += 128;
      }
      toScales += 16;
    }
    even += 4 * step;
    odd += 4 * step;
  }
}

/** 16 columns in the order 0 4 1 5 2 6 3 7. */
function pairs(at: usize): v128 {
  const v = v128.load(at);
  return i8x16.shuffle(v, v, 0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15);
}

/** 16 rows a group, bfloat16 [rows, cols] to [groups, cols, 16]; columns beyond a multiple of 8 go one by one. */
export function repack_bf16(even: usize, odd: usize, step: i32, groups: i32, cols: i32, to: usize): void {
  for (let g = 0; g < groups; g++) {
    let c = 0;
    for (; c + 8 <= cols; c += 8) {
      for (let half = 0; half < 2; half++) {
        const e = even + (c << 1) + half * 4 * step, o = odd + (c << 1) + half * 4 * step;
        transpose16(
          v128.load(e), v128.load(e + 2 * step), v128.load(o), v128.load(o + 2 * step),
          v128.load(e + step), v128.load(e + 3 * step), v128.load(o + step), v128.load(o + 3 * step),
          to + (half << 4), 32);
      }
      to += 256;
    }
    for (; c < cols; c++) {
      for (let r = 0; r < 16; r++) {
        // row 8h + 4u + i lies in lane 2i + u of half h
        const lane = (r & 8) | ((r & 3) << 1) | ((r >> 2) & 1);
        store<u16>(to + (lane << 1), load<u16>((r & 1 ? odd : even) + (r >> 1) * step + (c << 1)));
      }
      to += 32;
    }
    even += 8 * step;
    odd += 8 * step;
  }
}

/** 16 rows a group, float32 [rows, cols] to [groups, cols, 16]. */
export function repack_f32(even: usize, odd: usize, step: i32, groups: i32, cols: i32, to: usize): void {
  for (let g = 0; g < groups; g++) {
    for (let c = 0; c < cols; c++) {
      for (let r = 0; r < 16; r++) {
        store<f32>(to + (r << 2), load<f32>((r & 1 ? odd : even) + (r >> 1) * step + (c << 2)));
      }
      to += 64;
    }
    even += 8 * step;
    odd += 8 * step;
  }
}

/** 8 vectors of 8 lanes to 8 vectors `step` bytes apart, lane i of each into vector i. */
// @ts-ignore: decorator
@inline
function transpose16(
  a: v128, b: v128, c: v128, d: v128, e: v128, f: v128, g: v128, h: v128, to: usize, step: i32,
): void {
  const ab = i16x8.shuffle(a, b, 0, 8, 1, 9, 2, 10, 3, 11), ab2 = i16x8.shuffle(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
  const cd = i16x8.shuffle(c, d, 0, 8, 1, 9, 2, 10, 3, 11), cd2 = i16x8.shuffle(c, d, 4, 12, 5, 13, 6, 14, 7, 15);
  const ef = i16x8.shuffle(e, f, 0, 8, 1, 9, 2, 10, 3, 11), ef2 = i16x8.shuffle(e, f, 4, 12, 5, 13, 6, 14, 7, 15);
  const gh = i16x8.shuffle(g, h, 0, 8, 1, 9, 2, 10, 3, 11), gh2 = i16x8.shuffle(g, h, 4, 12, 5, 13, 6, 14, 7, 15);
  const p = i32x4.shuffle(ab, cd, 0, 4, 1, 5), q = i32x4.shuffle(ab, cd, 2, 6, 3, 7);
  const r = i32x4.shuffle(ef, gh, 0, 4, 1, 5), s = i32x4.shuffle(ef, gh, 2, 6, 3, 7);
  const t = i32x4.shuffle(ab2, cd2, 0, 4, 1, 5), u = i32x4.shuffle(ab2, cd2, 2, 6, 3, 7);
  const v = i32x4.shuffle(ef2, gh2, 0, 4, 1, 5), w = i32x4.shuffle(ef2, gh2, 2, 6, 3, 7);
  v128.store(to, i64x2.shuffle(p, r, 0, 2));
  v128.store(to + step, i64x2.shuffle(p, r, 1, 3));
  v128.store(to + 2 * step, i64x2.shuffle(q, s, 0, 2));
  v128.store(to + 3 * step, i64x2.shuffle(q, s, 1, 3));
  v128.store(to + 4 * step, i64x2.shuffle(t, v, 0, 2));
  v128.store(to + 5 * step, i64x2.shuffle(t, v, 1, 3));
  v128.store(to + 6 * step, i64x2.shuffle(u, w, 0, 2));
  v128.store(to + 7 * step, i64x2.shuffle(u, w, 1, 3));
}
