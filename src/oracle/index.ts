/** Checking runtimes: activations recorded, written, read and compared. */
export { type Comparison, compare, noiseFloor, type PointDistance } from "./compare.ts";
export { type Trace, type TraceOptions, trace, tracePoints } from "./trace.ts";
export { readTrace, type TraceFile, writeTrace } from "./trace-file.ts";
