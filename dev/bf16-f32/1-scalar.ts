/** The first try: row by row, value by value; 32 products in order, then those sums. */
export function multiply(weights: usize, x: usize, y: usize, groups: i32, cols: i32): void {
  for (let row = 0; row < groups << 4; row++) {
    let total: f32 = 0;
    for (let first = 0; first < cols; first += 32) {
      let sum: f32 = 0;
      const end = min(first + 32, cols);
      for (let c = first; c < end; c++) {
        sum += reinterpret<f32>(<u32>load<u16>(weights) << 16) * load<f32>(x + (c << 2));
        weights += 2;
      }
      total += sum;
    }
    store<f32>(y, total);
    y += 4;
  }
}
