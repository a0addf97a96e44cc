import { ConfigError } from "./errors.ts";

/**
 * The hyper-parameters of a gpt-oss model: one flat record, whichever file they came from.
 * Field names follow `ModelConfig` of OpenAI's `gpt_oss/torch/model.py` where it has them.
 */
export interface ModelConfig {
  readonly numLayers: number;
  readonly vocabSize: number;
  readonly hiddenSize: number;
  /** Width of one expert's feed-forward layer. */
  readonly intermediateSize: number;
  readonly numExperts: number;
  readonly expertsPerToken: number;
  readonly numAttentionHeads: number;
  readonly numKeyValueHeads: number;
  readonly headDim: number;
  /** Keys that a query on a sliding layer sees, itself included. */
  readonly slidingWindow: number;
  /** One entry a layer; gpt-oss alternates, starting with sliding. */
  readonly layerTypes: readonly LayerType[];
  readonly rmsNormEps: number;
  readonly swigluLimit: number;
  readonly swigluAlpha: number;
  readonly rope: RopeConfig;
  /** Longest sequence that the model was made for. */
  readonly maxContextLength: number;
}

export type LayerType = "sliding" | "full";

/** YaRN (arXiv:2309.00071); `factor` 1 means plain RoPE. */
export interface RopeConfig {
  readonly theta: number;
  readonly factor: number;
  /** Rotations over the original context above which a frequency is kept as it is ("beta_fast", 32). */
  readonly betaFast: number;
  /** Rotations below which a frequency is interpolated in full ("beta_slow", 1). */
  readonly betaSlow: number;
  readonly originalContextLength: number;
  /** Whether the bounds of the ramp are rounded to whole dimensions; gpt-oss says no. */
  readonly truncate: boolean;
}
