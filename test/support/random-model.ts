import type { Encoding, WeightSource, WeightSources } from "../../src/checkpoint/weights.ts";
import type { ModelConfig } from "../../src/config.ts";
import { threefry2x32 } from "../../src/generation/random.ts";

/** A model small enough to run in milliseconds, with every architectural feature on. */
export const TINY: ModelConfig = {
  numLayers: 2,
  vocabSize: 50,
  hiddenSize: 64,
  intermediateSize: 32,
  numExperts: 6,
  expertsPerToken: 3,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  headDim: 16,
  slidingWindow: 8,
  layerTypes: ["sliding", "full"],
  rmsNormEps: 1e-5,
  swigluLimit: 7,
  swigluAlpha: 1.702,
  rope: {
    theta: 10000,
    factor: 4,
    betaFast: 32,
    betaSlow: 1,
    originalContextLength: 256,
    truncate: false,
  },
  maxContextLength: 1024,
};

/** Random weights in memory: dense ones bfloat16, experts MXFP4. */
export function randomWeights(config: ModelConfig, seed = 1): WeightSources {
  let counter = 0;
  const source = (encoding: Encoding, matrices: number, rows: number, cols: number, mean = 0): WeightSource =>
    memorySource(encoding, matrices, rows, cols, [seed, counter++], mean);
  const dense = (rows: number, cols: number): { weight: WeightSource; bias: WeightSource } => ({
    weight: source("bf16", 1, rows, cols),
    bias: source("bf16", 1, 1, rows),
  });
  const { hiddenSize: hidden, intermediateSize: ffn, numExperts: experts, vocabSize: vocab } = config;
  const width = config.numAttentionHeads * config.headDim;
  const kvWidth = config.numKeyValueHeads * config.headDim;
  return {
    embedding: source("bf16", 1, vocab, hidden),
    layers: config.layerTypes.map(() => ({
      attn: {
        norm: source("bf16", 1, 1, hidden, 1),
        q: dense(width, hidden),
        k: dense(kvWidth, hidden),
        v: dense(kvWidth, hidden),
        sinks: source("bf16", 1, 1, config.numAttentionHeads, 1),
        out: dense(hidden, width),
      },
      moe: {
        norm: source("bf16", 1, 1, hidden, 1),
        router: dense(experts, hidden),
        gateUp: {
          weight: source("mxfp4", experts, 2 * ffn, hidden),
          bias: source("bf16", 1, experts, 2 * ffn),
        },
        down: { weight: source("mxfp4", experts, hidden, ffn), bias: source("bf16", 1, experts, hidden) },
      },
    })),
    norm: source("bf16", 1, 1, hidden, 1),
    unembedding: source("bf16", 1, vocab, hidden),
  };
}

function memorySource(
  encoding: Encoding,
  matrices: number,
  rows: number,
  cols: number,
  key: readonly [number, number],
  mean: number,
): WeightSource {
  const bytesPerRow = encoding === "mxfp4" ? cols / 2 : cols * 2;
  const data = new Uint8Array(matrices * rows * bytesPerRow);
  const scales = new Uint8Array((matrices * rows * cols) / 32).fill(124);
  for (let i = 0; i < matrices * rows * cols; i += 2) {
    const [a, b] = threefry2x32(key, [i, 0]);
    if (encoding === "mxfp4") data[i / 2] = a & 255;
    else {
      writeBfloat16(data, i, mean + (a / 2 ** 32 - 0.5));
      if (i + 1 < matrices * rows * cols) writeBfloat16(data, i + 1, mean + (b / 2 ** 32 - 0.5));
    }
  }
  return {
    name: `random.${key[1]}`,
    encoding,
    matrices,
    rows,
    cols,
    async readRows(matrix, first, count) {
      const row = matrix * rows + first;
      return {
        encoding,
        rows: count,
        cols,
        data: data.subarray(row * bytesPerRow, (row + count) * bytesPerRow),
        ...(encoding === "mxfp4" && {
          scales: scales.subarray((row * cols) / 32, ((row + count) * cols) / 32),
        }),
      };
    },
  };
}

function writeBfloat16(data: Uint8Array, index: number, value: number): void {
  const bits = new Uint32Array(Float32Array.of(value).buffer)[0]! >>> 16;
  data[2 * index] = bits & 255;
  data[2 * index + 1] = bits >> 8;
}
