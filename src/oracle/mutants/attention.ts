import type { LayerType, ModelConfig } from "../../config.ts";
import type { AttentionSpan } from "../../engine/ops.ts";
import {
  beyondWindow,
  type Change,
  changedMatrices,
  changedVector,
  computed,
  everyLayer,
  hostTensor,
  type Mutant,
  override,
} from "./mutant.ts";

/** Who attends to whom: windows, masks, sinks, scale, heads. */

const config = (change: (config: ModelConfig) => Partial<ModelConfig>): Change => ({
  config: (c) => ({ ...c, ...change(c) }),
});

const layers = (typeOf: (type: LayerType, layer: number) => LayerType): Change =>
  config(({ layerTypes }) => ({ layerTypes: layerTypes.map(typeOf) }));

const isSliding = ({ window }: AttentionSpan): boolean => window !== Number.POSITIVE_INFINITY;

/** Scores only the keys that `sees` allows, up to the query's own, or the next key with `ahead`. */
function masked(
  sees: (query: number, key: number, span: AttentionSpan, config: ModelConfig) => boolean,
  { ahead = 0 }: { ahead?: 0 | 1 } = {},
): Change {
  const wide = (spans: readonly AttentionSpan[]): AttentionSpan[] =>
    spans.map((span) => ({ ...span, window: Number.POSITIVE_INFINITY, position: span.position + ahead }));
  return {
    ops: (ops, config) =>
      override(ops, {
        async attentionScores(q, spans, scale) {
          const scores = await ops.attentionScores(q, wide(spans), scale);
          return computed(ops, scores, (data, [heads, T, keys]) => {
            for (let row = 0, at = 0; row < heads! * T!; row++) {
              for (let key = 0; key < keys!; key++, at++) {
                const isThere = key < T! && sees(row % T!, key, spans[0]!, config);
                if (!isThere) data[at] = Number.NEGATIVE_INFINITY;
              }
            }
            return data;
          });
        },
        sinkSoftmax: (scores, sinks, spans) => ops.sinkSoftmax(scores, sinks, wide(spans)),
        attentionContext: (weights, spans) => ops.attentionContext(weights, wide(spans)),
      }),
  };
}

/** Other sink logits, by the kind of layer. */
const sinks = (change: (sink: number, config: ModelConfig) => number, only?: LayerType): Change => ({
  weights: (weights, config) =>
    everyLayer(weights, ({ attn, moe }, layer) => ({
      attn:
        only === undefined || config.layerTypes[layer] === only
          ? { ...attn, sinks: changedVector(attn.sinks, (sink) => change(sink, config)) }
          : attn,
      moe,
    })),
});

/** Low enough to take no share, and finite in every number format. */
const NOTHING = -1e30;

const scale = (change: (scale: number, config: ModelConfig) => number): Change => ({
  ops: (ops, config) =>
    override(ops, {
      attentionScores: (q, spans, s) => ops.attentionScores(q, spans, change(s, config)),
    }),
});

/** Head h's place when heads of the wrong grouping are put in the order that the right grouping wants. */
function slotOf(h: number, { numAttentionHeads: heads, numKeyValueHeads: kvHeads }: ModelConfig): number {
  return (h % kvHeads) * (heads / kvHeads) + Math.floor(h / kvHeads);
}

/** Moves heads of width n: into[slotOf(h)] = from[h], or back. */
function permuted(data: Float64Array, n: number, config: ModelConfig, back: boolean): Float64Array {
  const { numAttentionHeads: heads } = config;
  const out = new Float64Array(data.length);
  for (let row = 0; row < data.length; row += heads * n) {
    for (let h = 0; h < heads; h++) {
      const [from, to] = back ? [slotOf(h, config), h] : [h, slotOf(h, config)];
      out.set(data.subarray(row + from * n, row + (from + 1) * n), row + to * n);
    }
  }
  return out;
}

