import type { ModelConfig } from "../../config.ts";
import type { Tensor } from "../../engine/ops.ts";
import { exp } from "../../numerics/elementary.ts";
import { type Change, computed, hostTensor, type Mutant, override } from "./mutant.ts";

/** The experts' activation: min(gate, 7) · sigmoid(1.702 · gate) · (clamp(up, ±7) + 1). */

const sigmoid = (x: number): number => 1 / (1 + exp(-x));
const clamp = (x: number, limit: number): number => Math.min(Math.max(x, -limit), limit);
/** gate · sigmoid(α · gate) */
const swish = (gate: number, { swigluAlpha }: ModelConfig): number => gate * sigmoid(swigluAlpha * gate);

/** Another function of gate and up. */
function activation(f: (gate: number, up: number, limit: number, config: ModelConfig) => number): Change {
  return {
    ops: (ops, config) =>
      override(ops, {
        swiglu: (gateUp, _alpha, limit) => {
          const shape = [...gateUp.shape.slice(0, -1), gateUp.shape.at(-1)! / 2];
          return computed(
            ops,
            gateUp,
            (data) =>
              Float64Array.from({ length: data.length / 2 }, (_, i) =>
                f(data[2 * i]!, data[2 * i + 1]!, limit, config),
              ),
            shape,
          );
        },
      }),
  };
}

/** The experts' gates and ups arranged otherwise ahead of the right function. */
function arranged(place: (i: number, width: number) => number): Change {
  return {
    ops: (ops) =>
      override(ops, {
        swiglu: (gateUp, alpha, limit) => {
          const width = gateUp.shape.at(-1)!;
          const moved = computed(ops, gateUp, (data) =>
            data.map((_, at) => data[at - (at % width) + place(at % width, width)]!),
          );
          return ops.swiglu(moved, alpha, limit);
        },
      }),
  };
}

/** What the biases of an expert product add: the product of zeros. */
type Biases = (x: Tensor, biased: Tensor, bias: Tensor) => Tensor;

/** gate_up's products are [T, hidden] times the chosen experts, down's [T, k, ffn]. */
function withBiases(which: "gate_up" | "down", change: Biases): Change {
  return {
    ops: (ops) =>
      override(ops, {
        expertLinear: async (x, ids, weight, bias) => {
          const y = await ops.expertLinear(x, ids, weight, bias);
          if ((x.shape.length === 2) !== (which === "gate_up")) return y;
          const zeros = ops.write(
            hostTensor(ops, x.shape, new Float64Array(x.shape.reduce((a, b) => a * b, 1))),
          );
          return change(x, y, await ops.expertLinear(zeros, ids, weight, bias));
        },
      }),
  };
}

