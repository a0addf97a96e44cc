/** The first try: head by head, value by value, over blocks of 32 positions and then over those. */
export function context(
  w: usize, stride: i32, values: usize, capacity: i32, headDim: i32, group: i32, base: i32, low: i32, high: i32, out: usize,
): void {
  for (let g = 0; g < group; g++) {
    for (let i = 0; i < headDim; i++) {
      let total: f32 = 0;
      for (let first = low; first < high; first = (first & ~31) + 32) {
        const end = min((first & ~31) + 32, high);
        let sum: f32 = 0;
        for (let p = first; p < end; p++) {
          sum += load<f32>(w + ((p - base) << 2)) * load<f32>(values + (((p % capacity) * headDim + i) << 2));
        }
        total += sum;
      }
      store<f32>(out, total);
      out += 4;
    }
    w += stride << 2;
  }
}
