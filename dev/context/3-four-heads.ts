/**
 * 8 values meet 4 heads at a time, a block of 32 positions for all heads before the next: 8 sums that don't wait for each
 * other, and what is loaded serves 4 heads. Any number of heads that 4 divides.
 * 2.9 times as fast as the rung before.
 */
export function context(
  w: usize, stride: i32, values: usize, capacity: i32, headDim: i32, group: i32, base: i32, low: i32, high: i32, out: usize,
): void {
  const row = headDim << 2, next = stride << 2;
  memory.fill(out, 0, group * row);
  for (let first = low; first < high; first = (first & ~31) + 32) {
    const end = min((first & ~31) + 32, high);
    const from = values + (first % capacity) * row;
    const weights = w + ((first - base) << 2);
    const endOfWeights = weights + ((end - first) << 2);
    for (let g = 0; g < group; g += 4) {
      for (let d = 0; d < headDim; d += 8) {
        let a0 = f32x4.splat(0), a1 = a0, b0 = a0, b1 = a0, c0 = a0, c1 = a0, d0 = a0, d1 = a0;
        let v = from + (d << 2);
        const rows = g * next;
        for (let at = weights + rows; at < endOfWeights + rows; at += 4) {
          const v0 = v128.load(v), v1 = v128.load(v, 16);
          let x = v128.load32_splat(at);
          a0 = f32x4.add(a0, f32x4.mul(x, v0));
          a1 = f32x4.add(a1, f32x4.mul(x, v1));
          x = v128.load32_splat(at + next);
          b0 = f32x4.add(b0, f32x4.mul(x, v0));
          b1 = f32x4.add(b1, f32x4.mul(x, v1));
          x = v128.load32_splat(at + 2 * next);
          c0 = f32x4.add(c0, f32x4.mul(x, v0));
          c1 = f32x4.add(c1, f32x4.mul(x, v1));
          x = v128.load32_splat(at + 3 * next);
          d0 = f32x4.add(d0, f32x4.mul(x, v0));
          d1 = f32x4.add(d1, f32x4.mul(x, v1));
          v += row;
        }
        const to = out + g * row + (d << 2);
        accumulate(to, a0, a1);
        accumulate(to + row, b0, b1);
        accumulate(to + 2 * row, c0, c1);
        accumulate(to + 3 * row, d0, d1);
      }
    }
  }
}

function accumulate(y: usize, low: v128, high: v128): void {
  v128.store(y, f32x4.add(v128.load(y), low));
  v128.store(y, f32x4.add(v128.load(y, 16), high), 16);
}
