import { type OpenCheckpoint, openCheckpoint } from "../checkpoint/open.ts";
import { quantizeDense } from "../checkpoint/quantize.ts";
import { rowBytes } from "../checkpoint/sources.ts";
import { mapWeights, type WeightSources } from "../checkpoint/weights.ts";
import type { ModelConfig } from "../config.ts";
import { createEngine, type EngineOptions } from "../engine/index.ts";
import type { Ops } from "../engine/ops.ts";
import { TokenizerError, UsageError } from "../errors.ts";
import { Transformer } from "../model/transformer.ts";
import type { Tokenizer } from "../tokenizer/index.ts";
import { type GenerationDefaults, readGenerationDefaults, readTokenizer } from "./companions.ts";
import { type GeneratedToken, type GenerateOptions, generate } from "./generate.ts";

export interface LoadOptions extends EngineOptions {
  /** `q8_0`: matrices of attention and vocabulary that the file has in more than 8 bits are quantised as they are read. */
  readonly dense?: "q8_0";
  /** Told of weights as they are read, in bytes of the file. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Whether to read the tokenizer, which raw ids don't need. Default true. */
  readonly tokenizer?: boolean;
}

/**
 * Opens a checkpoint and makes it ready to run. A tokenizer that is missing or damaged is no error until somebody needs
 * it ({@link Model.requireTokenizer}).
 *
 * @param from folder in the Hugging Face or original layout, or a .gguf file; or a checkpoint that is open already, such as
 *   `openCheckpointFiles` makes of a web page's files, which the model closes
 * @throws CheckpointError or ConfigError where a file is damaged or of another kind
 */
export async function load(from: string | OpenCheckpoint, options: LoadOptions = {}): Promise<Model> {
  const checkpoint = typeof from === "string" ? await openCheckpoint(from) : from;
  let engine: Ops | undefined;
  try {
    const ops = await createEngine(options, checkpoint.config.headDim);
    engine = ops;
    const sources = options.dense === "q8_0" ? quantizeDense(checkpoint.weights) : checkpoint.weights;
    const { onProgress } = options;
    const total = onProgress ? await bytesToLoad(sources, options.memory === undefined) : 0;
    let done = 0;
    const onBytes = (bytes: number): void => {
      done += bytes;
      onProgress?.(done, total);
    };
    const weights = await mapWeights(sources, (source, role) => ops.loadWeight(source, role, onBytes));
    const transformer = new Transformer(checkpoint.config, weights, ops);
    const tokenizer = options.tokenizer === false ? undefined : await tokenizerOrError(checkpoint);
    return new Model(checkpoint, transformer, tokenizer, await readGenerationDefaults(checkpoint, tokenizer));
  } catch (error) {
    await engine?.close();
    await checkpoint.close();
    throw error;
  }
}

/** Bytes of the matrices that an engine reads while it loads. */
async function bytesToLoad(sources: WeightSources, withExperts: boolean): Promise<number> {
  let sum = 0;
  await mapWeights(sources, (source, role) => {
    const { encoding, matrices, rows, cols } = source.quantizedFrom ?? source;
    if (role === "vector" || (role === "experts" && !withExperts)) return;
    const scales = encoding === "mxfp4" ? cols / 32 : 0;
    sum += matrices * rows * (rowBytes(encoding, cols) + scales);
  });
  return sum;
}

async function tokenizerOrError(checkpoint: OpenCheckpoint): Promise<Tokenizer | TokenizerError | undefined> {
  try {
    return await readTokenizer(checkpoint);
  } catch (error) {
    if (error instanceof TokenizerError) return error;
    throw error;
  }
}

/** A checkpoint that is ready to run; `await using` closes its files. */
export class Model implements AsyncDisposable {
  readonly checkpoint: OpenCheckpoint;
  readonly transformer: Transformer;
  /** Undefined where the checkpoint brings none, as OpenAI's original/ files, or one that can't be used. */
  readonly tokenizer: Tokenizer | undefined;
  readonly #tokenizerError: TokenizerError | undefined;
  /** What the checkpoint's authors recommend. */
  readonly defaults: GenerationDefaults;

  constructor(
    checkpoint: OpenCheckpoint,
    transformer: Transformer,
    tokenizer: Tokenizer | TokenizerError | undefined,
    defaults: GenerationDefaults,
  ) {
    this.checkpoint = checkpoint;
    this.transformer = transformer;
    if (tokenizer instanceof TokenizerError) this.#tokenizerError = tokenizer;
    else this.tokenizer = tokenizer;
    this.defaults = defaults;
  }

  get config(): ModelConfig {
    return this.transformer.config;
  }

  /** The tokenizer, or an error that says why there is none. */
  requireTokenizer(): Tokenizer {
    if (this.tokenizer) return this.tokenizer;
    if (this.#tokenizerError) throw this.#tokenizerError;
    throw new UsageError("the checkpoint has no tokenizer", {
      where: this.checkpoint.location,
      hint: "Put the model's tokenizer.json beside its config.json, or work with raw token ids.",
    });
  }

  /** Generates from raw token ids; options left out take the checkpoint's defaults. */
  async *generate(
    prompt: readonly number[],
    options: GenerateOptions = {},
  ): AsyncGenerator<GeneratedToken, void, void> {
    using cache = this.transformer.createCache();
    yield* generate(this.transformer, prompt, cache, this.tokenizer, { ...this.defaults, ...options });
  }

  async close(): Promise<void> {
    await this.transformer.ops.close();
    await this.checkpoint.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
