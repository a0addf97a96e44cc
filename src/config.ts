import { Fields } from "./checkpoint/fields.ts";
import type { GgufValue } from "./checkpoint/gguf.ts";
import { ConfigError } from "./errors.ts";
import { log } from "./numerics/elementary.ts";

/**
 * The hyper-parameters of a gpt-oss model: one flat record, whichever file they came from.
 * Field names follow `ModelConfig` of OpenAI's `gpt_oss/torch/model.py` where it has them.
 */
export interface ModelConfig {
  readonly numLayers: number;
  readonly vocabSize: number;
  readonly hiddenSize: number;
  /** Width of one expert's feed-forward layer. */
  readonly intermediateSize: number;
  readonly numExperts: number;
  readonly expertsPerToken: number;
  readonly numAttentionHeads: number;
  readonly numKeyValueHeads: number;
  readonly headDim: number;
  /** Keys that a query on a sliding layer sees, itself included. */
  readonly slidingWindow: number;
  /** One entry a layer; gpt-oss alternates, starting with sliding. */
  readonly layerTypes: readonly LayerType[];
  readonly rmsNormEps: number;
  readonly swigluLimit: number;
  readonly swigluAlpha: number;
  readonly rope: RopeConfig;
  /** Longest sequence that the model was made for. */
  readonly maxContextLength: number;
}

export type LayerType = "sliding" | "full";

/** YaRN (arXiv:2309.00071); `factor` 1 means plain RoPE. */
export interface RopeConfig {
  readonly theta: number;
  readonly factor: number;
  /** Rotations over the original context above which a frequency is kept as it is ("beta_fast", 32). */
  readonly betaFast: number;
  /** Rotations below which a frequency is interpolated in full ("beta_slow", 1). */
  readonly betaSlow: number;
  readonly originalContextLength: number;
  /** Whether the bounds of the ramp are rounded to whole dimensions; gpt-oss says no. */
  readonly truncate: boolean;
}

/** A `config.json` of Hugging Face's layout, as transformers' `GptOssConfig` reads it, whose defaults it shares. */
export function configFromHuggingFace(json: unknown, where: string): ModelConfig {
  const fields = Fields.fromJson(json, where, NULLABLE);
  fields.expect("model_type", "gpt_oss");
  fields.expect("hidden_act", "silu"); // what it calls silu is the clamped SwiGLU all the same
  fields.expect("attention_bias", true);
  fields.child("quantization_config")?.expect("quant_method", "mxfp4");
  const numLayers = fields.size("num_hidden_layers", MAX.layers, 36);
  // OpenAI's files hold both names; transformers reads the first
  const expertsPerToken = fields.agreeing(
    ["num_experts_per_tok", "experts_per_token"],
    (key) => fields.size(key, MAX.experts),
    4,
  );
  const maxContextLength = fields.size("max_position_embeddings", MAX.context, 131072);
  return validated(
    {
      numLayers,
      vocabSize: fields.size("vocab_size", MAX.vocab, 201088),
      hiddenSize: fields.size("hidden_size", MAX.width, 2880),
      intermediateSize: fields.size("intermediate_size", MAX.width, 2880),
      numExperts: fields.agreeing(
        ["num_local_experts", "num_experts"],
        (key) => fields.size(key, MAX.experts),
        128,
      ),
      expertsPerToken,
      numAttentionHeads: fields.size("num_attention_heads", MAX.heads, 64),
      numKeyValueHeads: fields.size("num_key_value_heads", MAX.heads, 8),
      headDim: fields.size("head_dim", MAX.width, 64),
      slidingWindow: fields.size("sliding_window", MAX.context, 128),
      layerTypes: layerTypesFromHuggingFace(fields, numLayers),
      rmsNormEps: fields.number("rms_norm_eps", 1e-5),
      swigluLimit: fields.number("swiglu_limit", 7),
      swigluAlpha: fields.number("swiglu_alpha", 1.702),
      rope: ropeFromHuggingFace(fields, maxContextLength),
      maxContextLength,
    },
    where,
  );
}

