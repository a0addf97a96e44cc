/**
 * 8 rows interleaved: the same, but all weights in one stream, which the processor fetches ahead. In production.
 * 1.8 times as fast as the rung before.
 */
export { matmul_mxfp4_int8 as multiply } from "../../assembly/matmul-mxfp4-int8";
