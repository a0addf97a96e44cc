/**
 * Four groups of rows in turn, a kilobyte of each, far apart in the matrix. In production.
 * 1.2 times as fast as the rung before on an Intel Xeon.
 */
export { matmul_mxfp4_int16 as multiply } from "../../assembly/matmul-mxfp4-int16";
