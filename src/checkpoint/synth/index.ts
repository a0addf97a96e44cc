import type { ModelConfig } from "../../config.ts";
import { UsageError } from "../../errors.ts";
import { encodeGgufHeader, padded } from "../gguf-encode.ts";
import { fillerTokenizer, type GgufTokenizer, ggufMetadata } from "../gguf-keys.ts";
import { encodeSafetensorsHeader } from "../safetensors.ts";
import { ggufTensors } from "./gguf.ts";
import { byteLength, SynthModel, type SynthTensor } from "./model.ts";
import type { DenseType } from "./quantize.ts";
import { huggingFaceTensors, originalTensors, shard } from "./safetensors.ts";
import { huggingFaceConfig, originalConfig, settingsJson } from "./settings.ts";
import { SHAPES, type ShapeName } from "./shapes.ts";
import type { Sink, SinkFile } from "./sink.ts";

export { type GgufTokenizer, type TokenizerJson, tokenizerFromJson } from "../gguf-keys.ts";
export type { DenseType } from "./quantize.ts";
export { SHAPES, type ShapeName } from "./shapes.ts";
export { MemorySink, type Sink, type SinkFile } from "./sink.ts";

export interface SynthOptions {
  readonly shape: ShapeName;
  readonly format: "hf" | "original" | "gguf";
  /** Fewer or more layers than the shape has. */
  readonly layers?: number;
  readonly seed?: number;
  /** GGUF only: type of embeddings and attention. `bf16`, the default, holds the same values as the other formats. */
  readonly dense?: DenseType;
  /** GGUF only; default: tokens that stand for nothing. */
  readonly tokenizer?: GgufTokenizer;
  /** Leaves the experts' matrices out: zeros that take no room on a disk with sparse files. */
  readonly sparse?: boolean;
  /** Limit on one safetensors file; default: as published. */
  readonly maxShardBytes?: number;
  readonly onProgress?: (written: number, total: number) => void;
}

/** What was written. */
export interface SynthResult {
  readonly config: ModelConfig;
  readonly files: readonly { name: string; bytes: number }[];
}

/** Names and sizes of the files that {@link synthesize} would write. */
export function plannedFiles(options: SynthOptions): SynthResult {
  const { config, plan } = planFiles(options);
  return { config, files: plan.map((file) => ({ name: file.name, bytes: fileBytes(file) })) };
}

/** Bytes that {@link synthesize} would write, without what `sparse` leaves out. */
export function bytesOnDisk(options: SynthOptions): number {
  const { plan } = planFiles(options);
  const holes = options.sparse ? plan.flatMap(({ tensors }) => tensors.filter(isExpertMatrix)) : [];
  return (
    plan.reduce((sum, file) => sum + fileBytes(file), 0) -
    holes.reduce((sum, hole) => sum + byteLength(hole), 0)
  );
}

/**
 * Writes a random checkpoint of a published shape. For one shape, number of layers and seed, all formats hold the same
 * values (GGUF with `dense: "q8_0"` excepted), and every run and JavaScript engine writes the same bytes.
 */
export async function synthesize(sink: Sink, options: SynthOptions): Promise<SynthResult> {
  const { config, plan } = planFiles(options);
  const files = plan.map((file) => ({ name: file.name, bytes: fileBytes(file) }));
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
  let written = 0;
  for (const planned of plan) {
    const file = await sink.create(planned.name);
    try {
      await writeFile(file, planned, options.sparse === true, (bytes) => {
        written += bytes;
        options.onProgress?.(written, total);
      });
    } finally {
      await file.close();
    }
  }
  return { config, files };
}

function planFiles(options: SynthOptions): { config: ModelConfig; plan: FilePlan[] } {
  const { shape, format, layers = SHAPES[shape].numLayers, seed = 0 } = options;
  checkInteger("layers", layers, 1, MAX_LAYERS);
  checkInteger("seed", seed, 0, 2 ** 32 - 1);
  const config: ModelConfig = {
    ...SHAPES[shape],
    numLayers: layers,
    layerTypes: Array.from({ length: layers }, (_, i) => (i % 2 === 0 ? "sliding" : "full")),
  };
  const model = new SynthModel(config, seed);
  return { config, plan: format === "gguf" ? planGguf(model, options) : planSafetensors(model, options) };
}

/** The readers' limit. */
const MAX_LAYERS = 1024;

function checkInteger(what: string, value: number, min: number, max: number): void {
  if (Number.isSafeInteger(value) && value >= min && value <= max) return;
  throw new UsageError(`${what} is out of range`, {
    expected: `an integer from ${min} to ${max}`,
    found: value,
  });
}

/** A file to write: its header, or all of it, and the tensors that follow, each padded by `pad`. */
interface FilePlan {
  readonly name: string;
  readonly header: Uint8Array;
  readonly tensors: readonly SynthTensor[];
  readonly pad: (bytes: number) => number;
}

const unpadded = (bytes: number): number => bytes;

