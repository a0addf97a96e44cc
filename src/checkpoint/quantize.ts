import { CheckpointError } from "../errors.ts";
import { decodeFloats } from "../numerics/float.ts";
import { Q8_0_LIMIT, quantizeQ8_0 } from "../numerics/q8-0.ts";
import { rowBytes, source } from "./sources.ts";
import type { LinearSource, WeightSource, WeightSources } from "./weights.ts";

/**
 * The same weights with their dense matrices (embedding, unembedding, q, k, v, out) in Q8_0, quantised as they are read.
 * What is quantised already stays as it is, and so do matrices whose rows are no multiple of 32.
 */
export function quantizeDense(weights: WeightSources): WeightSources {
  const linear = ({ weight, bias }: LinearSource): LinearSource => ({ weight: quantized(weight), bias });
  return {
    ...weights,
    embedding: quantized(weights.embedding),
    layers: weights.layers.map(({ attn, moe }) => ({
      attn: { ...attn, q: linear(attn.q), k: linear(attn.k), v: linear(attn.v), out: linear(attn.out) },
      moe,
    })),
    unembedding: quantized(weights.unembedding),
  };
}

/**
 * One such matrix.
 *
 * @throws CheckpointError on reading a row with a value that is not finite, or too large for a float16 scale
 */
export function quantized(weight: WeightSource): WeightSource {
  const { name, encoding, matrices, rows, cols } = weight;
  if (encoding === "q8_0" || encoding === "mxfp4" || cols % 32 !== 0) return weight;
  const form = { name, encoding: "q8_0", matrices, rows, cols, quantizedFrom: weight } as const;
  return source(form, async (matrix, first, count) => {
    const values = new Float32Array(count * cols);
    decodeFloats(encoding, (await weight.readRows(matrix, first, count)).data, values);
    const bad = values.findIndex((value) => !(Math.abs(value) < Q8_0_LIMIT));
    if (bad >= 0) {
      throw new CheckpointError("a weight that Q8_0 can't hold", {
        where: `${name}, row ${first + Math.floor(bad / cols)}, column ${bad % cols}`,
        expected: `a magnitude below ${Q8_0_LIMIT}`,
        found: String(values[bad]),
      });
    }
    const data = new Uint8Array(count * rowBytes("q8_0", cols));
    quantizeQ8_0(values, data);
    return { data };
  });
}
