import type { Ops, Tensor } from "../../engine/ops.ts";
import { exp } from "../../numerics/elementary.ts";
import { type Change, changedVector, computed, everyLayer, type Mutant, override } from "./mutant.ts";

/** Which experts a token goes to, and with what weights. */

/** Other weights for the chosen experts, from the router's logits [T, E], those of the chosen [T, k] and their ids. */
function shares(
  weigh: (chosen: Tensor, logits: Tensor, ids: Tensor, ops: Ops) => Tensor | Promise<Tensor>,
): Change {
  return {
    ops: (ops) => {
      let latest: { logits: Tensor; ids: Tensor } | undefined;
      return override(ops, {
        gather: (logits, ids) => {
          latest = { logits, ids };
          return ops.gather(logits, ids);
        },
        softmax: (chosen) => weigh(chosen, latest!.logits, latest!.ids, ops),
      });
    },
  };
}

/** The chosen experts' weights from their logits, row by row. */
const byRow = (weigh: (row: Float64Array) => Float64Array): Change =>
  shares((chosen, _logits, _ids, ops) =>
    computed(ops, chosen, (data, [, k]) => {
      for (let at = 0; at < data.length; at += k!) data.set(weigh(data.slice(at, at + k!)), at);
      return data;
    }),
  );

const topK = (change: (k: number) => number): Change => ({
  config: (config) => ({
    ...config,
    expertsPerToken: Math.min(change(config.expertsPerToken), config.numExperts),
  }),
});

const sigmoid = (x: number): number => 1 / (1 + exp(-x));

function softmaxed(row: Float64Array): Float64Array {
  const max = Math.max(...row);
  const powers = row.map((x) => exp(x - max));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((p) => p / sum);
}

const sumsToOne = (row: Float64Array): Float64Array => {
  const sum = row.reduce((a, b) => a + b, 0);
  return row.map((x) => x / sum);
};

export const ROUTER_MUTANTS: readonly Mutant[] = [
  {
    name: "router-softmax-over-all",
    family: "router",
    description:
      "The softmax runs over all experts, and the chosen ones keep their shares, which sum to less than 1.",
    seen: "vllm-gaudi#970, NeMo Automodel#1559: softmax, then top-k, without renormalising",
    fix: "Take the k largest logits first, then their softmax. Over all and renormalised is the same.",
    change: shares(async (_chosen, logits, ids, ops) => ops.gather(await ops.softmax(logits), ids)),
  },
  {
    name: "router-sigmoid",
    family: "router",
    description: "Each chosen expert weighs sigmoid(logit).",
    seen: "code for Llama 4 or DeepSeek V3",
    fix: "The softmax of the k chosen logits.",
    change: byRow((row) => row.map(sigmoid)),
  },
  {
    name: "router-sigmoid-renormalised",
    family: "router",
    description: "The chosen experts weigh sigmoid(logit), renormalised to sum to 1.",
    seen: "code for DeepSeek V3 or GLM 4",
    fix: "The softmax of the k chosen logits.",
    change: byRow((row) => sumsToOne(row.map(sigmoid))),
  },
  {
    name: "router-softmax-twice",
    family: "router",
    description: "A softmax over all experts, and another over the chosen shares.",
    seen: "vllm-fork#1852: a kernel that normalises what was normalised already",
    fix: "One softmax, of the k chosen logits.",
    change: shares(async (_chosen, logits, ids, ops) =>
      ops.softmax(await ops.gather(await ops.softmax(logits), ids)),
    ),
  },
  {
    name: "router-raw-logits",
    family: "router",
    description: "The chosen logits themselves are the weights: no softmax.",
    seen: "a kernel that expects weights, given logits",
    fix: "The softmax of the k chosen logits.",
    change: byRow((row) => row),
  },
  {
    name: "router-equal-weights",
    family: "router",
    description: "The chosen experts weigh 1/k each.",
    seen: "tt-metal#47671: bf16 flattened near ties, in the extreme",
    fix: "The softmax of the k chosen logits, in float32.",
    change: byRow((row) => row.map(() => 1 / row.length)),
  },
  {
    name: "router-unweighted-sum",
    family: "router",
    description: "The chosen experts' outputs are summed with weight 1.",
    seen: "the weighting left to a step that doesn't run",
    fix: "Multiply each expert's output by its softmax weight.",
    change: byRow((row) => row.map(() => 1)),
  },
  {
    name: "router-weights-reversed",
    family: "router",
    description: "The chosen experts' weights are in the opposite order of their ids.",
    seen: "a partial sort that returns ascending values and descending ids",
    fix: "Weight j belongs to id j.",
    change: byRow((row) => softmaxed(row).reverse()),
  },
  {
    name: "router-ids-sorted",
    family: "router",
    description: "The chosen ids are sorted, while the weights stay in order of rank.",
    seen: "grouping tokens by expert without moving the weights along",
    fix: "Permute weights with their ids.",
    change: {
      ops: (ops) => {
        const sorted = (ids: Tensor): Tensor => {
          const { shape, data } = ops.read(ids);
          const k = shape[1]!;
          const rows = Int32Array.from(data);
          for (let at = 0; at < rows.length; at += k) rows.subarray(at, at + k).sort();
          return ops.write({ shape, data: rows });
        };
        return override(ops, {
          expertLinear: (x, ids, weight, bias) => ops.expertLinear(x, sorted(ids), weight, bias),
          weightedSum: (x, weights, ids) => ops.weightedSum(x, weights, sorted(ids)),
        });
      },
    },
  },
  ...[1, 2, 3, 5, 8].map(
    (k): Mutant => ({
      name: `router-top-${k}`,
      family: "router",
      description: `${k === 1 ? "One expert" : `${k} experts`} a token.`,
      seen:
        k === 2
          ? "Mixtral's default"
          : k === 8
            ? "Qwen3's and DeepSeek's"
            : "a constant, or a count that is off by one",
      fix: "Read experts_per_token (4), also called num_experts_per_tok.",
      from: ({ expertsPerToken, numExperts }) =>
        Math.min(k, numExperts) === expertsPerToken ? Number.POSITIVE_INFINITY : 0,
      change: topK(() => k),
    }),
  ),
  {
    name: "router-bias-missing",
    family: "router",
    description: "The router has no bias.",
    seen: "code for Mixtral, whose router has none",
    fix: "Add the router's bias to its logits.",
    change: {
      weights: (weights) =>
        everyLayer(weights, ({ attn, moe }) => ({
          attn,
          moe: { ...moe, router: { ...moe.router, bias: changedVector(moe.router.bias, () => 0) } },
        })),
    },
  },
  {
    name: "router-bias-selects-only",
    family: "router",
    description: "The router's bias takes part in the choice of experts, but not in their weights.",
    seen: "code for DeepSeek V3's balancing bias",
    fix: "Weights are the softmax of the logits with their bias.",
    change: {
      ops: (ops, { numExperts }) => {
        let unbiased: Tensor | undefined;
        return override(ops, {
          linear: async (x, weight, bias) => {
            if (weight.rows === numExperts && bias) unbiased = await ops.linear(x, weight);
            return ops.linear(x, weight, bias);
          },
          gather: (_logits, ids) => ops.gather(unbiased!, ids),
        });
      },
    },
  },
];
