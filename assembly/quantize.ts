/**
 * Quantisation of activations, ahead of products with MXFP4 and Q8_0: one scale per block of 32 values.
 *
 *     d = amax / limit,  q = nearest(x · (limit / amax)),  limit = 127 (int8) or 32639 (int16)
 *
 * 32639 is the largest number that splits into two signed bytes, 256 · 127 + 127.
 *
 * For each block, 8 bytes go to `scales`: `offset` · Σq as an int32, where the sum of products starts (what that is for:
 * matmul-mxfp4-int8.ts), and d · `factor`. A block of zeros divides by zero and gets 0 · ∞ = NaN, which the conversion
 * to integers turns into 0, as it should be.
 */

/**
 * The three forms of a block: 32 int8; 32 int16; or int16 split into 32 lower and 32 upper bytes, both signed. Within each 8
 * values the order is the one in which the kernels meet them: bytes 0 2 4 6 1 3 5 7, as the nibbles of MXFP4
 * come, and int16 in the pairs 0 4, 1 5, 2 6, 3 7.
 */
const INT8 = 0;
const INT16 = 1;

export function quantize(
  x: usize,
  blocks: i32,
  limit: f32,
  form: i32,
  offset: i32,
  factor: f32,
  q: usize,
  scales: usize,
): void {
  const limits = f32x4.splat(limit);
  const highest = i16x8.splat(<i16>limit), lowest = i16x8.splat(limit == 127 ? -128 : -32768);
  for (let b = 0; b < blocks; b++) {
    const x0 = v128.load(x), x1 = v128.load(x, 16), x2 = v128.load(x, 32), x3 = v128.load(x, 48);
    const x4 = v128.load(x, 64), x5 = v128.load(x, 80), x6 = v128.load(x, 96), x7 = v128.load(x, 112);
    const m = max(max(max(f32x4.abs(x0), f32x4.abs(x1)), max(f32x4.abs(x2), f32x4.abs(x3))),
      max(max(f32x4.abs(x4), f32x4.abs(x5)), max(f32x4.abs(x6), f32x4.abs(x7))));
    const m2 = max(m, i8x16.shuffle(m, m, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
    const amax = max(m2, i8x16.shuffle(m2, m2, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11));
    const inverse = f32x4.div(limits, amax);

    const q0 = narrow(x0, x1, inverse, lowest, highest), q1 = narrow(x2, x3, inverse, lowest, highest);
    const q2 = narrow(x4, x5, inverse, lowest, highest), q3 = narrow(x6, x7, inverse, lowest, highest);
    const ones = i16x8.splat(1);
    let sum: v128;
    if (form == INT8) {
      const low = evenFirst(i8x16.narrow_i16x8_s(q0, q1)), high = evenFirst(i8x16.narrow_i16x8_s(q2, q3));
      v128.store(q, low);
      v128.store(q, high, 16);
      sum = i32x4.dot_i16x8_s(
        i16x8.add(i16x8.extadd_pairwise_i8x16_s(low), i16x8.extadd_pairwise_i8x16_s(high)), ones);
      q += 32;
    } else {
      sum = i32x4.add(i32x4.add(i32x4.dot_i16x8_s(q0, ones), i32x4.dot_i16x8_s(q1, ones)),
        i32x4.add(i32x4.dot_i16x8_s(q2, ones), i32x4.dot_i16x8_s(q3, ones)));
      if (form == INT16) {
        v128.store(q, pairs(q0));
        v128.store(q, pairs(q1), 16);
        v128.store(q, pairs(q2), 32);
        v128.store(q, pairs(q3), 48);
      } else {
        v128.store(q, evenFirst(i8x16.narrow_i16x8_s(lower(q0), lower(q1))));
        v128.store(q, evenFirst(i8x16.narrow_i16x8_s(lower(q2), lower(q3))), 16);
        v128.store(q, evenFirst(i8x16.narrow_i16x8_s(upper(q0), upper(q1))), 32);
        v128.store(q, evenFirst(i8x16.narrow_i16x8_s(upper(q2), upper(q3))), 48);
      }
      q += 64;
    }
    const total = i32x4.extract_lane(sum, 0) + i32x4.extract_lane(sum, 1)
      + i32x4.extract_lane(sum, 2) + i32x4.extract_lane(sum, 3);
    store<i32>(scales, total * offset);
    store<f32>(scales, f32x4.extract_lane(amax, 0) / limit * factor, 4);
    scales += 8;
    x += 128;
  }
}

/** NaN where either is. */
function max(a: v128, b: v128): v128 {
  return f32x4.max(a, b);
}

/** To integers. The bounds are met by ∞ alone, which comes of a denormal amax: its inverse is infinite. */
function narrow(low: v128, high: v128, inverse: v128, lowest: v128, highest: v128): v128 {
  const q = i16x8.narrow_i32x4_s(
    i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(low, inverse))),
    i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(high, inverse))));
  return i16x8.max_s(i16x8.min_s(q, highest), lowest);
}

function evenFirst(q: v128): v128 {
  return i8x16.shuffle(q, q, 0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15);
}

function pairs(q: v128): v128 {
  return i16x8.shuffle(q, q, 0, 4, 1, 5, 2, 6, 3, 7);
}

/** q = 256 · upper + lower, with lower in −128 … 127. */
function lower(q: v128): v128 {
  return i16x8.shr_s(i16x8.shl(q, 8), 8);
}

function upper(q: v128): v128 {
  return i16x8.shr_s(i16x8.sub(q, lower(q)), 8);
}

/**
 * Brings rows of quantised tokens into the order that the tile kernels read: [token][block] to [block][token].
 *
 * @param size bytes of a block of q: 32 or 64
 */
export function tile(q: usize, scales: usize, tokens: i32, blocks: i32, size: i32, tileQ: usize, tileScales: usize): void {
  for (let t = 0; t < tokens; t++) {
    for (let b = 0; b < blocks; b++) {
      const at = b * tokens + t;
      const to = tileQ + at * size;
      v128.store(to, v128.load(q));
      v128.store(to, v128.load(q, 16), 16);
      if (size == 64) {
        v128.store(to, v128.load(q, 32), 32);
        v128.store(to, v128.load(q, 48), 48);
      }
      store<u64>(tileScales + (at << 3), load<u64>(scales));
      q += size;
      scales += 8;
    }
  }
}