/** `original/config.json`: exactly the 16 fields of `ModelConfig` in OpenAI's `gpt_oss/torch/model.py`. */
export function configFromOriginal(json: unknown, where: string): ModelConfig {
  const fields = Fields.fromJson(json, where);
  const numLayers = fields.size("num_hidden_layers", MAX.layers);
  const originalContextLength = fields.size("initial_context_length", MAX.context);
  const factor = fields.number("rope_scaling_factor");
  const config: ModelConfig = {
    numLayers,
    vocabSize: fields.size("vocab_size", MAX.vocab),
    hiddenSize: fields.size("hidden_size", MAX.width),
    intermediateSize: fields.size("intermediate_size", MAX.width),
    numExperts: fields.size("num_experts", MAX.experts),
    expertsPerToken: fields.size("experts_per_token", MAX.experts),
    numAttentionHeads: fields.size("num_attention_heads", MAX.heads),
    numKeyValueHeads: fields.size("num_key_value_heads", MAX.heads),
    headDim: fields.size("head_dim", MAX.width),
    slidingWindow: fields.size("sliding_window", MAX.context),
    layerTypes: alternating(numLayers),
    rmsNormEps: 1e-5,
    swigluLimit: fields.number("swiglu_limit"),
    swigluAlpha: 1.702,
    rope: {
      theta: fields.number("rope_theta"),
      factor,
      betaFast: fields.number("rope_ntk_beta"),
      betaSlow: fields.number("rope_ntk_alpha"),
      originalContextLength,
      truncate: false,
    },
    maxContextLength: Math.round(originalContextLength * factor),
  };
  fields.refuseUnread();
  return validated(config, where);
}

/** Metadata of a GGUF file as llama.cpp's converter writes it for the architecture "gpt-oss". */
export function configFromGguf(metadata: ReadonlyMap<string, GgufValue>, where: string): ModelConfig {
  const fields = Fields.fromGguf(metadata, where);
  fields.expect("general.architecture", "gpt-oss");
  const key = (name: string): string => `gpt-oss.${name}`;
  const numLayers = fields.size(key("block_count"), MAX.layers);
  const headDim = fields.size(key("attention.key_length"), MAX.width);
  fields.expect(key("attention.value_length"), headDim);
  fields.expect(key("rope.dimension_count"), headDim);
  fields.expect(key("attention.sliding_window_pattern"), 2);
  fields.expect(key("rope.scaling.attn_factor"), 1);
  fields.expect(key("rope.scaling.yarn_attn_factor"), 1);
  fields.expect(key("rope.scaling.yarn_ext_factor"), 1);
  const maxContextLength = fields.size(key("context_length"), MAX.context);
  const scaling = fields.choice(key("rope.scaling.type"), ["yarn", "none"], "none");
  const theta = fields.number(key("rope.freq_base"));
  return validated(
    {
      numLayers,
      vocabSize: fields.agreeing([key("vocab_size"), "tokenizer.ggml.tokens"], (name) =>
        name === "tokenizer.ggml.tokens" ? fields.count(name, MAX.vocab) : fields.size(name, MAX.vocab),
      ),
      hiddenSize: fields.size(key("embedding_length"), MAX.width),
      intermediateSize: fields.agreeing(
        [key("expert_feed_forward_length"), key("feed_forward_length")],
        (name) => fields.size(name, MAX.width),
      ),
      numExperts: fields.size(key("expert_count"), MAX.experts),
      expertsPerToken: fields.size(key("expert_used_count"), MAX.experts),
      numAttentionHeads: fields.size(key("attention.head_count"), MAX.heads),
      numKeyValueHeads: fields.size(key("attention.head_count_kv"), MAX.heads),
      headDim,
      slidingWindow: fields.size(key("attention.sliding_window"), MAX.context),
      layerTypes: alternating(numLayers),
      rmsNormEps: fields.number(key("attention.layer_norm_rms_epsilon")),
      swigluLimit: 7, // no keys for these two: llama.cpp has them in its code
      swigluAlpha: 1.702,
      rope:
        scaling === "none"
          ? plainRope(theta, maxContextLength)
          : {
              theta,
              factor: fields.number(key("rope.scaling.factor")),
              betaFast: fields.number(key("rope.scaling.yarn_beta_fast"), 32),
              betaSlow: fields.number(key("rope.scaling.yarn_beta_slow"), 1),
              originalContextLength: fields.size(
                key("rope.scaling.original_context_length"),
                MAX.context,
                maxContextLength,
              ),
              // llama.cpp rounds the ramp's bounds whatever the model; gpt-oss was trained without
              truncate: false,
            },
      maxContextLength,
    },
    where,
  );
}

