/**
 * bfloat16 × float32 and float32 × float32: weights that are not quantised meet activations that are not quantised.
 *
 * Weights (repack.ts) come 16 rows at a time, column by column. A vector of bfloat16 holds rows 0 4 1 5 2 6 3 7, so that its
 * lower halves, shifted up, are rows 0 to 3 as float32, and its upper halves, masked, rows 4 to 7.
 * Sums run over 32 columns, and then over those sums: at 2880 columns a fourth of the error of one long sum.
 */
import { UPPER_HALF } from "./tables";
import { accumulate } from "./vectors";

const BLOCK = 32;

/** One token: y[row] = Σ w · x for rows [0, 16 · groups), over any number of columns. */
export function matmul_bf16(weights: usize, x: usize, y: usize, groups: i32, cols: i32): void {
  const mask = v128.load(UPPER_HALF);
  for (let g = 0; g < groups; g++) {
    let t0 = f32x4.splat(0), t1 = t0, t2 = t0, t3 = t0;
    for (let first = 0; first < cols; first += BLOCK) {
      let s0 = f32x4.splat(0), s1 = s0, s2 = s0, s3 = s0;
      const end = x + (min(first + BLOCK, cols) << 2);
      for (let at = x + (first << 2); at < end; at += 4) {
        const v = v128.load32_splat(at), a = v128.load(weights), b = v128.load(weights, 16);
        s0 = f32x4.add(s0, f32x4.mul(i32x4.shl(a, 16), v));
        s1 = f32x4.add(s1, f32x4.mul(v128.and(a, mask), v));
        s2 = f32x4.add(s2, f32x4.mul(i32x4.shl(b, 16), v));
        s3 = f32x4.add(s3, f32x4.mul(v128.and(b, mask), v));
        weights += 32;
      }
      t0 = f32x4.add(t0, s0);
      t1 = f32x4.add(t1, s1);
      t2 = f32x4.add(t2, s2);
      t3 = f32x4.add(t3, s3);
    }
    v128.store(y, t0);
    v128.store(y, t1, 16);
    v128.store(y, t2, 32);
    v128.store(y, t3, 48);
    y += 64;
  }
}

export function matmul_f32(weights: usize, x: usize, y: usize, groups: i32, cols: i32): void {
  for (let g = 0; g < groups; g++) {
    let t0 = f32x4.splat(0), t1 = t0, t2 = t0, t3 = t0;
    for (let first = 0; first < cols; first += BLOCK) {
      let s0 = f32x4.splat(0), s1 = s0, s2 = s0, s3 = s0;
      const end = x + (min(first + BLOCK, cols) << 2);
      for (let at = x + (first << 2); at < end; at += 4) {
        const v = v128.load32_splat(at);
        s0 = f32x4.add(s0, f32x4.mul(v128.load(weights), v));
        s1 = f32x4.add(s1, f32x4.mul(v128.load(weights, 16), v));
        s2 = f32x4.add(s2, f32x4.mul(v128.load(weights, 32), v));
        s3 = f32x4.add(s3, f32x4.mul(v128.load(weights, 48), v));
        weights += 64;
      }
      t0 = f32x4.add(t0, s0);
      t1 = f32x4.add(t1, s1);
      t2 = f32x4.add(t2, s2);
      t3 = f32x4.add(t3, s3);
    }
    v128.store(y, t0);
    v128.store(y, t1, 16);
    v128.store(y, t2, 32);
    v128.store(y, t3, 48);
    y += 64;
  }
}

/** Four tokens, x [4, cols] and y [4, stride]: each weight is unpacked once for them. */
export function matmul_bf16_4(weights: usize, x: usize, y: usize, groups: i32, cols: i32, stride: i32): void {
  const mask = v128.load(UPPER_HALF);
  const row = cols << 2;
  const next = stride << 2;
  for (let half = 0; half < groups << 1; half++) {
    let from = weights + (half >> 1) * (cols << 5) + ((half & 1) << 4);
    const to = y + (half << 5);
    for (let t = 0; t < 4; t++) {
      v128.store(to + t * next, f32x4.splat(0));
      v128.store(to + t * next, f32x4.splat(0), 16);
    }
    for (let first = 0; first < cols; first += BLOCK) {
      let a0 = f32x4.splat(0), a1 = a0, b0 = a0, b1 = a0, c0 = a0, c1 = a0, d0 = a0, d1 = a0;
      const end = x + (min(first + BLOCK, cols) << 2);
      for (let at = x + (first << 2); at < end; at += 4) {
        const w = v128.load(from), w0 = i32x4.shl(w, 16), w1 = v128.and(w, mask);
        let v = v128.load32_splat(at);
        a0 = f32x4.add(a0, f32x4.mul(w0, v));
        a1 = f32x4.add(a1, f32x4.mul(w1, v));
        v = v128.load32_splat(at + row);
        b0 = f32x4.add(b0, f32x4.mul(w0, v));
        b1 = f32x4.add(b1, f32x4.mul(w1, v));
        v = v128.load32_splat(at + 2 * row);
        c0 = f32x4.add(c0, f32x4.mul(w0, v));
        c1 = f32x4.add(c1, f32x4.mul(w1, v));
        v = v128.load32_splat(at + 3 * row);
        d0 = f32x4.add(d0, f32x4.mul(w0, v));
        d1 = f32x4.add(d1, f32x4.mul(w1, v));
        from += 32;
      }
      accumulate(to, a0, a1);
      accumulate(to + next, b0, b1);
      accumulate(to + 2 * next, c0, c1);
      accumulate(to + 3 * next, d0, d1);
    }
  }
}

export function matmul_f32_4(weights: usize, x: usize, y: usize, groups: i32, cols: i32, stride: i32): void {
  const row = cols << 2;
  const next = stride << 2;
  for (let half = 0; half < groups << 1; half++) {
    let from = weights + (half >> 1) * (cols << 6) + ((half & 1) << 5);
    const to = y + (half << 5);
    for (let t = 0; t < 4; t++) {
      v128.store(to + t * next, f32x4.splat(0));
      v128.store(to + t * next, f32x4.splat(0), 16);
    }
    for (let first = 0; first < cols; first += BLOCK) {
      let a0 = f32x4.splat(0), a1 = a0, b0 = a0, b1 = a0, c0 = a0, c1 = a0, d0 = a0, d1 = a0;
      const end = x + (min(first + BLOCK, cols) << 2);
      for (let at = x + (first << 2); at < end; at += 4) {
        const w0 = v128.load(from), w1 = v128.load(from, 16);
        let v = v128.load32_splat(at);
        a0 = f32x4.add(a0, f32x4.mul(w0, v));
        a1 = f32x4.add(a1, f32x4.mul(w1, v));
        v = v128.load32_splat(at + row);
        b0 = f32x4.add(b0, f32x4.mul(w0, v));
        b1 = f32x4.add(b1, f32x4.mul(w1, v));
        v = v128.load32_splat(at + 2 * row);
        c0 = f32x4.add(c0, f32x4.mul(w0, v));
        c1 = f32x4.add(c1, f32x4.mul(w1, v));
        v = v128.load32_splat(at + 3 * row);
        d0 = f32x4.add(d0, f32x4.mul(w0, v));
        d1 = f32x4.add(d1, f32x4.mul(w1, v));
        from += 64;
      }
      accumulate(to, a0, a1);
      accumulate(to + next, b0, b1);
      accumulate(to + 2 * next, c0, c1);
      accumulate(to + 3 * next, d0, d1);
    }
  }
}
