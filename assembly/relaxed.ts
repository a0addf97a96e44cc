export * from "./baseline";
export { matmul_mxfp4_int8, matmul_mxfp4_int8_2, matmul_mxfp4_int8_tile } from "./matmul-mxfp4-int8";
export { matmul_mxfp4_int16, matmul_mxfp4_int16_2 } from "./matmul-mxfp4-int16";
