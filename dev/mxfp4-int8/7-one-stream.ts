/** 8 rows interleaved: the same, but all weights in one stream, which the processor fetches ahead. In production. */
export { matmul_mxfp4_int8 as multiply } from "../../assembly/matmul-mxfp4-int8";
