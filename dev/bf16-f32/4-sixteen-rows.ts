/** 16 rows interleaved: four sums that don't wait for each other, and one broadcast for all. In production. */
export { matmul_bf16 as multiply } from "../../assembly/matmul-f32";
