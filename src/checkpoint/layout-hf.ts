import type { ModelConfig } from "../config.ts";
import { mxfp4Source, plainSource } from "./sources.ts";
import type { TensorTable } from "./tensors.ts";
import { TransposeCache, transposedSource } from "./transposed.ts";
import type { LayerSources, LinearSource, WeightSource, WeightSources } from "./weights.ts";

/**
 * Names and shapes of Hugging Face's layout. Experts are MXFP4 (`…_blocks`, `…_scales`), or plain as transformers
 * saves them after dequantising: then without suffix, and transposed to [experts, in, out].
 *
 * @param tied whether the configuration says `tie_word_embeddings`: then `lm_head` may be absent
 */
export function weightsFromHuggingFace(
  tensors: TensorTable,
  config: ModelConfig,
  tied: boolean,
): WeightSources {
  const { vocabSize, hiddenSize, headDim, intermediateSize, numExperts } = config;
  const heads = config.numAttentionHeads * headDim;
  const kvHeads = config.numKeyValueHeads * headDim;
  const cache = new TransposeCache();

  const weight = (name: string, ...shape: number[]): WeightSource => plainSource(tensors.take(name, shape));
  const linear = (name: string, out: number, inputs: number): LinearSource => ({
    weight: weight(`${name}.weight`, out, inputs),
    bias: weight(`${name}.bias`, out),
  });
  const experts = (name: string, out: number, inputs: number): LinearSource => {
    const bias = weight(`${name}_bias`, numExperts, out);
    if (tensors.has(name)) {
      return { weight: transposedSource(tensors.take(name, [numExperts, inputs, out]), cache), bias };
    }
    const names = { blocks: `${name}_blocks`, scales: `${name}_scales` };
    return { weight: mxfp4Source(tensors, names, [numExperts, out, inputs]), bias };
  };
  const layer = (i: number): LayerSources => {
    const name = `model.layers.${i}`;
    return {
      attn: {
        norm: weight(`${name}.input_layernorm.weight`, hiddenSize),
        q: linear(`${name}.self_attn.q_proj`, heads, hiddenSize),
        k: linear(`${name}.self_attn.k_proj`, kvHeads, hiddenSize),
        v: linear(`${name}.self_attn.v_proj`, kvHeads, hiddenSize),
        sinks: weight(`${name}.self_attn.sinks`, config.numAttentionHeads),
        out: linear(`${name}.self_attn.o_proj`, hiddenSize, heads),
      },
      moe: {
        norm: weight(`${name}.post_attention_layernorm.weight`, hiddenSize),
        router: linear(`${name}.mlp.router`, numExperts, hiddenSize),
        gateUp: experts(`${name}.mlp.experts.gate_up_proj`, 2 * intermediateSize, hiddenSize),
        down: experts(`${name}.mlp.experts.down_proj`, hiddenSize, intermediateSize),
      },
    };
  };
  const embedding = weight("model.embed_tokens.weight", vocabSize, hiddenSize);
  const useEmbedding = tied && !tensors.has("lm_head.weight");
  const weights: WeightSources = {
    embedding,
    layers: Array.from({ length: config.numLayers }, (_, i) => layer(i)),
    norm: weight("model.norm.weight", hiddenSize),
    unembedding: useEmbedding ? embedding : weight("lm_head.weight", vocabSize, hiddenSize),
  };
  tensors.finish();
  return weights;
}
