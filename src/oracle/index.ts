/** Checking runtimes: activations recorded, written, read and compared. */
export { type Bisection, bisect, type Finding } from "./bisect.ts";
export { type Comparison, compare, noiseFloor, type PointDistance } from "./compare.ts";
export { type CommandOptions, type CommandRuntime, commandRuntime } from "./conformance/command.ts";
export { type ConformanceOptions, conformance } from "./conformance/index.ts";
export { modelRuntime, textRuntime } from "./conformance/own.ts";
export { conformanceText } from "./conformance/report.ts";
export {
  type Activation,
  type CheckReport,
  type ConformanceReport,
  type Level,
  type LevelReport,
  type LogitRows,
  NotOffered,
  type Precision,
  type Runtime,
  type RuntimeSession,
} from "./conformance/runtime.ts";
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
