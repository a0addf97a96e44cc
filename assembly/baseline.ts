export * from "./attention";
export * from "./elementwise";
export * from "./matmul-f32";
export { matmul_mxfp4_baseline, matmul_mxfp4_baseline_tile } from "./matmul-mxfp4-baseline";
export { matmul_q8_0_int16, matmul_q8_0_int16_tile } from "./matmul-q8_0-int16";
export * from "./quantize";
export * from "./repack";
export * from "./rms-norm";
export * from "./rope";
