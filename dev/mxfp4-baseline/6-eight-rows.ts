/**
 * 8 rows interleaved: each broadcast serves twice as many. In production.
 * As fast as the rung before.
 */
export { matmul_mxfp4_baseline as multiply } from "../../assembly/matmul-mxfp4-baseline";
