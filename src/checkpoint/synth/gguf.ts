import { toGgufBlocks } from "../mxfp4-blocks.ts";
import type { SynthModel, SynthTensor } from "./model.ts";
import { type DenseType, denseRows } from "./quantize.ts";
import { renamed, someElements, someRows } from "./safetensors.ts";

/** All tensors as llama.cpp's converter lays them out: vectors and the router F32, experts MXFP4, the rest `dense`. */
export function ggufTensors(model: SynthModel, dense: DenseType): SynthTensor[] {
  const { numLayers, headDim, numAttentionHeads, numKeyValueHeads } = model.config;
  const heads = numAttentionHeads * headDim;
  const kvHeads = numKeyValueHeads * headDim;
  const plain = (tensor: SynthTensor, name: string): SynthTensor => denseRows(renamed(tensor, name), "f32");
  const matrix = (tensor: SynthTensor, name: string): SynthTensor => denseRows(renamed(tensor, name), dense);
  const tensors = [matrix(model.embedding(), "token_embd.weight")];
  for (let i = 0; i < numLayers; i++) {
    const name = `blk.${i}`;
    const parts = model.layer(i);
    const slices = { q: [0, heads], k: [heads, kvHeads], v: [heads + kvHeads, kvHeads] } as const;
    for (const [letter, [first, rows]] of Object.entries(slices)) {
      tensors.push(
        matrix(someRows(parts.qkvWeight, first, rows), `${name}.attn_${letter}.weight`),
        plain(someElements(parts.qkvBias, first, rows), `${name}.attn_${letter}.bias`),
      );
    }
    tensors.push(
      plain(parts.attnNorm, `${name}.attn_norm.weight`),
      plain(parts.sinks, `${name}.attn_sinks.weight`),
      matrix(parts.outWeight, `${name}.attn_output.weight`),
      plain(parts.outBias, `${name}.attn_output.bias`),
      plain(parts.mlpNorm, `${name}.post_attention_norm.weight`),
      plain(parts.routerWeight, `${name}.ffn_gate_inp.weight`),
      plain(parts.routerBias, `${name}.ffn_gate_inp.bias`),
      packed(parts.mlp1Blocks, parts.mlp1Scales, `${name}.ffn_gate_exps.weight`, { first: 0, step: 2 }),
      packed(parts.mlp1Blocks, parts.mlp1Scales, `${name}.ffn_up_exps.weight`, { first: 1, step: 2 }),
      plain(everyOther(parts.mlp1Bias, 0), `${name}.ffn_gate_exps.bias`),
      plain(everyOther(parts.mlp1Bias, 1), `${name}.ffn_up_exps.bias`),
      packed(parts.mlp2Blocks, parts.mlp2Scales, `${name}.ffn_down_exps.weight`, { first: 0, step: 1 }),
      plain(parts.mlp2Bias, `${name}.ffn_down_exps.bias`),
    );
  }
  return [
    ...tensors,
    plain(model.norm(), "output_norm.weight"),
    matrix(model.unembedding(), "output.weight"),
  ];
}

/** ggml's MXFP4 from rows first, first + step, first + 2·step, … of OpenAI's. */
function packed(
  blocks: SynthTensor,
  scales: SynthTensor,
  name: string,
  { first, step }: { first: number; step: number },
): SynthTensor {
  const [experts, rows, groups] = scales.shape as [number, number, number];
  const data = new Uint8Array(groups * 16);
  const scaleBytes = new Uint8Array(groups);
  const rowBytes = groups * 17;
  return {
    name,
    dtype: "MXFP4",
    shape: [experts, rows / step, groups * 32],
    rows: (experts * rows) / step,
    rowBytes,
    fill: (firstRow, out) => {
      for (let i = 0; i * rowBytes < out.length; i++) {
        const row = (firstRow + i) * step + first;
        blocks.fill(row, data);
        scales.fill(row, scaleBytes);
        toGgufBlocks(data, scaleBytes, out, i * rowBytes);
      }
    },
  };
}

/** Columns first, first + 2, … of a BF16 matrix. */
function everyOther(tensor: SynthTensor, first: number): SynthTensor {
  const [rows, cols] = tensor.shape as [number, number];
  const whole = new Uint8Array(tensor.rowBytes);
  const values = new Uint16Array(whole.buffer);
  return {
    ...tensor,
    shape: [rows, cols / 2],
    rowBytes: cols,
    fill: (firstRow, out) => {
      const half = new Uint16Array(out.buffer, out.byteOffset, out.length / 2);
      for (let at = 0; at < half.length; at += cols / 2) {
        tensor.fill(firstRow + at / (cols / 2), whole);
        for (let i = 0; i < cols / 2; i++) half[at + i] = values[2 * i + first]!;
      }
    },
  };
}