const WINDOW: readonly Mutant[] = [
  {
    name: "window-minus-1",
    family: "window",
    description: "A query on a sliding layer sees one key too few (127 for gpt-oss).",
    seen: "Megatron-LM#2771, mlx-lm#390; FlashAttention's left window is 127, not 126; decoding drops the oldest key too soon",
    fix: "See the `window` latest keys, the query's own among them: key > query − window.",
    from: (c) => beyondWindow(c) - 1,
    change: config(({ slidingWindow }) => ({ slidingWindow: slidingWindow - 1 })),
  },
  {
    name: "window-plus-1",
    family: "window",
    description: "A query on a sliding layer sees one key too many (129 for gpt-oss).",
    seen: "Megatron-LM#3690, mlx-swift-lm#39, sglang#32087",
    fix: "See the `window` latest keys, the query's own among them: key > query − window, FlashAttention's (127, 0).",
    from: beyondWindow,
    change: config(({ slidingWindow }) => ({ slidingWindow: slidingWindow + 1 })),
  },
  {
    name: "window-layers-exchanged",
    family: "window",
    description: "Odd layers slide and even ones see everything.",
    seen: "layer_types counted from 1",
    fix: "Layer 0 slides, layer 1 is full, and so on; follow layer_types.",
    from: beyondWindow,
    change: layers((type) => (type === "sliding" ? "full" : "sliding")),
  },
  {
    name: "window-none",
    family: "window",
    description: "All layers see everything.",
    seen: "TensorRT-Model-Connect#399, openvino#32911 (exported as 0, which means none)",
    fix: "Follow layer_types and sliding_window.",
    from: beyondWindow,
    change: layers(() => "full"),
  },
  {
    name: "window-everywhere",
    family: "window",
    description: "All layers slide.",
    seen: "sliding_window applied without layer_types, as for Mistral",
    fix: "Only the layers that layer_types calls sliding have a window.",
    from: (c) => (c.layerTypes.includes("full") ? c.slidingWindow : Number.POSITIVE_INFINITY),
    change: layers(() => "sliding"),
  },
  {
    name: "window-stuck",
    family: "window",
    description:
      "A full ring takes no more: late queries on sliding layers see the first keys and their own.",
    seen: "rotating caches after the wrap: mlx-lm#999, mlx-vlm#1715, Rapid-MLX#1124",
    fix: "Write position p to slot p mod window; test more than a window of tokens, decoding and prefill.",
    from: (c) => beyondWindow(c),
    change: masked(
      (query, key, span, { slidingWindow }) => !isSliding(span) || key < slidingWindow || key === query,
    ),
  },
  {
    name: "window-keeps-first",
    family: "window",
    description: "Sliding layers never let go of the first four tokens, taken for attention sinks.",
    seen: "StreamingLLM's sinks are tokens; gpt-oss's are logits",
    fix: "Keep nothing beyond the window; the sink is a number in the softmax.",
    from: beyondWindow,
    change: masked(
      (query, key, span, { slidingWindow }) => !isSliding(span) || key > query - slidingWindow || key < 4,
    ),
  },
  {
    name: "window-blocks",
    family: "window",
    description: "Sliding layers see the keys of their own block of a window's size, not a sliding window.",
    seen: "chunked local attention, as in Llama 4",
    fix: "Each query sees the latest `window` keys.",
    from: beyondWindow,
    change: masked(
      (query, key, span, { slidingWindow }) =>
        !isSliding(span) || Math.floor(key / slidingWindow) === Math.floor(query / slidingWindow),
    ),
  },
];

const MASK: readonly Mutant[] = [
  {
    name: "mask-sees-next",
    family: "attention",
    description: "The causal mask is off by one: a query sees the key after its own.",
    seen: "triu with diagonal 2 for 1",
    fix: "A query sees keys up to its own.",
    change: masked((query, key, { window }) => key <= query + 1 && key > query - window, { ahead: 1 }),
  },
  {
    name: "mask-not-itself",
    family: "attention",
    description: "The causal mask is off by one: a query doesn't see its own key.",
    seen: "triu with diagonal 0 for 1; scoring before the new key is stored",
    fix: "A query sees keys up to its own; store before scoring.",
    change: masked((query, key, { window }) => key < query && key > query - window),
  },
  {
    name: "scale-none",
    family: "attention",
    description: "Scores aren't multiplied by 1/√headDim.",
    seen: "a kernel that expects scaled queries",
    fix: "Multiply q · k by 1/√headDim once.",
    change: scale(() => 1),
  },
  {
    name: "scale-twice",
    family: "attention",
    description: "Scores are multiplied by 1/√headDim twice.",
    seen: "queries scaled ahead of a kernel that scales; Metal's files have the scale in q and k",
    fix: "Multiply q · k by 1/√headDim once.",
    change: scale((s) => s * s),
  },
  {
    name: "scale-hidden-by-heads",
    family: "attention",
    description: "The scale is 1/√(hidden / heads), 45 for gpt-oss, instead of 1/√headDim, 64.",
    seen: "head_dim not read; heads · headDim isn't the hidden size here",
    fix: "Read head_dim.",
    from: ({ hiddenSize, numAttentionHeads: heads, headDim }) =>
      hiddenSize === heads * headDim ? Number.POSITIVE_INFINITY : 0,
    change: scale((_, { hiddenSize, numAttentionHeads }) => 1 / Math.sqrt(hiddenSize / numAttentionHeads)),
  },
  {
    name: "heads-grouped-by-modulo",
    family: "attention",
    description: "Query head h reads key-value head h mod kvHeads.",
    seen: "repeat where repeat_interleave belongs",
    fix: "Query head h reads key-value head h / (heads / kvHeads), rounded down.",
    from: ({ numAttentionHeads: heads, numKeyValueHeads: kvHeads }) =>
      kvHeads === 1 || kvHeads === heads ? Number.POSITIVE_INFINITY : 0,
    change: {
      weights: (weights, config) =>
        everyLayer(weights, ({ attn, moe }) => ({
          attn: {
            ...attn,
            sinks: changedMatrices(attn.sinks, (values) =>
              Float32Array.from(permuted(Float64Array.from(values), 1, config, false)),
            ),
          },
          moe,
        })),
      ops: (ops, config) =>
        override(ops, {
          attentionScores: (q, spans, s) =>
            ops.attentionScores(
              computed(ops, q, (data) => permuted(data, config.headDim, config, false)),
              spans,
              s,
            ),
          attentionContext: async (weights, spans) =>
            computed(ops, await ops.attentionContext(weights, spans), (data) =>
              permuted(data, config.headDim, config, true),
            ),
        }),
    },
  },
  {
    name: "keys-values-exchanged",
    family: "attention",
    description: "Keys and values are exchanged.",
    seen: "a fused qkv split in another order",
    fix: "The rows of qkv are q, k, v.",
    change: {
      weights: (weights) =>
        everyLayer(weights, ({ attn, moe }) => ({ attn: { ...attn, k: attn.v, v: attn.k }, moe })),
    },
  },
];

