import type { ModelConfig } from "../config.ts";
import type { RandomAccessFile } from "./file.ts";

/**
 * How the elements of a weight are stored once a reader has undone what is peculiar to its file format:
 * every format yields the same bytes here for the same checkpoint.
 *
 * - `f32`, `f16`, `bf16`: row-major, little endian
 * - `mxfp4`: per row, `cols / 32` blocks of 16 bytes (element 2j in the low nibble of byte j, element 2j+1 in
 *   the high one, as in OpenAI's files), and one E8M0 scale byte a block, apart
 * - `q8_0`: per row, `cols / 32` blocks of 34 bytes: a float16 scale, then 32 int8 (ggml's layout)
 */
export type Encoding = "f32" | "f16" | "bf16" | "q8_0" | "mxfp4";

/** Rows of one matrix, as stored; `data` may be a view of a larger buffer, at any alignment. */
export interface EncodedRows {
  readonly encoding: Encoding;
  readonly rows: number;
  readonly cols: number;
  readonly data: Uint8Array;
  /** MXFP4 only: [rows, cols / 32] E8M0 exponents. */
  readonly scales?: Uint8Array;
}

/**
 * A weight of the model, wherever its bytes lie: a stack of matrices [matrices, rows, cols], read by file range.
 * A vector is one matrix of one row; dense weights are one matrix; expert weights are a stack, one matrix an expert.
 */
export interface WeightSource {
  /** Name of the tensor in the file (the first one, if several make up the weight), for error messages. */
  readonly name: string;
  readonly encoding: Encoding;
  readonly matrices: number;
  readonly rows: number;
  readonly cols: number;
  /** Reads rows [first, first + count) of one matrix. */
  readRows(matrix: number, first: number, count: number): Promise<EncodedRows>;
  /** Where the rows lie in files, if they do, for engines that read them straight into place. */
  readonly stored?: StoredRows;
  /** What this one, of encoding q8_0, is made of by {@link quantizeQ8_0}, for engines that do that themselves. */
  readonly quantizedFrom?: WeightSource;
}

/** Row r of a matrix lies in part r mod parts: one part, or two whose rows alternate (gate and up of a GGUF file). */
export interface StoredRows {
  /** `encoded`: as the encoding says; `ggml-mxfp4`: blocks of 17 bytes, the scale first, then ggml's order of nibbles. */
  readonly form: "encoded" | "ggml-mxfp4";
  readonly parts: readonly [StoredPart] | readonly [StoredPart, StoredPart];
}

export interface StoredPart {
  readonly data: StoredRange;
  /** MXFP4 in the form `encoded`. */
  readonly scales?: StoredRange;
}

/** Rows one after the other, matrix by matrix. */
export interface StoredRange {
  readonly file: RandomAccessFile;
  /** Of row 0 of matrix 0. */
  readonly offset: number;
  readonly matrixBytes: number;
  readonly rowBytes: number;
}

/** Every weight of a model, in forward order; matrices are [out, in]. `W` is a source on file or an engine's own form. */
export interface ModelWeights<W> {
  /** [vocab, hidden] */
  readonly embedding: W;
  readonly layers: readonly LayerWeights<W>[];
  /** [hidden] */
  readonly norm: W;
  /** [vocab, hidden] */
  readonly unembedding: W;
}

export interface LayerWeights<W> {
  readonly attn: AttentionWeights<W>;
  readonly moe: MoeWeights<W>;
}

export interface AttentionWeights<W> {
  /** [hidden] */
  readonly norm: W;
  /** [heads · headDim, hidden] and [heads · headDim] */
  readonly q: LinearWeights<W>;
  /** [kvHeads · headDim, hidden] and [kvHeads · headDim] */
  readonly k: LinearWeights<W>;
  readonly v: LinearWeights<W>;
  /** [heads] */
  readonly sinks: W;
  /** [hidden, heads · headDim] and [hidden] */
  readonly out: LinearWeights<W>;
}

export interface MoeWeights<W> {
  /** [hidden] */
  readonly norm: W;
  /** [experts, hidden] and [experts] */
  readonly router: LinearWeights<W>;
  /** [experts, 2 · ffn, hidden], row 2i gate i and row 2i+1 up i; the bias is one matrix [experts, 2 · ffn] */
  readonly gateUp: LinearWeights<W>;
  /** [experts, hidden, ffn]; the bias is one matrix [experts, hidden] */
  readonly down: LinearWeights<W>;
}

export interface LinearWeights<W> {
  readonly weight: W;
  readonly bias: W;
}

/**
 * What a weight is for: the `embedding` is read row by row, a `matrix` multiplies every token, of a stack of `experts` few
 * do, and a `vector` (norms, biases, sinks; the experts' biases too) is added or multiplied in.
 */
export type WeightRole = "embedding" | "matrix" | "experts" | "vector";

/** The same tree with each weight replaced, one after the other, as an engine does to take hold of them. */
export async function mapWeights<A, B>(
  weights: ModelWeights<A>,
  map: (weight: A, role: WeightRole) => B | Promise<B>,
): Promise<ModelWeights<B>> {
  const linear = async (w: LinearWeights<A>, role: WeightRole = "matrix"): Promise<LinearWeights<B>> => ({
    weight: await map(w.weight, role),
    bias: await map(w.bias, "vector"),
  });
  const embedding = await map(weights.embedding, "embedding");
  const layers: LayerWeights<B>[] = [];
  for (const { attn, moe } of weights.layers) {
    layers.push({
      attn: {
        norm: await map(attn.norm, "vector"),
        q: await linear(attn.q),
        k: await linear(attn.k),
        v: await linear(attn.v),
        sinks: await map(attn.sinks, "vector"),
        out: await linear(attn.out),
      },
      moe: {
        norm: await map(moe.norm, "vector"),
        router: await linear(moe.router),
        gateUp: await linear(moe.gateUp, "experts"),
        down: await linear(moe.down, "experts"),
      },
    });
  }
  const norm = await map(weights.norm, "vector");
  return { embedding, layers, norm, unembedding: await map(weights.unembedding, "matrix") };
}

export type WeightSources = ModelWeights<WeightSource>;
export type LayerSources = LayerWeights<WeightSource>;
export type LinearSource = LinearWeights<WeightSource>;

/** An open checkpoint: its configuration, and its weights by file range. */
export interface Checkpoint {
  readonly format: "hf" | "original" | "gguf";
  /** Folder or file it was opened from, for messages. */
  readonly location: string;
  readonly config: ModelConfig;
  readonly weights: WeightSources;
  close(): Promise<void>;
}
