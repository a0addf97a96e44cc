/** Checking runtimes: activations recorded, written, read and compared. */

export { type Bisection, bisect, type Finding } from "./bisect.ts";
export { type CompareOptions, type Comparison, compare, type PointDistance } from "./compare.ts";
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
export { type Candidate, type DiagnoseOptions, type Diagnosis, diagnose, Laboratory } from "./diagnose.ts";
export { dialectOf } from "./dialect-of.ts";
export { type AnyTrace, type ReadAnyOptions, readAnyTrace } from "./formats/index.ts";
export {
  type CheckOptions,
  checkServer,
  harmonyLikelihoods,
  type Likelihoods,
  type ServerReport,
} from "./live/check.ts";
export { MUTANTS, type Mutant, mutantsMatching } from "./mutants/index.ts";
export { promptToShowAll } from "./mutants/prompt.ts";
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
export { fitTheirs, type Theirs } from "./theirs.ts";
export { type Trace, type TraceOptions, trace, tracePoints } from "./trace.ts";
export { readTrace, type TraceFile, writeTrace } from "./trace-file.ts";
