import type { ModelConfig } from "../../config.ts";
import { CheckpointError } from "../../errors.ts";
import { loadTokenizer } from "../../tokenizer/index.ts";
import { encodeGgufHeader, padded } from "../gguf-encode.ts";
import { type GgufTokenizer, ggufMetadata, type TokenizerJson, tokenizerFromJson } from "../gguf-keys.ts";
import type { OpenCheckpoint } from "../open.ts";
import type { SinkFile } from "../synth/sink.ts";
import { type ExportTensor, exportTensors, type GgufDenseType } from "./gguf-tensors.ts";

export type { GgufDenseType } from "./gguf-tensors.ts";

export interface GgufExportOptions {
  /** Type of embeddings and attention matrices; default: as in the checkpoint. */
  readonly dense?: GgufDenseType;
  /** `general.name`; default: gpt-oss and the number of experts. */
  readonly name?: string;
  /** A Jinja template for other runtimes; default: the checkpoint's, from chat_template.jinja or tokenizer_config.json. */
  readonly chatTemplate?: string;
}

/** A GGUF file that is ready to be written. */
export interface GgufExport {
  /** Of the whole file. */
  readonly bytes: number;
  readonly tensors: readonly {
    readonly name: string;
    readonly dtype: string;
    readonly shape: readonly number[];
  }[];
  /** Whether the file gets a chat template; without one, llama.cpp's server takes messages for ChatML's. */
  readonly chatTemplate: boolean;
  /** Writes it from front to back, 16 MiB at a time. */
  write(file: SinkFile, onProgress?: (written: number, total: number) => void): Promise<void>;
}

/**
 * Prepares a checkpoint's conversion to the GGUF file that llama.cpp's converter makes of it: the same tensors, to the
 * bit, and the same metadata. Experts stay MXFP4, in ggml's order of nibbles.
 *
 * @throws CheckpointError if the model has a setting that GGUF has no key for, or no tokenizer
 */
export async function planGgufExport(
  checkpoint: OpenCheckpoint,
  options: GgufExportOptions = {},
): Promise<GgufExport> {
  const { config, weights } = checkpoint;
  checkExpressible(checkpoint);
  const tokenizer = await readTokenizer(checkpoint);
  const template = options.chatTemplate ?? (await readChatTemplate(checkpoint));
  const tensors = exportTensors(config, weights, options.dense);
  const name = options.name ?? `gpt-oss ${config.numLayers}x${config.numExperts}`;
  const header = encodeGgufHeader(
    ggufMetadata(config, tokenizer, name, template),
    tensors.map((tensor) => ({ ...tensor, bytes: byteLength(tensor) })),
  );
  const bytes = tensors.reduce((sum, tensor) => sum + padded(byteLength(tensor)), header.length);
  return {
    bytes,
    tensors,
    chatTemplate: template !== undefined,
    async write(file, onProgress) {
      let written = 0;
      const put = async (chunk: Uint8Array): Promise<void> => {
        await file.write(chunk);
        written += chunk.length;
        onProgress?.(written, bytes);
      };
      await put(header);
      for (const tensor of tensors) await writeTensor(tensor, put);
    },
  };
}

const CHUNK_BYTES = 1 << 24;

async function writeTensor(tensor: ExportTensor, put: (bytes: Uint8Array) => Promise<void>): Promise<void> {
  const { matrices, rows, rowBytes } = tensor;
  const rowsPerChunk = Math.max(1, Math.floor(CHUNK_BYTES / rowBytes));
  for (let matrix = 0; matrix < matrices; matrix++) {
    for (let first = 0; first < rows; first += rowsPerChunk) {
      await put(await tensor.read(matrix, first, Math.min(rowsPerChunk, rows - first)));
    }
  }
  const padding = padded(byteLength(tensor)) - byteLength(tensor);
  if (padding > 0) await put(new Uint8Array(padding));
}

const byteLength = ({ matrices, rows, rowBytes }: ExportTensor): number => matrices * rows * rowBytes;

/** What readers of GGUF take for granted, since there are no keys for it. */
function checkExpressible({ config, location }: OpenCheckpoint): void {
  const fail = (what: string, expected: string | number, found: string | number): never => {
    const hint = "GGUF has no key for it: a reader would run another model.";
    throw new CheckpointError(`a model whose ${what} can't be told in GGUF`, {
      ...{ where: location, expected, found, hint },
    });
  };
  const alternate = (type: ModelConfig["layerTypes"][number], i: number): boolean =>
    type === (i % 2 === 0 ? "sliding" : "full");
  if (!config.layerTypes.every(alternate))
    fail("order of layers", "sliding, full, …", config.layerTypes.join(", "));
  if (config.swigluLimit !== 7) fail("clamp of SwiGLU", 7, config.swigluLimit);
  if (config.swigluAlpha !== 1.702) fail("alpha of SwiGLU", 1.702, config.swigluAlpha);
  if (config.rope.truncate && config.rope.factor !== 1) fail("ramp of YaRN", "not truncated", "truncated");
}

async function readTokenizer(checkpoint: OpenCheckpoint): Promise<GgufTokenizer> {
  const { gguf, config, location } = checkpoint;
  if (gguf !== undefined) {
    const key = (name: string): string => `tokenizer.ggml.${name}`;
    const tokens = await gguf.strings(key("tokens"));
    const types = await gguf.int32s(key("token_type"));
    const merges = await gguf.strings(key("merges"));
    if (tokens && types && merges) return { tokens, types, merges };
  }
  const json = await checkpoint.readJson("tokenizer.json");
  const where = `${location}/tokenizer.json`;
  if (json === undefined) {
    const hint = "A GGUF file carries the tokenizer: put tokenizer.json beside the weights.";
    throw new CheckpointError("no tokenizer", { where: location, expected: "tokenizer.json", hint });
  }
  loadTokenizer(json, where); // refuses what the following takes for granted
  const tokenizer = tokenizerFromJson(json as TokenizerJson, config.vocabSize);
  if (tokenizer.tokens.length === config.vocabSize) return tokenizer;
  throw new CheckpointError("the tokenizer has ids beyond the vocabulary", {
    where,
    expected: `ids below ${config.vocabSize}`,
    found: tokenizer.tokens.length - 1,
  });
}

async function readChatTemplate(checkpoint: OpenCheckpoint): Promise<string | undefined> {
  if (checkpoint.gguf !== undefined) return checkpoint.gguf.string("tokenizer.chat_template");
  const text = await checkpoint.readText("chat_template.jinja");
  if (text !== undefined) return text;
  const settings = (await checkpoint.readJson("tokenizer_config.json")) as { chat_template?: unknown } | null;
  return typeof settings?.chat_template === "string" ? settings.chat_template : undefined;
}
