/** Checking runtimes: activations recorded, written, read and compared. */
export { type Bisection, bisect, type Finding } from "./bisect.ts";
export { type Comparison, compare, noiseFloor, type PointDistance } from "./compare.ts";
export {
  type Continuation,
  type ContinuedPoint,
  continueFrom,
  expertsFromJson,
  type ReplayOptions,
  replay,
} from "./replay.ts";
export { fitTheirs, nearestDialect, type Theirs } from "./theirs.ts";
export { type Trace, type TraceOptions, trace, tracePoints } from "./trace.ts";
export { readTrace, type TraceFile, writeTrace } from "./trace-file.ts";
