import type { ModelConfig } from "../../config.ts";
import type { Ops, Tensor, Weight } from "../../engine/ops.ts";
import {
  type Change,
  changedVector,
  computed,
  countedSinceEmbed,
  everyLayer,
  hostTensor,
  type Mutant,
  override,
} from "./mutant.ts";

/** The residual stream: embedding, norms, sums, logits. */

type Norm = { readonly kind: "attn" | "moe" | "final"; readonly layer: number };

/** Another norm at some places. */
function norms(
  normalize: (x: Tensor, scale: Weight, eps: number, ops: Ops, norm: Norm) => ReturnType<Ops["rmsNorm"]>,
): Change {
  return {
    ops: (ops, config) => {
      const { next, embed } = countedSinceEmbed(ops);
      return override(ops, {
        embed,
        rmsNorm: (x, scale, eps) => {
          if (eps === 0) return ops.rmsNorm(x, scale, eps); // another mutant's way to read the scale
          const call = next();
          const kind = call === 2 * config.numLayers ? "final" : call % 2 === 0 ? "attn" : "moe";
          return normalize(x, scale, eps, ops, { kind, layer: call >> 1 });
        },
      });
    },
  };
}

/** The sums at the end of attention and of the experts take the normed x instead of x. */
function normedResidual(where: readonly ("attn" | "moe")[]): Change {
  return {
    ops: (ops, config) => {
      let latest: { value: Tensor; norm: Norm } | undefined;
      const remembering = norms(async (x, scale, eps, ops, norm) => {
        const value = await ops.rmsNorm(x, scale, eps);
        latest = { value, norm };
        return value;
      }).ops!(ops, config);
      return override(remembering, {
        add: (x, y) => {
          const isHere = latest !== undefined && where.some((kind) => kind === latest?.norm.kind);
          return ops.add(isHere ? latest!.value : x, y);
        },
      });
    },
  };
}

const norm = (change: (value: number) => number): Change => ({
  weights: (weights) => ({
    ...everyLayer(weights, ({ attn, moe }) => ({
      attn: { ...attn, norm: changedVector(attn.norm, change) },
      moe: { ...moe, norm: changedVector(moe.norm, change) },
    })),
    norm: changedVector(weights.norm, change),
  }),
});

function eps(value: number, text: string): Mutant {
  return {
    name: `norm-eps-${text}`,
    family: "stream",
    description: `RMSNorm's ε is ${text}.`,
    seen: value === 1e-6 ? "the default of transformers' RMSNorm classes" : "a constant from another model",
    fix: "Read rms_norm_eps (1e-5).",
    from: ({ rmsNormEps }) => (rmsNormEps === value ? Number.POSITIVE_INFINITY : 0),
    change: { config: (config: ModelConfig) => ({ ...config, rmsNormEps: value }) },
  };
}

/** Rounds to what float16 holds: 11 bits, infinite from 65520 on. */
function toFloat16(x: number): number {
  if (!(Math.abs(x) < 65520)) return x * Number.POSITIVE_INFINITY;
  const step = 2 ** (Math.max(Math.floor(Math.log2(Math.abs(x) || 1)), -14) - 10);
  return Math.round(x / step) * step;
}

