/**
 * bfloat16 × float32 and float32 × float32: weights that are not quantised meet activations that are not quantised.
 *
 * Weights (repack.ts) come 16 rows at a time, column by column. A vector of bfloat16 holds rows 0 4 1 5 2 6 3 7, so that its
 * lower halves, shifted up, are rows 0 to 3 as float32, and its upper halves, masked, rows 4 to 7.
 * Sums run over 32 columns, and then over those sums: at 2880 columns a fourth of the error of one long sum.
 */
import { bandOf, streamsAt } from "./streams";
import { UPPER_HALF } from "./tables";
import { accumulate } from "./vectors";

const BLOCK = 32;

/** One token: y[row] = Σ w · x for rows [0, 16 · groups), over any number of columns. */
export function matmul_bf16(weights: usize, x: usize, y: usize, groups: i32, cols: i32): void {
  const mask = v128.load(UPPER_HALF);
  const band = bandOf(groups), row = cols << 5, next = band * row;
  memory.fill(y, 0, groups << 6);
  for (let g = 0; g < band; g++) {
    const streams = streamsAt(g, groups, band);
    for (let first = 0; first < cols; first += BLOCK) {
      const start = x + (first << 2), end = x + (min(first + BLOCK, cols) << 2);
      let from = weights + (first << 5), to = y;
      for (let k = 0; k < streams; k++) {
        let s0 = f32x4.splat(0), s1 = s0, s2 = s0, s3 = s0;
        let w = from;
        for (let at = start; at < end; at += 4) {
          const v = v128.load32_splat(at), a = v128.load(w), b = v128.load(w, 16);
          s0 = f32x4.add(s0, f32x4.mul(i32x4.shl(a, 16), v));
          s1 = f32x4.add(s1, f32x4.mul(v128.and(a, mask), v));
          s2 = f32x4.add(s2, f32x4.mul(i32x4.shl(b, 16), v));
          s3 = f32x4.add(s3, f32x4.mul(v128.and(b, mask), v));
          w += 32;
        }
        accumulate(to, s0, s1);
        accumulate(to + 32, s2, s3);
        from += next;
        to += band << 6;
      }
    }
    weights += row;
    y += 64;
  }
}

export function matmul_f32(weights: usize, x: usize, y: usize, groups: i32, cols: i32): void {
  const band = bandOf(groups), row = cols << 6, next = band * row;
  memory.fill(y, 0, groups << 6);
  for (let g = 0; g < band; g++) {
    const streams = streamsAt(g, groups, band);
    for (let first = 0; first < cols; first += BLOCK) {
      const start = x + (first << 2), end = x + (min(first + BLOCK, cols) << 2);
      let from = weights + (first << 6), to = y;
      for (let k = 0; k < streams; k++) {
        let s0 = f32x4.splat(0), s1 = s0, s2 = s0, s3 = s0;
        let w = from;
        for (let at = start; at < end; at += 4) {
          const v = v128.load32_splat(at);
          s0 = f32x4.add(s0, f32x4.mul(v128.load(w), v));
          s1 = f32x4.add(s1, f32x4.mul(v128.load(w, 16), v));
          s2 = f32x4.add(s2, f32x4.mul(v128.load(w, 32), v));
          s3 = f32x4.add(s3, f32x4.mul(v128.load(w, 48), v));
          w += 64;
        }
        accumulate(to, s0, s1);
        accumulate(to + 32, s2, s3);
        from += next;
        to += band << 6;
      }
    }
    weights += row;
    y += 64;
  }
}

