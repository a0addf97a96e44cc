/** Checking runtimes: activations recorded, written, read and compared. */

export { type Bisection, bisect, type Finding } from "./bisect.ts";
export { type CompareOptions, type Comparison, compare, type PointDistance } from "./compare.ts";
export { type AnyTrace, type ReadAnyOptions, readAnyTrace } from "./formats/index.ts";
export { mapNames, type NameMap, type ShapeHints } from "./names.ts";
export { constantFloor, measuredFloor, type NoiseFloor, noiseFloor, type PointFloor } from "./noise-floor.ts";
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
