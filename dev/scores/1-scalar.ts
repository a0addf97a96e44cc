/** The first try: keys [slots, headDim], head by head, key by key, value by value. */
export function scores(
  q: usize, keys: usize, capacity: i32, headDim: i32, group: i32, base: i32, end: i32, scale: f32, out: usize, stride: i32,
): void {
  for (let g = 0; g < group; g++) {
    for (let p = base; p < end; p++) {
      const key = keys + ((p % capacity) * headDim << 2);
      let sum: f32 = 0;
      for (let i = 0; i < headDim; i++) sum += load<f32>(q + (i << 2)) * load<f32>(key + (i << 2));
      store<f32>(out + ((p - base) << 2), sum * scale);
    }
    q += headDim << 2;
    out += stride << 2;
  }
}