function planGguf(model: SynthModel, { shape, dense = "bf16", tokenizer }: SynthOptions): FilePlan[] {
  const { config } = model;
  const tensors = ggufTensors(model, dense);
  const tokens = tokenizer ?? fillerTokenizer(config.vocabSize);
  const header = encodeGgufHeader(
    ggufMetadata(config, tokens, `gpt-oss-${shape} synthetic`),
    tensors.map((tensor) => ({ ...tensor, bytes: byteLength(tensor) })),
  );
  return [{ name: `gpt-oss-${shape}-mxfp4.gguf`, header, tensors, pad: padded }];
}

function planSafetensors(model: SynthModel, { format, maxShardBytes }: SynthOptions): FilePlan[] {
  const original = format === "original";
  const tensors = original ? originalTensors(model) : huggingFaceTensors(model);
  const total = tensors.reduce((sum, tensor) => sum + byteLength(tensor), 0);
  // OpenAI has gpt-oss-20b in one file, 120b in seven; on the hub they are 3 and 15
  const limit = maxShardBytes ?? (original ? (total < 16e9 ? total : 10e9) : 4.8e9);
  const shards = shard(tensors, limit);
  const names = shardNames(shards.length, original);
  const files = shards.map((part, i) => ({
    name: names[i]!,
    header: safetensorsHeader(part, original),
    tensors: part,
    pad: unpadded,
  }));
  const weightMap = Object.fromEntries(
    shards.flatMap((part, i) => part.map(({ name }) => [name, names[i]!])),
  );
  const settings = original ? originalConfig(model.config) : huggingFaceConfig(model.config);
  return [
    ...files,
    ...(shards.length > 1
      ? [jsonFile("model.safetensors.index.json", { metadata: { total_size: total }, weight_map: weightMap })]
      : []),
    jsonFile("config.json", settings),
  ];
}

function safetensorsHeader(tensors: readonly SynthTensor[], original: boolean): Uint8Array {
  const entries = tensors.map((tensor) => ({ ...tensor, bytes: byteLength(tensor) }));
  return original ? encodeSafetensorsHeader(entries) : encodeSafetensorsHeader(entries, { format: "pt" });
}

/** The published names, which count from 1 in one layout, and from 0 to the "of" number in the other. */
function shardNames(count: number, original: boolean): string[] {
  if (count === 1) return ["model.safetensors"];
  const five = (n: number): string => String(n).padStart(5, "0");
  return Array.from({ length: count }, (_, i) =>
    original
      ? `model--${five(i + 1)}-of-${five(count)}.safetensors`
      : `model-${five(i)}-of-${five(count - 1)}.safetensors`,
  );
}

function jsonFile(name: string, content: Record<string, unknown>): FilePlan {
  const header = new TextEncoder().encode(settingsJson(content));
  return { name, header, tensors: [], pad: unpadded };
}

function fileBytes({ header, tensors, pad }: FilePlan): number {
  return tensors.reduce((sum, tensor) => sum + pad(byteLength(tensor)), header.length);
}

/** Codes and scales of experts, in the names of any layout. */
function isExpertMatrix({ name }: SynthTensor): boolean {
  return /(mlp[12]_weight\.|experts\.(gate_up|down)_proj_)(blocks|scales)$|_exps\.weight$/.test(name);
}

/** Large, since between chunks a busy machine lets us wait. */
const CHUNK_BYTES = 1 << 24;

/** Makes the next chunk while the last one is being written. */
async function writeFile(
  file: SinkFile,
  { header, tensors, pad }: FilePlan,
  sparse: boolean,
  onWritten: (bytes: number) => void,
): Promise<void> {
  const room = Math.min(CHUNK_BYTES, Math.max(0, ...tensors.map(byteLength)));
  const buffers = [new Uint8Array(room), new Uint8Array(room)];
  let turn = 0;
  let pending = file.write(header).then(() => onWritten(header.length));
  const next = async (bytes: Uint8Array): Promise<void> => {
    await pending;
    pending = file.write(bytes).then(() => onWritten(bytes.length));
    pending.catch(() => {}); // whoever awaits it next gets the error
  };
  for (const tensor of tensors) {
    if (sparse && isExpertMatrix(tensor)) {
      await pending;
      await file.skip(byteLength(tensor));
      onWritten(byteLength(tensor));
      continue;
    }
    const rowsPerChunk = Math.max(1, Math.floor(CHUNK_BYTES / tensor.rowBytes));
    for (let row = 0; row < tensor.rows; row += rowsPerChunk) {
      const bytes = Math.min(rowsPerChunk, tensor.rows - row) * tensor.rowBytes;
      const whole = bytes > room ? new Uint8Array(bytes) : buffers[turn++ % 2]!;
      const out = whole.subarray(0, bytes);
      tensor.fill(row, out);
      await next(out);
    }
    const padding = pad(byteLength(tensor)) - byteLength(tensor);
    if (padding > 0) await next(new Uint8Array(padding));
  }
  await pending;
}
