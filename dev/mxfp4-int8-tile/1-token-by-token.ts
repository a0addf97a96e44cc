/** The first try: the kernel for one token, for each; q [tokens, blocks, 32]. */
import { matmul_mxfp4_int8 } from "../../assembly/matmul-mxfp4-int8";

export function multiply(
  codes: usize, scales: usize, q: usize, d: usize, y: usize, groups: i32, blocks: i32,
  tokens: i32, stride: i32, totals: usize,
): void {
  for (let t = 0; t < tokens; t++) {
    matmul_mxfp4_int8(codes, scales, q, d, y, groups, blocks);
    q += blocks << 5;
    d += blocks << 3;
    y += stride << 2;
  }
}
