/** 8 values meet 4 heads at a time, a block of 32 positions for all heads before the next: what is loaded serves 4. In production. */
export { context_f32 as context } from "../../assembly/attention";