export const STREAM_MUTANTS: readonly Mutant[] = [
  {
    name: "embedding-scaled",
    family: "stream",
    description: "The embedding is multiplied by √hidden.",
    seen: "code for Gemma",
    fix: "The embedding isn't scaled.",
    change: {
      ops: (ops, { hiddenSize }) =>
        override(ops, {
          embed: async (table, ids) =>
            computed(ops, await ops.embed(table, ids), (data) => data.map((x) => x * Math.sqrt(hiddenSize))),
        }),
    },
  },
  eps(1e-6, "1e-6"),
  eps(1e-8, "1e-8"),
  {
    name: "norm-eps-outside",
    family: "stream",
    description: "RMSNorm adds ε to the root, not under it.",
    seen: "x / (rms + ε), as in some papers",
    fix: "x / √(mean(x²) + ε).",
    change: norms((x, scale, eps, ops) =>
      normalized(ops, x, scale, (row) => {
        const root = Math.sqrt(row.reduce((sum, v) => sum + v * v, 0) / row.length) + eps;
        return row.map((v) => v / root);
      }),
    ),
  },
  {
    name: "norm-unweighted",
    family: "stream",
    description: "RMSNorm's scales are all 1.",
    seen: "the weights not loaded, or folded into matrices that aren't these",
    fix: "Multiply by the norm's scale.",
    change: norm(() => 1),
  },
  {
    name: "norm-one-plus-weight",
    family: "stream",
    description: "RMSNorm multiplies by 1 + scale.",
    seen: "code for Gemma",
    fix: "Multiply by the scale as it is.",
    change: norm((scale) => 1 + scale),
  },
  {
    name: "norm-layer-norm",
    family: "stream",
    description: "LayerNorm instead of RMSNorm: the mean is subtracted.",
    seen: "code for GPT-2",
    fix: "RMSNorm subtracts no mean.",
    change: norms((x, scale, eps, ops) =>
      normalized(ops, x, scale, (row) => {
        const mean = row.reduce((sum, v) => sum + v, 0) / row.length;
        const variance = row.reduce((sum, v) => sum + (v - mean) ** 2, 0) / row.length;
        return row.map((v) => (v - mean) / Math.sqrt(variance + eps));
      }),
    ),
  },
  {
    name: "norm-scales-exchanged",
    family: "stream",
    description: "The two norms of a layer have each other's scales.",
    seen: "post_attention_layernorm taken for a norm after attention, as Gemma 2 has",
    fix: "input_layernorm is ahead of attention, post_attention_layernorm ahead of the experts.",
    change: {
      weights: (weights) =>
        everyLayer(weights, ({ attn, moe }) => ({
          attn: { ...attn, norm: moe.norm },
          moe: { ...moe, norm: attn.norm },
        })),
    },
  },
  {
    name: "norm-final-missing",
    family: "stream",
    description: "There is no norm ahead of the unembedding.",
    seen: "hidden states taken ahead of it",
    fix: "logits = unembedding · RMSNorm(x).",
    change: norms((x, scale, eps, ops, { kind }) => (kind === "final" ? x : ops.rmsNorm(x, scale, eps))),
  },
  {
    name: "norm-moe-missing",
    family: "stream",
    description: "The experts and the router read x without its norm.",
    seen: "a norm dropped when layers were fused",
    fix: "Router and experts read RMSNorm(x).",
    change: norms((x, scale, eps, ops, { kind }) => (kind === "moe" ? x : ops.rmsNorm(x, scale, eps))),
  },
  {
    name: "norm-rounded-before-scale",
    family: "stream",
    description: "In bfloat16, RMSNorm rounds ahead of its scale, as Llama does, and again after it.",
    seen: "kernels for Llama; shows only beside a run that is exact to bfloat16's bits",
    fix: "Multiply by the scale in float32, then round once.",
    change: norms((x, scale, eps, ops) => {
      const { round } = ops.dialect;
      return normalized(ops, x, scale, (row) => {
        const root = Math.sqrt(row.reduce((sum, v) => sum + v * v, 0) / row.length + eps);
        return row.map((v) => round(v / root));
      });
    }),
  },
  {
    name: "residual-from-norm",
    family: "stream",
    description: "Both sums of a layer start from the normed x.",
    seen: "the name hidden_states used twice",
    fix: "Keep x, and add to it.",
    change: normedResidual(["attn", "moe"]),
  },
  {
    name: "residual-from-norm-moe",
    family: "stream",
    description: "The experts' output is added to the normed x.",
    seen: "post-norm blocks",
    fix: "Keep x, and add to it.",
    change: normedResidual(["moe"]),
  },
  {
    name: "residual-parallel",
    family: "stream",
    description: "Attention and experts run side by side: the experts read the x that attention read.",
    seen: "parallel blocks, as in GPT-J",
    fix: "The experts' norm reads x with attention's output added.",
    change: {
      ops: (ops, config) => {
        let before: Tensor | undefined;
        return norms((x, scale, eps, ops, { kind }) => {
          if (kind === "attn") before = x;
          return ops.rmsNorm(kind === "moe" ? before! : x, scale, eps);
        }).ops!(ops, config);
      },
    },
  },
  {
    name: "float16-overflow",
    family: "stream",
    description: "The residual stream is float16, which ends at 65504.",
    seen: "onnxruntime-genai#2444, hip-ep#168: 120b's reaches 45000 in layer 34 and overflows in the next",
    fix: "Keep the residual stream and the experts' output in float32 or bfloat16.",
    change: {
      ops: (ops) =>
        override(ops, {
          add: async (x, y) => computed(ops, await ops.add(x, y), (data) => data.map(toFloat16)),
        }),
    },
  },
  {
    name: "float16-saturated",
    family: "stream",
    description: "The residual stream is cut off at ±65504.",
    seen: "overflow hidden by a clamp, as in transformers' T5",
    fix: "Keep the residual stream in float32 or bfloat16.",
    change: {
      ops: (ops) =>
        override(ops, {
          add: async (x, y) =>
            computed(ops, await ops.add(x, y), (data) =>
              data.map((v) => Math.min(Math.max(v, -65504), 65504)),
            ),
        }),
    },
  },
  {
    name: "logits-late",
    family: "stream",
    description: "Row t has the logits of token t − 1: they are shifted by one.",
    seen: "comparing the prediction of a token with the prediction made at it; a BOS token too many",
    fix: "Row t of the logits is what follows tokens 0 to t; gpt-oss adds no BOS.",
    from: () => 1,
    change: shiftedLogits(-1),
  },
  {
    name: "logits-early",
    family: "stream",
    description: "Row t has the logits of token t + 1: they are shifted by one.",
    seen: "comparing the prediction of a token with the prediction made at it",
    fix: "Row t of the logits is what follows tokens 0 to t.",
    change: shiftedLogits(1),
  },
];

