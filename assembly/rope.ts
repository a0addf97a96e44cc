/**
 * RoPE (arXiv:2104.09864) of one token's heads: (a, b) → (a·cos − b·sin, b·cos + a·sin), a in the first half of each head,
 * b in the second. cos and sin [half] are the host's (src/model/rope.ts).
 */
export function rotate(x: usize, cos: usize, sin: usize, y: usize, heads: i32, half: i32): void {
  const size = half << 2;
  for (let h = 0; h < heads; h++) {
    let i = 0;
    for (; i + 16 <= size; i += 16) {
      const a = v128.load(x + i), b = v128.load(x + size + i), c = v128.load(cos + i), s = v128.load(sin + i);
      v128.store(y + i, f32x4.sub(f32x4.mul(a, c), f32x4.mul(b, s)));
      v128.store(y + size + i, f32x4.add(f32x4.mul(b, c), f32x4.mul(a, s)));
    }
    for (; i < size; i += 4) {
      const a = load<f32>(x + i), b = load<f32>(x + size + i), c = load<f32>(cos + i), s = load<f32>(sin + i);
      store<f32>(y + i, a * c - b * s);
      store<f32>(y + size + i, b * c + a * s);
    }
    x += 2 * size;
    y += 2 * size;
  }
}