/** Settings that Python may write as null when they are left to their defaults. */
const NULLABLE: readonly string[] = [
  ...["layer_types", "quantization_config", "rope_scaling", "rope_parameters", "rope_theta"],
  ...["sliding_attention", "full_attention"],
  ...["beta_fast", "beta_slow", "attention_factor", "mscale", "mscale_all_dim"],
];

const LAYER_TYPES = ["sliding_attention", "full_attention"] as const;

/** More than any model has; a file that says more is damaged, and must not make us allocate by it. */
const MAX = {
  layers: 1024,
  heads: 4096,
  experts: 4096,
  width: 2 ** 20,
  vocab: 2 ** 24,
  context: 2 ** 31,
} as const;

function alternating(numLayers: number): LayerType[] {
  return Array.from({ length: numLayers }, (_, i) => (i % 2 === 0 ? "sliding" : "full"));
}

function plainRope(theta: number, contextLength: number): RopeConfig {
  return {
    theta,
    factor: 1,
    betaFast: 32,
    betaSlow: 1,
    originalContextLength: contextLength,
    truncate: false,
  };
}

function layerTypesFromHuggingFace(fields: Fields, numLayers: number): LayerType[] {
  const list = fields.list("layer_types");
  if (list === undefined) return alternating(numLayers);
  if (list.length !== numLayers) {
    const what = "layer_types has another length than num_hidden_layers";
    fields.fail("layer_types", what, numLayers, list.length);
  }
  return list.map((type, i) => {
    if (type === "sliding_attention") return "sliding";
    if (type === "full_attention") return "full";
    return fields.fail(`layer_types[${i}]`, "unknown layer type", LAYER_TYPES.join(" or "), type);
  });
}

/** What a config.json says of RoPE outside of the record for it. */
interface RopeDefaults {
  readonly theta: number | undefined;
  readonly originalContextLength: number | undefined;
  readonly maxContextLength: number;
}

/**
 * OpenAI's files have `rope_scaling` beside `rope_theta`; transformers 5 writes `rope_parameters` with the theta
 * inside, for some models one a layer type.
 */
function ropeFromHuggingFace(fields: Fields, maxContextLength: number): RopeConfig {
  const defaults: RopeDefaults = {
    theta: fields.has("rope_theta") ? fields.number("rope_theta") : undefined,
    originalContextLength: fields.has("initial_context_length")
      ? fields.size("initial_context_length", MAX.context)
      : undefined,
    maxContextLength,
  };
  const found = ["rope_scaling", "rope_parameters"].flatMap((name) => {
    const rope = fields.child(name, NULLABLE);
    if (rope === undefined) return [];
    const nested = LAYER_TYPES.flatMap((type) => rope.child(type, NULLABLE) ?? []);
    return (nested.length > 0 ? nested : [rope]).map((each) => ropeFromRecord(each, defaults));
  });
  const [first, ...others] = found;
  if (first === undefined) {
    // what GptOssConfig takes when the file says nothing
    const yarn = { factor: 32, betaFast: 32, betaSlow: 1, originalContextLength: 4096, truncate: false };
    return { theta: defaults.theta ?? 150000, ...yarn };
  }
  const [a, ...rest] = [first, ...others].map((rope) => JSON.stringify(rope));
  const b = rest.find((each) => each !== a);
  if (b !== undefined) fields.fail("rope_parameters", "the RoPE settings contradict each other", a, b);
  return first;
}

