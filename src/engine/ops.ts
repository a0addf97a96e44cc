import type { WeightRole, WeightSource } from "../checkpoint/weights.ts";
import type { Dialect } from "../numerics/dialects.ts";

/**
 * The operations that `model/` needs. An engine implements them; the model knows nothing else of it.
 *
 * T is the number of tokens in the current chunk. Shapes are row-major; the einsum in each comment says which
 * index meets which. An engine may defer work: `attentionScores` and `sinkSoftmax` need not produce their matrices
 * unless somebody reads them.
 *
 * Whatever the chunk, the cache or the number of threads, an engine gives the same bits for the same tokens:
 * the order of each sum depends on nothing but the indices in it.
 */
export interface Ops {
  /** Which engine it is, for traces to tell. */
  readonly engine: "reference" | "simd";

  /** The rounding points that this engine follows, and the arithmetic of RoPE's tables. */
  readonly dialect: Dialect;

  /**
   * Takes hold of a weight in the form that the other operations want.
   *
   * @param onBytes told of bytes as they have been read, if they are read now
   */
  loadWeight(source: WeightSource, role: WeightRole, onBytes?: (bytes: number) => void): Promise<Weight>;

  /** Rows of the embedding, one a token: [T, hidden]. */
  embed(table: Weight, ids: readonly number[]): Awaitable<Tensor>;

  /** x / sqrt(mean(x²) + eps) · scale, over the last dimension. */
  rmsNorm(x: Tensor, scale: Weight, eps: number): Awaitable<Tensor>;

  /** "ti,oi->to", plus bias. */
  linear(x: Tensor, weight: Weight, bias?: Weight): Awaitable<Tensor>;

  /** The same numbers under another shape. */
  reshape(x: Tensor, shape: readonly number[]): Tensor;

  /** Rotates [T, heads, headDim] by a table [T, headDim / 2]: dimension i pairs with i + headDim / 2. */
  rotate(x: Tensor, table: RopeTable): Awaitable<Tensor>;

  /** An empty ring for `capacity` positions or more, of [kvHeads, headDim] keys and as many values each. */
  createRing(capacity: number, kvHeads: number, headDim: number): Awaitable<Ring>;

  /** Another ring, of the given capacity, that holds positions [first, end) of this one. */
  copyRing(ring: Ring, capacity: number, first: number, end: number): Awaitable<Ring>;

  /** Lets go of a ring's memory. */
  freeRing(ring: Ring): void;

  /** Puts keys and values [T, kvHeads, headDim] into the spans' rings, each span's rows from its `position` on. */
  store(k: Tensor, v: Tensor, spans: readonly AttentionSpan[]): Awaitable<void>;

  /**
   * "qhd,khd->hqk" · scale, for keys at positions [first, position + T): [heads, T, keys].
   * −∞ where a key is later than its query, or `window` or more positions earlier. Query head h reads key head
   * h / (heads / kvHeads), rounded down (GQA).
   *
   * With several spans, each has such a matrix of its own, of its own tokens and keys, one after the other, and the shape tells
   * all tokens and the most keys; likewise the weights. Only the engine knows how to read them.
   */
  attentionScores(q: Tensor, spans: readonly AttentionSpan[], scale: number): Awaitable<Tensor>;

  /**
   * Softmax of each row joined by its head's sink logit, which takes its share and then is dropped:
   * rows of `weights` [heads, T, keys] and `sink` [heads, T] sum to 1 together.
   */
  sinkSoftmax(
    scores: Tensor,
    sinks: Weight,
    spans: readonly AttentionSpan[],
  ): Awaitable<{ weights: Tensor; sink: Tensor }>;

  /** "hqk,khd->qhd": [T, heads · headDim]. */
  attentionContext(weights: Tensor, spans: readonly AttentionSpan[]): Awaitable<Tensor>;

  /** x + y */
  add(x: Tensor, y: Tensor): Awaitable<Tensor>;

  /** Indices of the k largest of each row, [T, k] as int32, in descending order, ties by lower index. */
  topK(x: Tensor, k: number): Awaitable<Tensor>;

  /** x[t, ids[t, j]]: [T, k] */
  gather(x: Tensor, ids: Tensor): Awaitable<Tensor>;

  /** Softmax over the last dimension. */
  softmax(x: Tensor): Awaitable<Tensor>;

  /** Tells which experts of a layer come next, for engines that have yet to fetch them. */
  prefetchExperts?(ids: Tensor, weights: readonly Weight[]): void;

  /** Each token's chosen experts applied to x [T, in] or [T, k, in]: "tki,eoi->tko" with e = ids[t, k], plus bias[e]. */
  expertLinear(x: Tensor, ids: Tensor, weight: Weight, bias: Weight): Awaitable<Tensor>;

  /** min(gate, limit) · sigmoid(alpha · gate) · (clamp(up, ±limit) + 1) of pairs side by side, [T, k, 2 · ffn] to [T, k, ffn]. */
  swiglu(gateUp: Tensor, alpha: number, limit: number): Awaitable<Tensor>;

  /** "tkc,tk->tc"; the ids are there for dialects that add experts up by id. */
  weightedSum(x: Tensor, weights: Tensor, ids: Tensor): Awaitable<Tensor>;

  /** Some rows of x [T, …], in ascending order. */
  rows(x: Tensor, rows: readonly number[]): Tensor;

  /** The values of a tensor, copied out, for hooks and samplers. */
  read(x: Tensor): HostTensor;

  /** Of logits [1, vocab], ahead of a draw; good until the next operation. */
  exponentials(logits: Tensor, temperature: number): Exponentials;

  /** A tensor from plain numbers, rounded as activations are (int32 ones are ids). */
  write(x: HostTensor): Tensor;

  /** Lets go of memory and threads. */
  close(): Promise<void>;
}

export type Awaitable<T> = T | Promise<T>;

/** An activation, held by the engine. */
export interface Tensor {
  readonly shape: readonly number[];
}

/** A weight in the engine's own form. */
export interface Weight {
  readonly rows: number;
  readonly cols: number;
}

/** Keys and values of a layer: absolute position p lies in row p mod capacity. */
export interface Ring {
  readonly capacity: number;
  /** Of memory. */
  readonly bytes: number;
}

/** What one sequence's tokens in the chunk attend to. Where several share a chunk, their tokens lie one after the other. */
export interface AttentionSpan {
  readonly ring: Ring;
  /** Number of queries. */
  readonly tokens: number;
  /** Position of the first query. */
  readonly position: number;
  /** Position of the first key. */
  readonly first: number;
  /** Keys that a query sees, itself included; Infinity on full layers. */
  readonly window: number;
}

/** cos and sin of each token's angles, [T, headDim / 2], the concentration factor included. */
export interface RopeTable {
  readonly cos: Float64Array;
  readonly sin: Float64Array;
}

/** exp((logit − max) / temperature) of each token, so that the most probable one's is 1, and their sum (`numerics/exponentials.ts`). */
export interface Exponentials {
  /** NaN if a logit is; −∞ if all are. Then, and where it is ∞, the rest means nothing. */
  readonly max: number;
  readonly weights: Float64Array;
  readonly total: number;
}

/** A tensor as plain numbers: Float64Array in the f64 dialect, Int32Array for ids, Float32Array otherwise. */
export interface HostTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array | Float64Array | Int32Array;
}
