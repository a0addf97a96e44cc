import type { ModelConfig } from "../config.ts";
import { CheckpointError } from "../errors.ts";
import { OLLAMA_HINT } from "./gguf.ts";
import { ggufMxfp4Source, interleavedColumns, interleavedRows, plainSource } from "./sources.ts";
import { DENSE_DTYPES, type TensorTable } from "./tensors.ts";
import type { LayerSources, LinearSource, WeightSource, WeightSources } from "./weights.ts";

const MATRIX_DTYPES: readonly string[] = [...DENSE_DTYPES, "Q8_0"];
const EXPERT_DTYPES: readonly string[] = ["MXFP4", ...MATRIX_DTYPES];

/**
 * Names and shapes of llama.cpp's layout for gpt-oss. Its gate and up projections are apart (rows 0, 2, 4, … and
 * 1, 3, 5, … of the other formats); here they come together again.
 */
export function weightsFromGguf(tensors: TensorTable, config: ModelConfig): WeightSources {
  refuseOllama(tensors);
  const { vocabSize, hiddenSize, headDim, intermediateSize, numExperts } = config;
  const heads = config.numAttentionHeads * headDim;
  const kvHeads = config.numKeyValueHeads * headDim;

  const vector = (name: string, ...shape: number[]): WeightSource => plainSource(tensors.take(name, shape));
  const matrix = (name: string, rows: number, cols: number): WeightSource =>
    plainSource(tensors.take(name, [rows, cols], MATRIX_DTYPES));
  const linear = (name: string, out: number, inputs: number): LinearSource => ({
    weight: matrix(`${name}.weight`, out, inputs),
    bias: vector(`${name}.bias`, out),
  });
  const experts = (name: string, out: number, inputs: number): LinearSource => {
    const stored = tensors.take(`${name}.weight`, [numExperts, out, inputs], EXPERT_DTYPES);
    return {
      weight: stored.dtype === "MXFP4" ? ggufMxfp4Source(stored) : plainSource(stored),
      bias: vector(`${name}.bias`, numExperts, out),
    };
  };
  const gateUp = (name: string): LinearSource => {
    const gate = experts(`${name}.ffn_gate_exps`, intermediateSize, hiddenSize);
    const up = experts(`${name}.ffn_up_exps`, intermediateSize, hiddenSize);
    return {
      weight: interleavedRows(gate.weight, up.weight),
      bias: interleavedColumns(gate.bias, up.bias),
    };
  };
  const layer = (i: number): LayerSources => {
    const name = `blk.${i}`;
    return {
      attn: {
        norm: vector(`${name}.attn_norm.weight`, hiddenSize),
        q: linear(`${name}.attn_q`, heads, hiddenSize),
        k: linear(`${name}.attn_k`, kvHeads, hiddenSize),
        v: linear(`${name}.attn_v`, kvHeads, hiddenSize),
        sinks: vector(`${name}.attn_sinks.weight`, config.numAttentionHeads),
        out: linear(`${name}.attn_output`, hiddenSize, heads),
      },
      moe: {
        norm: vector(`${name}.post_attention_norm.weight`, hiddenSize),
        router: linear(`${name}.ffn_gate_inp`, numExperts, hiddenSize),
        gateUp: gateUp(name),
        down: experts(`${name}.ffn_down_exps`, hiddenSize, intermediateSize),
      },
    };
  };
  const weights: WeightSources = {
    embedding: matrix("token_embd.weight", vocabSize, hiddenSize),
    layers: Array.from({ length: config.numLayers }, (_, i) => layer(i)),
    norm: vector("output_norm.weight", hiddenSize),
    unembedding: matrix("output.weight", vocabSize, hiddenSize),
  };
  tensors.finish();
  return weights;
}

function refuseOllama(tensors: TensorTable): void {
  const name = ["blk.0.attn_qkv.weight", "blk.0.ffn_gate_up_exps.weight", "blk.0.attn_out.weight"].find(
    (each) => tensors.has(each),
  );
  if (name !== undefined) {
    throw new CheckpointError("fused or renamed tensors", { where: name, hint: OLLAMA_HINT });
  }
}
