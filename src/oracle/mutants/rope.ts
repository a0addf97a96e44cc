import type { ModelConfig, RopeConfig } from "../../config.ts";
import type { Ops, RopeTable, Tensor } from "../../engine/ops.ts";
import { concentration, inverseFrequencies, rampBounds, ropeTable } from "../../model/rope.ts";
import { roundToBfloat16 } from "../../numerics/float.ts";
import { type Change, computed, countedSinceEmbed, type Mutant, override } from "./mutant.ts";

/** Positions: RoPE, YaRN and its concentration. Position 0 isn't rotated, so that most of these show from position 1 on. */

const rope = (change: (rope: RopeConfig, config: ModelConfig) => Partial<RopeConfig>): Change => ({
  config: (config) => ({ ...config, rope: { ...config.rope, ...change(config.rope, config) } }),
});

/** What is rotated, in the order of the calls. */
type Role = { readonly of: "q" | "k"; readonly layer: number };

/** Another way to rotate queries or keys. */
function rotated(
  rotate: (
    x: Tensor,
    table: RopeTable,
    role: Role,
    ops: Ops,
    config: ModelConfig,
  ) => ReturnType<Ops["rotate"]>,
): Change {
  return {
    ops: (ops, config) => {
      const { next, embed } = countedSinceEmbed(ops);
      return override(ops, {
        embed,
        rotate: (x, table) => {
          const call = next();
          return rotate(x, table, { of: call % 2 === 0 ? "q" : "k", layer: call >> 1 }, ops, config);
        },
      });
    },
  };
}

/** Another table for each position. */
function table(make: (T: number, config: ModelConfig, ops: Ops) => RopeTable): Change {
  return rotated((x, _table, _role, ops, config) => ops.rotate(x, make(x.shape[0]!, config, ops)));
}

function byPosition(T: number, make: (position: number) => RopeTable): RopeTable {
  const parts = Array.from({ length: T }, (_, position) => make(position));
  return {
    cos: Float64Array.from(parts.flatMap(({ cos }) => [...cos])),
    sin: Float64Array.from(parts.flatMap(({ sin }) => [...sin])),
  };
}

function scaled({ cos, sin }: RopeTable, factor: number): RopeTable {
  return { cos: cos.map((x) => x * factor), sin: sin.map((x) => x * factor) };
}

function frequenciesOf({ rope, headDim }: ModelConfig, { dialect }: Ops): Float64Array {
  return inverseFrequencies(rope, headDim, dialect.wide);
}

const hasYarn =
  (position: number) =>
  ({ rope }: ModelConfig): number =>
    rope.factor > 1 ? position : Number.POSITIVE_INFINITY;

