import type { ModelConfig } from "../../config.ts";

export type ShapeName = "nano" | "20b" | "120b";

const alternating = (layers: number): ModelConfig["layerTypes"] =>
  Array.from({ length: layers }, (_, i) => (i % 2 === 0 ? "sliding" : "full"));

const published: Omit<ModelConfig, "numLayers" | "layerTypes" | "numExperts"> = {
  vocabSize: 201088,
  hiddenSize: 2880,
  intermediateSize: 2880,
  expertsPerToken: 4,
  numAttentionHeads: 64,
  numKeyValueHeads: 8,
  headDim: 64,
  slidingWindow: 128,
  rmsNormEps: 1e-5,
  swigluLimit: 7,
  swigluAlpha: 1.702,
  rope: {
    theta: 150000,
    factor: 32,
    betaFast: 32,
    betaSlow: 1,
    originalContextLength: 4096,
    truncate: false,
  },
  maxContextLength: 131072,
};

/** The two published models, and one that has all of their features in 0.7 MB. */
export const SHAPES: Readonly<Record<ShapeName, ModelConfig>> = {
  nano: {
    ...published,
    numLayers: 4,
    layerTypes: alternating(4),
    vocabSize: 2048, // as the small trained checkpoint, whose tokenizer serves
    hiddenSize: 64,
    intermediateSize: 32,
    numExperts: 8,
    numAttentionHeads: 4,
    numKeyValueHeads: 2,
    headDim: 16,
    slidingWindow: 16,
    rope: { ...published.rope, theta: 10000, originalContextLength: 256 },
    maxContextLength: 8192,
  },
  "20b": { ...published, numLayers: 24, layerTypes: alternating(24), numExperts: 32 },
  "120b": { ...published, numLayers: 36, layerTypes: alternating(36), numExperts: 128 },
};