export const SWIGLU_MUTANTS: readonly Mutant[] = [
  {
    name: "swiglu-no-plus-1",
    family: "swiglu",
    description: "up isn't increased by 1.",
    seen: "the SwiGLU of every other model",
    fix: "Multiply by (up + 1).",
    change: activation((gate, up, limit, c) => swish(Math.min(gate, limit), c) * clamp(up, limit)),
  },
  {
    name: "swiglu-plus-1-before-clamp",
    family: "swiglu",
    description: "1 is added to up ahead of its clamp.",
    seen: "fused kernels",
    fix: "Clamp up to ±7, then add 1.",
    change: activation((gate, up, limit, c) => swish(Math.min(gate, limit), c) * clamp(up + 1, limit)),
  },
  {
    name: "swiglu-plain-silu",
    family: "swiglu",
    description: "The gate is plain SiLU: α is 1, not 1.702.",
    seen: "hidden_act of config.json says silu",
    fix: "gate · sigmoid(1.702 · gate).",
    change: { config: (config) => ({ ...config, swigluAlpha: 1 }) },
  },
  {
    name: "swiglu-gelu",
    family: "swiglu",
    description: "The gate is GELU (tanh), not gate · sigmoid(1.702 · gate).",
    seen: "1.702 taken for GELU's approximation, which it is",
    fix: "gate · sigmoid(1.702 · gate).",
    change: activation((gate, up, limit) => {
      const g = Math.min(gate, limit);
      const tanh = 2 * sigmoid(2 * Math.sqrt(2 / Math.PI) * (g + 0.044715 * g ** 3)) - 1;
      return 0.5 * g * (1 + tanh) * (clamp(up, limit) + 1);
    }),
  },
  {
    name: "swiglu-llama",
    family: "swiglu",
    description: "Plain SwiGLU, silu(gate) · up: neither α, nor clamp, nor + 1.",
    seen: "the SwiGLU of every other model",
    fix: "min(gate, 7) · sigmoid(1.702 · gate) · (clamp(up, ±7) + 1).",
    change: activation((gate, up) => gate * sigmoid(gate) * up),
  },
  {
    name: "swiglu-no-clamp",
    family: "swiglu",
    description: "Neither gate nor up is clamped.",
    seen: "swiglu_limit isn't in GGUF files",
    fix: "gate ≤ 7 and |up| ≤ 7, after their bias.",
    change: { config: (config) => ({ ...config, swigluLimit: Number.POSITIVE_INFINITY }) },
  },
  {
    name: "swiglu-no-clamp-of-up",
    family: "swiglu",
    description: "Only gate is clamped.",
    seen: "half of the clamp forgotten",
    fix: "gate ≤ 7 and |up| ≤ 7.",
    change: activation((gate, up, limit, c) => swish(Math.min(gate, limit), c) * (up + 1)),
  },
  {
    name: "swiglu-no-clamp-of-gate",
    family: "swiglu",
    description: "Only up is clamped.",
    seen: "half of the clamp forgotten",
    fix: "gate ≤ 7 and |up| ≤ 7.",
    change: activation((gate, up, limit, c) => swish(gate, c) * (clamp(up, limit) + 1)),
  },
  {
    name: "swiglu-gate-clamped-below",
    family: "swiglu",
    description: "gate is clamped on both sides.",
    seen: "one clamp for both halves; the effect is small, since sigmoid is nearly 0 there",
    fix: "gate has an upper bound only.",
    change: activation((gate, up, limit, c) => swish(clamp(gate, limit), c) * (clamp(up, limit) + 1)),
  },
  {
    name: "swiglu-up-clamped-above-only",
    family: "swiglu",
    description: "up has an upper bound only, as gate has.",
    seen: "one clamp for both halves",
    fix: "up is clamped on both sides.",
    change: activation((gate, up, limit, c) => swish(Math.min(gate, limit), c) * (Math.min(up, limit) + 1)),
  },
  {
    name: "swiglu-clamp-before-bias",
    family: "swiglu",
    description: "The clamp is ahead of the bias.",
    seen: "kernels that add the bias in a later step",
    fix: "Add the bias, then clamp.",
    change: {
      ops: (ops, config) => {
        const limit = config.swigluLimit;
        const clamped = withBiases("gate_up", (_x, y, bias) => {
          const b = ops.read(bias).data;
          return computed(ops, y, (data) =>
            data.map((value, i) => {
              const product = value - b[i]!;
              return b[i]! + (i % 2 === 0 ? Math.min(product, limit) : clamp(product, limit));
            }),
          );
        }).ops!(ops, config);
        return override(clamped, {
          swiglu: (gateUp, alpha) => ops.swiglu(gateUp, alpha, Number.POSITIVE_INFINITY),
        });
      },
    },
  },
  {
    name: "swiglu-halves",
    family: "swiglu",
    description: "The first half of gate_up is taken for gate and the second for up.",
    seen: "every other model has concatenated halves",
    fix: "They interleave: row 2i is gate i, row 2i + 1 up i.",
    change: arranged((i, width) => (i % 2) * (width / 2) + (i >> 1)),
  },
  {
    name: "swiglu-exchanged",
    family: "swiglu",
    description: "gate and up are exchanged.",
    seen: "the pair read in the other order",
    fix: "Row 2i is gate i, row 2i + 1 up i.",
    change: arranged((i) => i ^ 1),
  },
  {
    name: "down-bias-unweighted",
    family: "swiglu",
    description: "The bias on the way down is added outside the weighted sum.",
    seen: "tensor parallelism that adds it on every rank, or after the sum",
    fix: "weight · (down · x + bias), summed over the experts.",
    change: {
      ops: (ops, config) => {
        let biases: Float64Array | undefined;
        const remembering = withBiases("down", (_x, y, bias) => {
          biases = Float64Array.from(ops.read(bias).data);
          return y;
        }).ops!(ops, config);
        return override(remembering, {
          weightedSum: async (x, weights, ids) => {
            const shares = ops.read(weights).data;
            const [, k, n] = x.shape as [number, number, number];
            return computed(ops, await ops.weightedSum(x, weights, ids), (data) =>
              data.map((sum, at) => {
                const [t, c] = [Math.floor(at / n), at % n];
                for (let j = 0; j < k; j++) sum += (1 - shares[t * k + j]!) * biases![(t * k + j) * n + c]!;
                return sum;
              }),
            );
          },
        });
      },
    },
  },
];