export const ROPE_MUTANTS: readonly Mutant[] = [
  {
    name: "yarn-none",
    family: "rope",
    description: "Plain RoPE: YaRN is ignored, its concentration too.",
    seen: "TensorRT-Model-Connect#399: the key is rope_scaling in shipped files, rope_parameters in re-saved ones",
    fix: "Apply YaRN at every position, however short the text; accept both names of the key.",
    from: hasYarn(0),
    change: rope(() => ({ factor: 1 })),
  },
  {
    name: "yarn-truncated",
    family: "rope",
    description: "The bounds of YaRN's ramp are rounded to whole dimensions.",
    seen: "llama.cpp still; vllm#27722, sglang#14270, transformers#42189",
    fix: "Honour truncate: false; low and high stay fractions (8.09 and 17.40 of 32 for gpt-oss).",
    from: hasYarn(1),
    change: rope(() => ({ truncate: true })),
  },
  {
    name: "yarn-beyond-context-only",
    family: "rope",
    description: "Positions within the original context use plain RoPE, later ones YaRN.",
    seen: "runtimes that stretch dynamically, as for other models",
    fix: "YaRN holds from position 0 on; there is no exception for short texts.",
    from: hasYarn(0),
    change: table((T, config, ops) => {
      const plain = { ...config, rope: { ...config.rope, factor: 1 } };
      const at = ({ rope, ...rest }: ModelConfig, positions: number[]): RopeTable =>
        ropeTable(frequenciesOf({ rope, ...rest }, ops), rope, positions, ops.dialect);
      return byPosition(T, (p) => at(p < config.rope.originalContextLength ? plain : config, [p]));
    }),
  },
  {
    name: "yarn-linear",
    family: "rope",
    description:
      "All frequencies are divided by the factor (position interpolation) instead of a part of them.",
    seen: "rope_type read as linear",
    fix: "Keep the fast pairs, slow the slow ones, and ramp in between.",
    from: hasYarn(1),
    change: table((T, config, ops) => {
      const plain = inverseFrequencies({ ...config.rope, factor: 1 }, config.headDim, ops.dialect.wide);
      const slow = plain.map((frequency) => frequency / config.rope.factor);
      return ropeTable(slow, config.rope, [...Array(T).keys()], ops.dialect);
    }),
  },
  {
    name: "yarn-ramp-reversed",
    family: "rope",
    description: "YaRN slows the fast pairs and keeps the slow ones: the ramp is upside down.",
    seen: "mask and 1 − mask exchanged; beta_fast and beta_slow too",
    fix: "Fast pairs, low indices, keep their frequency.",
    from: hasYarn(1),
    change: table((T, config, ops) => {
      const plain = inverseFrequencies({ ...config.rope, factor: 1 }, config.headDim, ops.dialect.wide);
      const [low, high] = rampBounds(config.rope, config.headDim);
      const mixed = plain.map((frequency, i) => {
        const keep = Math.min(Math.max((i - low) / (high - low), 0), 1);
        return frequency * keep + (frequency / config.rope.factor) * (1 - keep);
      });
      return ropeTable(mixed, config.rope, [...Array(T).keys()], ops.dialect);
    }),
  },
  {
    name: "yarn-original-context-max",
    family: "rope",
    description: "The ramp is computed from the longest context instead of the original one.",
    seen: "max_position_embeddings (131072) taken for original_max_position_embeddings (4096)",
    fix: "The ramp's bounds come from the original context of 4096 tokens.",
    from: hasYarn(1),
    change: rope((_, { maxContextLength }) => ({ originalContextLength: maxContextLength })),
  },
  {
    name: "concentration-none",
    family: "rope",
    description: "YaRN's concentration 0.1 · ln(factor) + 1 is left out.",
    seen: "runtimes with YaRN frequencies but no attention factor",
    fix: "Multiply cos and sin by it, so that every score grows by its square (1.81).",
    from: hasYarn(0),
    change: rotated((x, table, _, ops, { rope }) => ops.rotate(x, scaled(table, 1 / concentration(rope)))),
  },
  {
    name: "concentration-once",
    family: "rope",
    description: "The concentration is on queries or on keys alone, or multiplies the scores once.",
    seen: "attention factor multiplied into the scores, where it belongs squared",
    fix: "Scale queries and keys both: scores grow by 1.3466² = 1.8133.",
    from: hasYarn(0),
    change: rotated((x, table, { of }, ops, { rope }) =>
      ops.rotate(x, of === "q" ? table : scaled(table, 1 / concentration(rope))),
    ),
  },
  {
    name: "concentration-twice",
    family: "rope",
    description: "The concentration is in cos and sin and, squared, in the scale of the scores again.",
    seen: "code for DeepSeek's mscale, which goes into the softmax's scale",
    fix: "The scale stays 1/√headDim.",
    from: hasYarn(0),
    change: rotated((x, table, _, ops, { rope }) => ops.rotate(x, scaled(table, concentration(rope)))),
  },
  {
    name: "theta-10000",
    family: "rope",
    description: "RoPE's base is 10000, the default of many libraries.",
    seen: "rope_theta not read",
    fix: "Read rope_theta (150000), at the top level or in rope_parameters.",
    from: ({ rope }) => (rope.theta === 10000 ? Number.POSITIVE_INFINITY : 1),
    change: rope(() => ({ theta: 10000 })),
  },
  {
    name: "theta-150000",
    family: "rope",
    description: "RoPE's base is gpt-oss's 150000 in a checkpoint that says otherwise.",
    seen: "a constant instead of rope_theta",
    fix: "Read rope_theta.",
    from: ({ rope }) => (rope.theta === 150000 ? Number.POSITIVE_INFINITY : 1),
    change: rope(() => ({ theta: 150000 })),
  },
  {
    name: "theta-500000",
    family: "rope",
    description: "RoPE's base is 500000, Llama 3's.",
    seen: "a constant instead of rope_theta",
    fix: "Read rope_theta.",
    from: () => 1,
    change: rope(() => ({ theta: 500000 })),
  },
  {
    name: "rope-interleaved",
    family: "rope",
    description: "RoPE pairs dimension 2i with 2i + 1.",
    seen: "GPT-J's order; Metal's file format permutes q and k for it",
    fix: "Pair dimension i with i + headDim / 2 (NeoX's order).",
    from: () => 1,
    change: rotated((x, table, _, ops, { headDim }) =>
      computed(ops, x, (data, [, heads]) => {
        const half = headDim / 2;
        const out = new Float64Array(data.length);
        for (let at = 0; at < data.length; at += headDim) {
          const angles = Math.floor(at / (heads! * headDim)) * half;
          for (let i = 0; i < half; i++) {
            const [a, b] = [data[at + 2 * i]!, data[at + 2 * i + 1]!];
            const [cos, sin] = [table.cos[angles + i]!, table.sin[angles + i]!];
            out[at + 2 * i] = a * cos - b * sin;
            out[at + 2 * i + 1] = b * cos + a * sin;
          }
        }
        return out;
      }),
    ),
  },
  {
    name: "rope-none",
    family: "rope",
    description: "Queries and keys aren't rotated at all; the concentration is kept.",
    seen: "a fused kernel that expects rotated inputs",
    fix: "Rotate queries and keys.",
    from: () => 1,
    change: rotated((x, table, _, ops, { rope }) => {
      const scale = ops.dialect.round(concentration(rope));
      return ops.rotate(x, { cos: table.cos.map(() => scale), sin: table.sin.map(() => 0) });
    }),
  },
  {
    name: "rope-reversed",
    family: "rope",
    description: "RoPE turns the other way: the sign of sin is wrong.",
    seen: "rotate_half without its minus, or with it on the wrong half",
    fix: "out₁ = x₁·cos − x₂·sin, out₂ = x₂·cos + x₁·sin.",
    from: () => 1,
    change: rotated((x, { cos, sin }, _, ops) => ops.rotate(x, { cos, sin: sin.map((s) => -s) })),
  },
  {
    name: "rope-keys-not-rotated",
    family: "rope",
    description: "Keys go into the cache as they were before RoPE, and are scored so.",
    seen: "caches that rotate at use meet kernels that rotate at store",
    fix: "Rotate keys before they are stored.",
    from: () => 1,
    change: rotated((x, table, { of }, ops, { rope }) => {
      const scale = ops.dialect.round(concentration(rope));
      return ops.rotate(
        x,
        of === "q" ? table : { cos: table.cos.map(() => scale), sin: table.sin.map(() => 0) },
      );
    }),
  },
  {
    name: "rope-frequencies-bf16",
    family: "rope",
    description: "RoPE's frequencies are rounded to bfloat16.",
    seen: "model.to(bfloat16) casts the buffer inv_freq along with the weights",
    fix: "Keep frequencies and angles in float32; round cos and sin at the end, if at all.",
    from: () => 1,
    change: table((T, config, ops) =>
      ropeTable(
        frequenciesOf(config, ops).map(roundToBfloat16),
        config.rope,
        [...Array(T).keys()],
        ops.dialect,
      ),
    ),
  },
  {
    name: "rope-angles-bf16",
    family: "rope",
    description: "RoPE's angles, position times frequency, are rounded to bfloat16.",
    seen: "positions or tables in the model's precision: whole numbers beyond 256 don't fit",
    fix: "Keep frequencies and angles in float32; round cos and sin at the end, if at all.",
    from: () => 1,
    change: table((T, config, ops) => {
      const frequencies = frequenciesOf(config, ops);
      return byPosition(T, (p) => {
        const angles = frequencies.map((frequency) => roundToBfloat16(p * frequency));
        return ropeTable(angles, config.rope, [1], ops.dialect);
      });
    }),
  },
  {
    name: "rope-on-values",
    family: "rope",
    description: "Values are rotated as keys are.",
    seen: "RoPE applied to a fused qkv tensor",
    fix: "Rotate queries and keys only.",
    change: {
      ops: (ops) => {
        let latest: RopeTable | undefined;
        return override(ops, {
          rotate: (x, table) => {
            latest = table;
            return ops.rotate(x, table);
          },
          store: async (k, v, spans) => ops.store(k, await ops.rotate(v, latest!), spans),
        });
      },
    },
  },
  {
    name: "rope-plain-on-sliding",
    family: "rope",
    description: "Sliding layers use plain RoPE, and only full ones YaRN.",
    seen: "models such as Gemma 3 have a table for each kind of layer",
    fix: "One table serves all layers.",
    from: ({ layerTypes, rope }) =>
      layerTypes.includes("sliding") && rope.factor > 1 ? 0 : Number.POSITIVE_INFINITY,
    change: rotated((x, table, { layer }, ops, config) => {
      if (config.layerTypes[layer] !== "sliding") return ops.rotate(x, table);
      const plain = { ...config, rope: { ...config.rope, factor: 1 } };
      const positions = [...Array(x.shape[0]!).keys()];
      return ops.rotate(x, ropeTable(frequenciesOf(plain, ops), plain.rope, positions, ops.dialect));
    }),
  },
  {
    name: "positions-wrap-on-sliding",
    family: "rope",
    description:
      "On sliding layers positions count modulo the window: a slot of the ring is taken for a position.",
    seen: "rotating caches: mlx-lm#1437, ollama#14912, mlx-swift-lm#424",
    fix: "RoPE wants absolute positions; keep them apart from the slots of the ring.",
    from: ({ layerTypes, slidingWindow }) =>
      layerTypes.includes("sliding") ? slidingWindow : Number.POSITIVE_INFINITY,
    change: rotated((x, table, { layer }, ops, config) => {
      if (config.layerTypes[layer] !== "sliding") return ops.rotate(x, table);
      const positions = Array.from({ length: x.shape[0]! }, (_, p) => p % config.slidingWindow);
      return ops.rotate(x, ropeTable(frequenciesOf(config, ops), config.rope, positions, ops.dialect));
    }),
  },
];
