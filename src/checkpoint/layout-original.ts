import type { ModelConfig } from "../config.ts";
import { mxfp4Source, plainSource, sliceSource } from "./sources.ts";
import type { TensorTable } from "./tensors.ts";
import type { LayerSources, LinearSource, WeightSource, WeightSources } from "./weights.ts";

/** Names and shapes of OpenAI's own layout, `original/`, as `gpt_oss/torch/weights.py` has them. */
export function weightsFromOriginal(tensors: TensorTable, config: ModelConfig): WeightSources {
  const { vocabSize, hiddenSize, headDim, intermediateSize, numExperts } = config;
  const heads = config.numAttentionHeads * headDim;
  const kvHeads = config.numKeyValueHeads * headDim;

  const weight = (name: string, ...shape: number[]): WeightSource => plainSource(tensors.take(name, shape));
  const linear = (name: string, out: number, inputs: number): LinearSource => ({
    weight: weight(`${name}.weight`, out, inputs),
    bias: weight(`${name}.bias`, out),
  });
  const experts = (name: string, out: number, inputs: number): LinearSource => {
    const names = { blocks: `${name}_weight.blocks`, scales: `${name}_weight.scales` };
    return {
      weight: mxfp4Source(tensors, names, [numExperts, out, inputs]),
      bias: weight(`${name}_bias`, numExperts, out),
    };
  };
  const layer = (i: number): LayerSources => {
    const attn = `block.${i}.attn`;
    const mlp = `block.${i}.mlp`;
    const qkv = tensors.take(`${attn}.qkv.weight`, [heads + 2 * kvHeads, hiddenSize]);
    const qkvBias = tensors.take(`${attn}.qkv.bias`, [heads + 2 * kvHeads]);
    const part = (first: number, rows: number): LinearSource => ({
      weight: plainSource(qkv, { first, rows }),
      bias: sliceSource(qkvBias, first, rows),
    });
    return {
      attn: {
        norm: weight(`${attn}.norm.scale`, hiddenSize),
        q: part(0, heads),
        k: part(heads, kvHeads),
        v: part(heads + kvHeads, kvHeads),
        sinks: weight(`${attn}.sinks`, config.numAttentionHeads),
        out: linear(`${attn}.out`, hiddenSize, heads),
      },
      moe: {
        norm: weight(`${mlp}.norm.scale`, hiddenSize),
        router: linear(`${mlp}.gate`, numExperts, hiddenSize),
        gateUp: experts(`${mlp}.mlp1`, 2 * intermediateSize, hiddenSize),
        down: experts(`${mlp}.mlp2`, hiddenSize, intermediateSize),
      },
    };
  };
  const weights: WeightSources = {
    embedding: weight("embedding.weight", vocabSize, hiddenSize),
    layers: Array.from({ length: config.numLayers }, (_, i) => layer(i)),
    norm: weight("norm.scale", hiddenSize),
    unembedding: weight("unembedding.weight", vocabSize, hiddenSize),
  };
  tensors.finish();
  return weights;
}
