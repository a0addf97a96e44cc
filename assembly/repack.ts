/**
 * The orders of weights in memory, made once at load from row-major ones: what each is for stands at the kernel that reads it.
 */

/** 8 rows a group: codes [rows, blocks, 16] and scales [rows, blocks] to [groups, blocks, 128] and [groups, blocks, 8]. */
export function repack_mxfp4(codes: usize, scales: usize, groups: i32, blocks: i32, to: usize, toScales: usize): void {
  const row = blocks << 4;
  for (let g = 0; g < groups; g++) {
    for (let b = 0; b < blocks; b++) {
      transpose32(codes, row, to);
      transpose32(codes + 4 * row, row, to + 16);
      for (let r = 0; r < 8; r++) store<u8>(toScales + r, load<u8>(scales + r * blocks));
      codes += 16;
      to += 128;
      scales += 1;
      toScales += 8;
    }
    codes += 7 * row;
    scales += 7 * blocks;
  }
}

/** 4 rows of 4 words to 4 vectors, 32 bytes apart. */
function transpose32(from: usize, row: i32, to: usize): void {
  const a = v128.load(from), b = v128.load(from + row), c = v128.load(from + 2 * row), d = v128.load(from + 3 * row);
  const ab = i32x4.shuffle(a, b, 0, 4, 1, 5), cd = i32x4.shuffle(c, d, 0, 4, 1, 5);
  const ef = i32x4.shuffle(a, b, 2, 6, 3, 7), gh = i32x4.shuffle(c, d, 2, 6, 3, 7);
  v128.store(to, i64x2.shuffle(ab, cd, 0, 2));
  v128.store(to, i64x2.shuffle(ab, cd, 1, 3), 32);
  v128.store(to, i64x2.shuffle(ef, gh, 0, 2), 64);
  v128.store(to, i64x2.shuffle(ef, gh, 1, 3), 96);
}

/** 8 rows a group: blocks of 34 bytes (ggml's) to [groups, blocks, 256] and float16 scales [groups, blocks, 8]. */
export function repack_q8_0(from: usize, groups: i32, blocks: i32, to: usize, toScales: usize): void {
  const row = blocks * 34;
  for (let g = 0; g < groups; g++) {
    for (let b = 0; b < blocks; b++) {
      for (let r = 0; r < 8; r++) store<u16>(toScales + (r << 1), load<u16>(from + r * row));
      transpose16(
        pairs(from + 2), pairs(from + row + 2), pairs(from + 2 * row + 2), pairs(from + 3 * row + 2),
        pairs(from + 4 * row + 2), pairs(from + 5 * row + 2), pairs(from + 6 * row + 2), pairs(from + 7 * row + 2), to, 16);
      transpose16(
        pairs(from + 18), pairs(from + row + 18), pairs(from + 2 * row + 18), pairs(from + 3 * row + 18),
        pairs(from + 4 * row + 18), pairs(from + 5 * row + 18), pairs(from + 6 * row + 18), pairs(from + 7 * row + 18), to + 128, 16);
      from += 34;
      to += 256;
      toScales += 16;
    }
    from += 7 * row;
  }
}

/** 16 columns in the order 0 4 1 5 2 6 3 7. */
function pairs(at: usize): v128 {
  const v = v128.load(at);
  return i8x16.shuffle(v, v, 0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15);
}

/** 16 rows a group, bfloat16 [rows, cols] to [groups, cols, 16]; cols is a multiple of 8, or the last few go one by one. */
export function repack_bf16(from: usize, groups: i32, cols: i32, to: usize): void {
  const row = cols << 1;
  for (let g = 0; g < groups; g++) {
    let c = 0;
    for (; c + 8 <= cols; c += 8) {
      for (let half = 0; half < 2; half++) {
        const at = from + half * 8 * row;
        transpose16(
          v128.load(at), v128.load(at + 4 * row), v128.load(at + row), v128.load(at + 5 * row),
          v128.load(at + 2 * row), v128.load(at + 6 * row), v128.load(at + 3 * row), v128.load(at + 7 * row),
          to + (half << 4), 32);
      }
      from += 16;
      to += 256;
    }
    for (; c < cols; c++) {
      for (let r = 0; r < 16; r++) {
        // row 8h + 4u + i lies in lane 2i + u of half h
        const lane = (r & 8) | ((r & 3) << 1) | ((r >> 2) & 1);
        store<u16>(to + (lane << 1), load<u16>(from + r * row));
      }
      from += 2;
      to += 32;
    }
    from += 15 * row;
  }
}

/** 16 rows a group, float32 [rows, cols] to [groups, cols, 16]. */
export function repack_f32(from: usize, groups: i32, cols: i32, to: usize): void {
  const row = cols << 2;
  for (let g = 0; g < groups; g++) {
    for (let c = 0; c < cols; c++) {
      for (let r = 0; r < 16; r++) store<f32>(to + (r << 2), load<f32>(from + r * row));
      from += 4;
      to += 64;
    }
    from += 15 * row;
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
