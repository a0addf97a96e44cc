/** The first try: row by row, value by value, from ggml's blocks: a float16 scale and 32 bytes. */
export function multiply(
  weights: usize, scales: usize, q: usize, d: usize, y: usize, groups: i32, blocks: i32,
): void {
  for (let row = 0; row < groups << 3; row++) {
    let total: f32 = 0;
    for (let n = 0; n < blocks; n++) {
      let sum = 0;
      for (let i = 0; i < 32; i++) {
        const at = q + (((n << 5) + (i & 24) + ((i & 3) << 1) + ((i & 4) >> 2)) << 1);
        sum += <i32>load<i8>(weights + i, 2) * load<i16>(at);
      }
      total += <f32>sum * (float(load<i16>(weights)) * load<f32>(d + (n << 3), 4));
      weights += 34;
    }
    store<f32>(y, total);
    y += 4;
  }
}

/** Float16 to float32, as in assembly/scales.ts. */
function float(half: i16): f32 {
  return reinterpret<f32>((<u32>(<i32>half << 13)) & 0x8fffe000) * reinterpret<f32>(0x77800000);
}
