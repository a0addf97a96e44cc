/**
 * Vectors that the kernels load into locals ahead of their loops. As literals, V8 would build them from immediates again in
 * each iteration, at a third of the speed.
 */

/** FP4 codes to values, times two (OCP MX v1.0, table 5); and plus 12. */
export const FP4: usize = memory.data<u8>([0, 1, 2, 3, 4, 6, 8, 12, 0, 255, 254, 253, 252, 250, 248, 244], 16);
export const SHIFTED_FP4: usize = memory.data<u8>([12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0], 16);
export const NIBBLES: usize = memory.data<u8>([15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15], 16);
export const UPPER_NIBBLES: usize = memory.data<u16>([0xf00, 0xf00, 0xf00, 0xf00, 0xf00, 0xf00, 0xf00, 0xf00], 16);
export const NIBBLES_16: usize = memory.data<u16>([15, 15, 15, 15, 15, 15, 15, 15], 16);
export const ONES: usize = memory.data<i16>([1, 1, 1, 1, 1, 1, 1, 1], 16);
export const F16_MASK: usize = memory.data<u32>([0x8fffe000, 0x8fffe000, 0x8fffe000, 0x8fffe000], 16);
export const F16_BIAS: usize = memory.data<u32>([0x77800000, 0x77800000, 0x77800000, 0x77800000], 16);
export const UPPER_HALF: usize = memory.data<u32>([0xffff0000, 0xffff0000, 0xffff0000, 0xffff0000], 16);