/** Four tokens, x [4, cols] and y [4, stride]: each weight is unpacked once for them. */
export function matmul_bf16_4(weights: usize, x: usize, y: usize, groups: i32, cols: i32, stride: i32): void {
  const mask = v128.load(UPPER_HALF);
  const inputs = cols << 2, outputs = stride << 2;
  const band = bandOf(groups), row = cols << 5, next = band * row;
  for (let t = 0; t < 4; t++) memory.fill(y + t * outputs, 0, groups << 6);
  for (let g = 0; g < band; g++) {
    const streams = streamsAt(g, groups, band);
    for (let first = 0; first < cols; first += BLOCK) {
      const start = x + (first << 2), end = x + (min(first + BLOCK, cols) << 2);
      let from = weights + (first << 5), to = y;
      for (let k = 0; k < streams; k++) {
        for (let half = 0; half < 2; half++) {
          let w = from + (half << 4);
          const y4 = to + (half << 5);
          let a0 = f32x4.splat(0), a1 = a0, b0 = a0, b1 = a0, c0 = a0, c1 = a0, d0 = a0, d1 = a0;
          for (let at = start; at < end; at += 4) {
            const b = v128.load(w), w0 = i32x4.shl(b, 16), w1 = v128.and(b, mask);
            let v = v128.load32_splat(at);
            a0 = f32x4.add(a0, f32x4.mul(w0, v));
            a1 = f32x4.add(a1, f32x4.mul(w1, v));
            v = v128.load32_splat(at + inputs);
            b0 = f32x4.add(b0, f32x4.mul(w0, v));
            b1 = f32x4.add(b1, f32x4.mul(w1, v));
            v = v128.load32_splat(at + 2 * inputs);
            c0 = f32x4.add(c0, f32x4.mul(w0, v));
            c1 = f32x4.add(c1, f32x4.mul(w1, v));
            v = v128.load32_splat(at + 3 * inputs);
            d0 = f32x4.add(d0, f32x4.mul(w0, v));
            d1 = f32x4.add(d1, f32x4.mul(w1, v));
            w += 32;
          }
          accumulate(y4, a0, a1);
          accumulate(y4 + outputs, b0, b1);
          accumulate(y4 + 2 * outputs, c0, c1);
          accumulate(y4 + 3 * outputs, d0, d1);
        }
        from += next;
        to += band << 6;
      }
    }
    weights += row;
    y += 64;
  }
}

export function matmul_f32_4(weights: usize, x: usize, y: usize, groups: i32, cols: i32, stride: i32): void {
  const inputs = cols << 2, outputs = stride << 2;
  const band = bandOf(groups), row = cols << 6, next = band * row;
  for (let t = 0; t < 4; t++) memory.fill(y + t * outputs, 0, groups << 6);
  for (let g = 0; g < band; g++) {
    const streams = streamsAt(g, groups, band);
    for (let first = 0; first < cols; first += BLOCK) {
      const start = x + (first << 2), end = x + (min(first + BLOCK, cols) << 2);
      let from = weights + (first << 6), to = y;
      for (let k = 0; k < streams; k++) {
        for (let half = 0; half < 2; half++) {
          let w = from + (half << 5);
          const y4 = to + (half << 5);
          let a0 = f32x4.splat(0), a1 = a0, b0 = a0, b1 = a0, c0 = a0, c1 = a0, d0 = a0, d1 = a0;
          for (let at = start; at < end; at += 4) {
            const w0 = v128.load(w), w1 = v128.load(w, 16);
            let v = v128.load32_splat(at);
            a0 = f32x4.add(a0, f32x4.mul(w0, v));
            a1 = f32x4.add(a1, f32x4.mul(w1, v));
            v = v128.load32_splat(at + inputs);
            b0 = f32x4.add(b0, f32x4.mul(w0, v));
            b1 = f32x4.add(b1, f32x4.mul(w1, v));
            v = v128.load32_splat(at + 2 * inputs);
            c0 = f32x4.add(c0, f32x4.mul(w0, v));
            c1 = f32x4.add(c1, f32x4.mul(w1, v));
            v = v128.load32_splat(at + 3 * inputs);
            d0 = f32x4.add(d0, f32x4.mul(w0, v));
            d1 = f32x4.add(d1, f32x4.mul(w1, v));
            w += 64;
          }
          accumulate(y4, a0, a1);
          accumulate(y4 + outputs, b0, b1);
          accumulate(y4 + 2 * outputs, c0, c1);
          accumulate(y4 + 3 * outputs, d0, d1);
        }
        from += next;
        to += band << 6;
      }
    }
    weights += row;
    y += 64;
  }
}