/** The sink's share given to something that it has no business with. */
function sinkShare(
  give: (weights: Float64Array, shares: Float64Array, keys: number, T: number) => void,
): Change {
  return {
    ops: (ops) =>
      override(ops, {
        async sinkSoftmax(scores, sinks, spans) {
          const { weights, sink } = await ops.sinkSoftmax(scores, sinks, spans);
          const shares = Float64Array.from(ops.read(sink).data);
          const changed = computed(ops, weights, (data, [, T, keys]) => {
            give(data, shares, keys!, T!);
            return data;
          });
          return { weights: changed, sink: ops.write(hostTensor(ops, sink.shape, shares)) };
        },
      }),
  };
}

const SINKS: readonly Mutant[] = [
  {
    name: "sinks-none",
    family: "sinks",
    description: "Attention has no sinks: each row of the softmax sums to 1.",
    seen: "vllm#22331, #28561, dynamo#7514: back ends that drop them silently",
    fix: "Add exp(sink − max) to each softmax's denominator.",
    change: sinks(() => NOTHING),
  },
  {
    name: "sinks-none-on-sliding",
    family: "sinks",
    description: "Sliding layers have no sinks.",
    seen: "a kernel for windows without the argument",
    fix: "All layers have sinks.",
    from: ({ layerTypes }) => (layerTypes.includes("sliding") ? 0 : Number.POSITIVE_INFINITY),
    change: sinks(() => NOTHING, "sliding"),
  },
  {
    name: "sinks-none-on-full",
    family: "sinks",
    description: "Full layers have no sinks.",
    seen: "a kernel for full attention without the argument",
    fix: "All layers have sinks.",
    from: ({ layerTypes }) => (layerTypes.includes("full") ? 0 : Number.POSITIVE_INFINITY),
    change: sinks(() => NOTHING, "full"),
  },
  {
    name: "sinks-zero",
    family: "sinks",
    description: 'Every sink is 0, not what the checkpoint has ("softmax plus one").',
    seen: "tensors not loaded; off-by-one attention",
    fix: "Load self_attn.sinks, one logit a head.",
    change: sinks(() => 0),
  },
  {
    name: "sinks-scaled",
    family: "sinks",
    description: "Sinks are multiplied by 1/√headDim as scores are.",
    seen: "the sink joined to the scores before they are scaled",
    fix: "Sinks are logits already: scale q · k alone.",
    change: sinks((sink, { headDim }) => sink / Math.sqrt(headDim)),
  },
  {
    name: "sinks-base-2",
    family: "sinks",
    description: "Sinks are raised to base 2: exp2(sink), without log₂e.",
    seen: "kernels that fold log₂e into the scale of the scores",
    fix: "Multiply sinks by log₂e as well.",
    change: sinks((sink) => sink * Math.LN2),
  },
  {
    name: "sinks-carry-own-value",
    family: "sinks",
    description: "The sink's share goes to the query's own value instead of to nothing.",
    seen: "sinks taken for a key with a value",
    fix: "Drop the sink's share after the softmax; it has no value.",
    change: sinkShare((weights, shares, keys, T) => {
      for (const [row, share] of shares.entries()) weights[row * keys + keys - T + (row % T)]! += share;
    }),
  },
  {
    name: "sinks-doubled",
    family: "sinks",
    description: "The sink counts twice in the denominator.",
    seen: "each of two splits of the keys, or both of two ranks, adds it",
    fix: "Add exp(sink) once a row, after partial sums are joined.",
    change: sinks((sink) => sink + Math.LN2),
  },
];

export const ATTENTION_MUTANTS: readonly Mutant[] = [...WINDOW, ...MASK, ...SINKS];