/** The rows of which logits are computed, moved by some. */
function shiftedLogits(by: number): Change {
  return {
    ops: (ops) => {
      let shift = true;
      return override(ops, {
        embed: (table, ids) => {
          shift = true;
          return ops.embed(table, ids);
        },
        rows: (x, rows) => {
          if (!shift) return ops.rows(x, rows);
          shift = false; // the engine's other use of it is to hand the logits out
          return computed(
            ops,
            x,
            (data, [T, n]) => {
              const at = (t: number): number => Math.min(Math.max(t + by, 0), T! - 1) * n!;
              return Float64Array.from(rows.flatMap((t) => [...data.subarray(at(t), at(t) + n!)]));
            },
            [rows.length, x.shape[1]!],
          );
        },
      });
    },
  };
}

/** A norm of each row by plain code, times its scale: that of a row whose rms is 1 by the engine's own norm. */
async function normalized(
  ops: Ops,
  x: Tensor,
  scale: Weight,
  normalize: (row: Float64Array) => Float64Array,
): Promise<Tensor> {
  const n = x.shape.at(-1)!;
  const ones = ops.write(hostTensor(ops, [1, n], new Float64Array(n).fill(1)));
  const scales = ops.read(await ops.rmsNorm(ones, scale, 0)).data;
  return computed(ops, x, (data) => {
    for (let at = 0; at < data.length; at += n) {
      data.set(
        normalize(data.slice(at, at + n)).map((v, i) => v * scales[i]!),
        at,
      );
    }
    return data;
  });
}
