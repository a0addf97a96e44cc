/** The first try: row by row, value by value. An activation is 256 · upper + lower, two signed bytes. */
const FP4: usize = memory.data<i8>([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12]);

export function multiply(
  codes: usize, scales: usize, q: usize, d: usize, y: usize, groups: i32, blocks: i32,
): void {
  for (let row = 0; row < groups << 3; row++) {
    let total: f32 = 0;
    for (let n = 0; n < blocks; n++) {
      let sum = 0;
      for (let j = 0; j < 16; j++) {
        const pair = load<u8>(codes + j);
        const at = q + (n << 6) + ((j & 12) << 1) + (j & 3);
        sum += <i32>load<i8>(FP4 + (pair & 15)) * (256 * <i32>load<i8>(at, 32) + load<i8>(at))
          + <i32>load<i8>(FP4 + (pair >> 4)) * (256 * <i32>load<i8>(at, 36) + load<i8>(at, 4));
      }
      total += <f32>sum * (reinterpret<f32>(<u32>load<u8>(scales) << 23) * load<f32>(d + (n << 3), 4));
      codes += 16;
      scales += 1;
    }
    store<f32>(y, total);
    y += 4;
  }
}
