export { checkpointDigest } from "./digest.ts";
export {
  type GgufDenseType,
  type GgufExport,
  type GgufExportOptions,
  planGgufExport,
} from "./export/gguf.ts";
export { BlobFile, MemoryFile, type RandomAccessFile } from "./file.ts";
export { type GgufArray, GgufMetadata, type GgufScalar, type GgufValue } from "./gguf.ts";
export { type OpenCheckpoint, openCheckpoint, openCheckpointFiles } from "./open.ts";
export { quantizeDense } from "./quantize.ts";
export { encodeSafetensorsHeader, readSafetensors, type Safetensors } from "./safetensors.ts";
export { type CheckpointSummary, summarizeCheckpoint } from "./summary.ts";
export {
  MemorySink,
  plannedFiles,
  type Sink,
  type SinkFile,
  type SynthOptions,
  type SynthResult,
  synthesize,
} from "./synth/index.ts";
export type { StoredTensor } from "./tensors.ts";
export * from "./weights.ts";