function ropeFromRecord(fields: Fields, defaults: RopeDefaults): RopeConfig {
  const typeKey = fields.has("rope_type") ? "rope_type" : "type";
  const type = fields.choice(typeKey, ["yarn", "default"], "default");
  if (defaults.theta !== undefined) fields.expect("rope_theta", defaults.theta);
  const theta = fields.number("rope_theta", defaults.theta ?? 150000);
  fields.expect("partial_rotary_factor", 1);
  const { originalContextLength, maxContextLength } = defaults;
  if (type === "default") return plainRope(theta, originalContextLength ?? maxContextLength);
  const contextKey = "original_max_position_embeddings";
  if (originalContextLength !== undefined) fields.expect(contextKey, originalContextLength);
  const factor = fields.number("factor");
  const implied = 0.1 * log(Math.max(factor, 1)) + 1;
  const attentionFactor = fields.number("attention_factor", implied);
  if (Math.abs(attentionFactor - implied) > 1e-6) {
    fields.fail(
      "attention_factor",
      "unsupported: not the factor that YaRN implies",
      implied,
      attentionFactor,
    );
  }
  for (const name of ["mscale", "mscale_all_dim"]) {
    if (fields.has(name)) fields.fail(name, "mscale is not supported with gpt-oss");
  }
  return {
    theta,
    factor,
    betaFast: fields.number("beta_fast", 32),
    betaSlow: fields.number("beta_slow", 1),
    originalContextLength: fields.size(contextKey, MAX.context, originalContextLength ?? maxContextLength),
    truncate: fields.boolean("truncate", true),
  };
}

/** Refuses what no gpt-oss model can be, whichever file says it. */
function validated(config: ModelConfig, where: string): ModelConfig {
  const { numAttentionHeads, numKeyValueHeads, headDim, expertsPerToken, numExperts, rope } = config;
  const refuse = (what: string, expected: string | number, found: string | number): never => {
    throw new ConfigError(what, { where, expected, found });
  };
  if (numAttentionHeads % numKeyValueHeads !== 0) {
    refuse(
      "attention heads can't be shared out among the key-value heads",
      `a multiple of ${numKeyValueHeads}`,
      numAttentionHeads,
    );
  }
  if (headDim % 2 !== 0) refuse("RoPE needs an even head dimension", "an even number", headDim);
  if (expertsPerToken > numExperts) {
    refuse("more experts per token than there are", `at most ${numExperts}`, expertsPerToken);
  }
  const positive = {
    rmsNormEps: config.rmsNormEps,
    swigluLimit: config.swigluLimit,
    swigluAlpha: config.swigluAlpha,
  };
  for (const [name, value] of Object.entries(positive)) {
    if (!(value > 0 && value < 1e6)) refuse(`${name} is out of range`, "a positive number", value);
  }
  if (!(rope.theta > 1 && rope.theta < 1e12))
    refuse("RoPE's theta is out of range", "a number above 1", rope.theta);
  if (!(rope.factor >= 1 && rope.factor <= 1e6)) {
    refuse("RoPE's scaling factor is out of range", "a number of 1 or more", rope.factor);
  }
  if (rope.factor > 1 && !(rope.betaFast > rope.betaSlow && rope.betaSlow > 0)) {
    refuse(
      "YaRN's betas are out of order",
      "beta_fast > beta_slow > 0",
      `${rope.betaFast} and ${rope.betaSlow}`,
    );
  }
  if (config.maxContextLength > MAX.context) {
    refuse("the context length is out of range", `at most ${MAX.context}`, config.maxContextLength);
  }
  return config;
}
