import { byteLength, type SynthLayer, type SynthModel, type SynthTensor } from "./model.ts";

/** All tensors in OpenAI's layout. */
export function originalTensors(model: SynthModel): SynthTensor[] {
  const layers = Array.from({ length: model.config.numLayers }, (_, i) => Object.values(model.layer(i)));
  return [model.embedding(), ...layers.flat(), model.norm(), model.unembedding()];
}

/** All tensors in Hugging Face's layout, in the order of the published shards: layers 0, 1, 10, 11, …, then the rest. */
export function huggingFaceTensors(model: SynthModel): SynthTensor[] {
  const { numLayers, headDim, numAttentionHeads, numKeyValueHeads } = model.config;
  const heads = numAttentionHeads * headDim;
  const kvHeads = numKeyValueHeads * headDim;
  const layer = (i: number): SynthTensor[] => {
    const name = `model.layers.${i}`;
    const parts: SynthLayer = model.layer(i);
    const attention = (["q", "k", "v"] as const).flatMap((letter) => {
      const first = { q: 0, k: heads, v: heads + kvHeads }[letter];
      const rows = letter === "q" ? heads : kvHeads;
      return [
        renamed(someRows(parts.qkvWeight, first, rows), `${name}.self_attn.${letter}_proj.weight`),
        renamed(someElements(parts.qkvBias, first, rows), `${name}.self_attn.${letter}_proj.bias`),
      ];
    });
    return [
      ...attention,
      renamed(parts.attnNorm, `${name}.input_layernorm.weight`),
      renamed(parts.sinks, `${name}.self_attn.sinks`),
      renamed(parts.outWeight, `${name}.self_attn.o_proj.weight`),
      renamed(parts.outBias, `${name}.self_attn.o_proj.bias`),
      renamed(parts.mlpNorm, `${name}.post_attention_layernorm.weight`),
      renamed(parts.routerWeight, `${name}.mlp.router.weight`),
      renamed(parts.routerBias, `${name}.mlp.router.bias`),
      renamed(parts.mlp1Blocks, `${name}.mlp.experts.gate_up_proj_blocks`),
      renamed(parts.mlp1Scales, `${name}.mlp.experts.gate_up_proj_scales`),
      renamed(parts.mlp1Bias, `${name}.mlp.experts.gate_up_proj_bias`),
      renamed(parts.mlp2Blocks, `${name}.mlp.experts.down_proj_blocks`),
      renamed(parts.mlp2Scales, `${name}.mlp.experts.down_proj_scales`),
      renamed(parts.mlp2Bias, `${name}.mlp.experts.down_proj_bias`),
    ];
  };
  const order = Array.from({ length: numLayers }, (_, i) => String(i)).sort();
  return [
    ...order.flatMap((i) => layer(Number(i))),
    renamed(model.embedding(), "model.embed_tokens.weight"),
    renamed(model.norm(), "model.norm.weight"),
    renamed(model.unembedding(), "lm_head.weight"),
  ];
}

export function renamed(tensor: SynthTensor, name: string): SynthTensor {
  return { ...tensor, name };
}

/** Rows [first, first + rows) of a matrix. */
export function someRows(tensor: SynthTensor, first: number, rows: number): SynthTensor {
  return {
    ...tensor,
    shape: [rows, ...tensor.shape.slice(1)],
    rows,
    fill: (row, out) => tensor.fill(first + row, out),
  };
}

/** Elements [first, first + length) of a BF16 vector. */
export function someElements(tensor: SynthTensor, first: number, length: number): SynthTensor {
  return {
    ...tensor,
    shape: [length],
    rowBytes: length * 2,
    fill: (_, out) => {
      const whole = new Uint8Array(tensor.rowBytes);
      tensor.fill(0, whole);
      out.set(whole.subarray(first * 2, (first + length) * 2));
    },
  };
}

/** Cuts a list of tensors into shards of at most `maxBytes`. */
export function shard(tensors: readonly SynthTensor[], maxBytes: number): SynthTensor[][] {
  const shards: SynthTensor[][] = [];
  let room = 0;
  for (const tensor of tensors) {
    if (shards.length === 0 || byteLength(tensor) > room) {
      shards.push([]);
      room = maxBytes;
    }
    shards.at(-1)!.push(tensor);
    room -= byteLength(tensor);
  }
  return shards;
}
