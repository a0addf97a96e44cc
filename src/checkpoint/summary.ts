import type { ModelConfig } from "../config.ts";
import type { OpenCheckpoint } from "./open.ts";
import type { LinearSource, WeightSource, WeightSources } from "./weights.ts";

/** What a checkpoint holds and what running it takes, from its headers alone. */
export interface CheckpointSummary {
  readonly parameters: ParameterCounts;
  /** Of all tensors, as stored. */
  readonly weightBytes: number;
  /** Of the experts among them; the rest is used for every token. */
  readonly expertBytes: number;
  readonly kvCache: KvCachePlan;
}

export interface ParameterCounts {
  readonly total: number;
  /** That a token meets: all but the experts that it isn't routed to and the input embedding, of which it takes a row. */
  readonly active: number;
  readonly embedding: number;
}

/** Bytes of keys and values in float32. */
export interface KvCachePlan {
  /** Each further token, on the full layers. */
  readonly bytesPerToken: number;
  /** The sliding layers' rings, once the window is full. */
  readonly windowBytes: number;
  readonly contexts: readonly { readonly tokens: number; readonly bytes: number }[];
}

export function summarizeCheckpoint({ config, weights, tensors }: OpenCheckpoint): CheckpointSummary {
  const bytes = [...tensors.values()].map((tensor) => tensor.bytes);
  const experts = [...tensors.values()].filter(({ name }) => /experts|_exps\.|\.mlp[12]_/.test(name));
  return {
    parameters: countParameters(weights, config),
    weightBytes: sum(bytes),
    expertBytes: sum(experts.map((tensor) => tensor.bytes)),
    kvCache: planKvCache(config),
  };
}

function countParameters(weights: WeightSources, config: ModelConfig): ParameterCounts {
  const size = (w: WeightSource): number => w.matrices * w.rows * w.cols;
  const linear = (w: LinearSource): number => size(w.weight) + size(w.bias);
  const always = weights.layers.map(({ attn, moe }) =>
    sum([
      ...[attn.norm, attn.sinks, moe.norm].map(size),
      ...[attn.q, attn.k, attn.v, attn.out, moe.router].map(linear),
    ]),
  );
  const experts = sum(weights.layers.map(({ moe }) => linear(moe.gateUp) + linear(moe.down)));
  const rest = sum(always) + size(weights.norm);
  const embedding = size(weights.embedding);
  const unembedding = size(weights.unembedding);
  const tied = weights.unembedding === weights.embedding;
  return {
    total: rest + experts + embedding + (tied ? 0 : unembedding),
    active: rest + (experts * config.expertsPerToken) / config.numExperts + unembedding,
    embedding,
  };
}

function planKvCache(config: ModelConfig): KvCachePlan {
  const bytesPerLayer = 2 * config.numKeyValueHeads * config.headDim * 4;
  const full = config.layerTypes.filter((type) => type === "full").length;
  const sliding = config.numLayers - full;
  const sizes = [1024, 4096, 16384, 65536].filter((tokens) => tokens < config.maxContextLength);
  const contexts = [...sizes, config.maxContextLength].map((tokens) => ({
    tokens,
    bytes: bytesPerLayer * (full * tokens + sliding * Math.min(tokens, config.slidingWindow)),
  }));
  return {
    bytesPerToken: bytesPerLayer * full,
    windowBytes: bytesPerLayer * sliding * config.slidingWindow,
    contexts,
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0);
}
