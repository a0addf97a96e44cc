/** 8 rows interleaved: each broadcast serves twice as many. In production. */
export { matmul_mxfp4_baseline as multiply } from "../../assembly/matmul-mxfp4-baseline";
