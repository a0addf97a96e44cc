import { describe, expect, it } from "vitest";
import type { GgufValue } from "../src/checkpoint/gguf.ts";
import {
  configFromGguf,
  configFromHuggingFace,
  configFromOriginal,
  type ModelConfig,
} from "../src/config.ts";
import { ConfigError } from "../src/errors.ts";

/** config.json of openai/gpt-oss-20b and -120b. */
function huggingFace(layers: number, experts: number): Record<string, unknown> {
  return {
    architectures: ["GptOssForCausalLM"],
    attention_bias: true,
    attention_dropout: 0.0,
    eos_token_id: 200002,
    experts_per_token: 4,
    head_dim: 64,
    hidden_act: "silu",
    hidden_size: 2880,
    initial_context_length: 4096,
    initializer_range: 0.02,
    intermediate_size: 2880,
    layer_types: Array.from({ length: layers }, (_, i) => (i % 2 ? "full_attention" : "sliding_attention")),
    max_position_embeddings: 131072,
    model_type: "gpt_oss",
    num_attention_heads: 64,
    num_experts_per_tok: 4,
    num_hidden_layers: layers,
    num_key_value_heads: 8,
    num_local_experts: experts,
    output_router_logits: false,
    pad_token_id: 199999,
    quantization_config: {
      modules_to_not_convert: [
        "model.layers.*.self_attn",
        "model.layers.*.mlp.router",
        "model.embed_tokens",
        "lm_head",
      ],
      quant_method: "mxfp4",
    },
    rms_norm_eps: 1e-5,
    rope_scaling: {
      beta_fast: 32.0,
      beta_slow: 1.0,
      factor: 32.0,
      original_max_position_embeddings: 4096,
      rope_type: "yarn",
      truncate: false,
    },
    rope_theta: 150000,
    router_aux_loss_coef: 0.9,
    sliding_window: 128,
    swiglu_limit: 7.0,
    tie_word_embeddings: false,
    transformers_version: "4.55.0.dev0",
    use_cache: true,
    vocab_size: 201088,
  };
}

/** original/config.json of the same. */
function original(layers: number, experts: number): Record<string, unknown> {
  return {
    num_hidden_layers: layers,
    num_experts: experts,
    experts_per_token: 4,
    vocab_size: 201088,
    hidden_size: 2880,
    intermediate_size: 2880,
    swiglu_limit: 7.0,
    head_dim: 64,
    num_attention_heads: 64,
    num_key_value_heads: 8,
    sliding_window: 128,
    initial_context_length: 4096,
    rope_theta: 150000.0,
    rope_scaling_factor: 32.0,
    rope_ntk_alpha: 1.0,
    rope_ntk_beta: 32.0,
  };
}

/** Metadata of the GGUF files that llama.cpp's converter makes of the same. */
function gguf(layers: number, experts: number): Map<string, GgufValue> {
  const u32 = (value: number): GgufValue => ({ type: "u32", value });
  const f32 = (value: number): GgufValue => ({ type: "f32", value: Math.fround(value) });
  return new Map<string, GgufValue>([
    ["general.architecture", { type: "string", value: "gpt-oss" }],
    ["gpt-oss.block_count", u32(layers)],
    ["gpt-oss.context_length", u32(131072)],
    ["gpt-oss.embedding_length", u32(2880)],
    ["gpt-oss.feed_forward_length", u32(2880)],
    ["gpt-oss.expert_feed_forward_length", u32(2880)],
    ["gpt-oss.attention.head_count", u32(64)],
    ["gpt-oss.attention.head_count_kv", u32(8)],
    ["gpt-oss.attention.key_length", u32(64)],
    ["gpt-oss.attention.value_length", u32(64)],
    ["gpt-oss.attention.layer_norm_rms_epsilon", f32(1e-5)],
    ["gpt-oss.attention.sliding_window", u32(128)],
    ["gpt-oss.expert_count", u32(experts)],
    ["gpt-oss.expert_used_count", u32(4)],
    ["gpt-oss.rope.freq_base", f32(150000)],
    ["gpt-oss.rope.scaling.type", { type: "string", value: "yarn" }],
    ["gpt-oss.rope.scaling.factor", f32(32)],
    ["gpt-oss.rope.scaling.original_context_length", u32(4096)],
    ["tokenizer.ggml.tokens", { type: "array", elementType: "string", count: 201088, offset: 0, bytes: 0 }],
  ]);
}

function expected(layers: number, experts: number): ModelConfig {
  return {
    numLayers: layers,
    vocabSize: 201088,
    hiddenSize: 2880,
    intermediateSize: 2880,
    numExperts: experts,
    expertsPerToken: 4,
    numAttentionHeads: 64,
    numKeyValueHeads: 8,
    headDim: 64,
    slidingWindow: 128,
    layerTypes: Array.from({ length: layers }, (_, i) => (i % 2 === 0 ? "sliding" : "full")),
    rmsNormEps: 1e-5,
    swigluLimit: 7,
    swigluAlpha: 1.702,
    rope: {
      theta: 150000,
      factor: 32,
      betaFast: 32,
      betaSlow: 1,
      originalContextLength: 4096,
      truncate: false,
    },
    maxContextLength: 131072,
  };
}

describe.each([
  ["gpt-oss-20b", 24, 32],
  ["gpt-oss-120b", 36, 128],
])("the published %s", (_, layers, experts) => {
  it("from Hugging Face's config.json", () => {
    expect(configFromHuggingFace(huggingFace(layers, experts), "config.json")).toEqual(
      expected(layers, experts),
    );
  });
  it("from original/config.json", () => {
    expect(configFromOriginal(original(layers, experts), "config.json")).toEqual(expected(layers, experts));
  });
  it("from GGUF metadata, to the last bit", () => {
    expect(configFromGguf(gguf(layers, experts), "model.gguf")).toEqual(expected(layers, experts));
  });
});

const without = (json: Record<string, unknown>, ...keys: string[]): Record<string, unknown> =>
  Object.fromEntries(Object.entries(json).filter(([key]) => !keys.includes(key)));

describe("Hugging Face's config.json", () => {
  const read = (change: Record<string, unknown>, ...drop: string[]): ModelConfig =>
    configFromHuggingFace({ ...without(huggingFace(24, 32), ...drop), ...change }, "config.json");
  const yarn = huggingFace(24, 32)["rope_scaling"] as Record<string, unknown>;

  it("may have rope_parameters, as transformers 5 writes them", () => {
    const rope = { ...yarn, rope_theta: 150000.0 };
    expect(read({ rope_parameters: rope }, "rope_scaling", "rope_theta")).toEqual(expected(24, 32));
  });
  it("may have rope_parameters by layer type, if they are the same", () => {
    const rope = { ...yarn, rope_theta: 150000.0 };
    const both = { full_attention: rope, sliding_attention: rope };
    expect(read({ rope_parameters: both }, "rope_scaling", "rope_theta")).toEqual(expected(24, 32));
    const contradiction = { full_attention: rope, sliding_attention: { ...rope, factor: 8 } };
    expect(() => read({ rope_parameters: contradiction }, "rope_scaling")).toThrow(/contradict/);
  });
  it("may have both, if they agree", () => {
    expect(read({ rope_parameters: { ...yarn, rope_theta: 150000 } })).toEqual(expected(24, 32));
    expect(() => read({ rope_parameters: { ...yarn, beta_fast: 16 } })).toThrow(/contradict/);
  });
  it("has transformers' defaults", () => {
    expect(configFromHuggingFace({ model_type: "gpt_oss" }, "config.json")).toEqual(expected(36, 128));
    expect(read({ layer_types: null, rope_scaling: null, quantization_config: null })).toEqual(
      expected(24, 32),
    );
    expect(read({}, "num_experts_per_tok").expertsPerToken).toBe(4);
    expect(read({}, "experts_per_token").expertsPerToken).toBe(4);
  });
  it("means a truncated ramp if it doesn't say", () => {
    expect(read({ rope_scaling: without(yarn, "truncate") }).rope.truncate).toBe(true);
  });
  it("may have a ramp beyond the dimensions, as transformers does", () => {
    expect(read({ rope_scaling: { ...yarn, beta_fast: 5000 } }).rope.betaFast).toBe(5000);
  });
  it("may have plain RoPE", () => {
    const plain = { ...expected(24, 32).rope, factor: 1 };
    expect(read({ rope_scaling: { rope_type: "default" } }).rope).toEqual(plain);
    expect(read({ rope_scaling: {} }).rope).toEqual(plain);
    expect(read({ rope_scaling: { ...yarn, factor: 1 } }).rope).toEqual(plain);
  });
  it("may give the values that newer classes know", () => {
    const config = read({ swiglu_alpha: 2, swiglu_limit: 5, rms_norm_eps: 1e-6 });
    expect([config.swigluAlpha, config.swigluLimit, config.rmsNormEps]).toEqual([2, 5, 1e-6]);
  });
  it("may give YaRN's own attention factor, no other", () => {
    expect(read({ rope_scaling: { ...yarn, attention_factor: 1.3465735902799727 } })).toEqual(
      expected(24, 32),
    );
    expect(() => read({ rope_scaling: { ...yarn, attention_factor: 1 } })).toThrow(
      /factor that YaRN implies/,
    );
  });

  it.each<[string, Record<string, unknown>, RegExp]>([
    ["another model", { model_type: "llama" }, /unsupported model_type.*"gpt_oss".*llama/],
    ["another activation", { hidden_act: "gelu" }, /unsupported hidden_act/],
    ["no attention bias", { attention_bias: false }, /unsupported attention_bias/],
    ["another quantisation", { quantization_config: { quant_method: "gptq" } }, /unsupported quant_method/],
    [
      "two counts of experts per token",
      { experts_per_token: 2 },
      /contradict each other.*expected 4, found 2/,
    ],
    [
      "more experts per token than experts",
      { num_local_experts: 3 },
      /more experts per token.*at most 3, found 4/,
    ],
    ["heads that can't be shared out", { num_key_value_heads: 7 }, /multiple of 7, found 64/],
    ["an odd head dimension", { head_dim: 63 }, /even/],
    ["too few layer types", { layer_types: ["sliding_attention"] }, /expected 24, found 1/],
    [
      "an unknown layer type",
      { num_hidden_layers: 1, layer_types: ["chunked_attention"] },
      /layer_types\[0\].*chunked/,
    ],
    ["layer types that are no list", { layer_types: "sliding" }, /not a list/],
    ["a size of 0", { hidden_size: 0 }, /from 1 to/],
    ["a negative size", { vocab_size: -1 }, /from 1 to/],
    ["half a layer", { num_hidden_layers: 23.5 }, /from 1 to/],
    ["a size as a string", { head_dim: "64" }, /from 1 to/],
    ["a window of 0", { sliding_window: 0 }, /from 1 to/],
    ["no window", { sliding_window: null }, /sliding_window.*from 1 to.*found null/],
    ["a million layers", { num_hidden_layers: 1e6 }, /from 1 to 1024/],
    ["a negative epsilon", { rms_norm_eps: -1e-5 }, /rmsNormEps is out of range/],
    ["an epsilon that is not a number", { rms_norm_eps: Number.NaN }, /rms_norm_eps is not a number/],
    ["a limit of 0", { swiglu_limit: 0 }, /swigluLimit is out of range/],
    [
      "an unknown RoPE",
      { rope_scaling: { ...yarn, rope_type: "llama3" } },
      /unknown rope_type.*"yarn" or "default".*llama3/,
    ],
    ["RoPE as a string", { rope_scaling: "yarn" }, /not a record.*rope_scaling/],
    ["YaRN without a factor", { rope_scaling: without(yarn, "factor") }, /rope_scaling.factor is missing/],
    ["a factor below 1", { rope_scaling: { ...yarn, factor: 0.5 } }, /1 or more, found 0.5/],
    [
      "betas that are swapped",
      { rope_scaling: { ...yarn, beta_fast: 1, beta_slow: 32 } },
      /beta_fast > beta_slow > 0, found 1 and 32/,
    ],
    ["two original context lengths", { initial_context_length: 2048 }, /original_max_position_embeddings/],
    ["two thetas", { rope_scaling: { ...yarn, rope_theta: 10000 } }, /rope_theta/],
    ["a theta of 1", { rope_theta: 1 }, /theta is out of range/],
    ["mscale", { rope_scaling: { ...yarn, mscale: 1 } }, /mscale/],
    [
      "a part of the head rotated",
      { rope_scaling: { ...yarn, partial_rotary_factor: 0.5 } },
      /partial_rotary_factor/,
    ],
  ])("is refused with %s", (_, change, message) => {
    expect(() => read(change)).toThrow(ConfigError);
    expect(() => read(change)).toThrow(message);
    expect(() => read(change)).toThrow(/^[^\n]*config\.json[^\n]*$/);
  });
  it.each([null, 1, "text", [], undefined])("is refused as %j", (json) => {
    expect(() => configFromHuggingFace(json, "config.json")).toThrow(/config\.json.*expected an object/);
  });
  it("is not fooled by keys of Object.prototype", () => {
    const json = JSON.parse(
      '{"__proto__": {"num_hidden_layers": 2}, "constructor": 1, "num_hidden_layers": 24}',
    );
    expect(configFromHuggingFace(json, "config.json").numLayers).toBe(24);
  });
});

describe("original/config.json", () => {
  it("is refused with unknown keys, as by the reference", () => {
    const json = { ...original(24, 32), num_expertz: 32, foo: 1 };
    expect(() => configFromOriginal(json, "config.json")).toThrow(/unknown keys.*num_expertz, foo/);
  });
  it.each(Object.keys(original(24, 32)))(
    "is refused without %s, for which the reference would take 120b's",
    (key) => {
      expect(() => configFromOriginal(without(original(24, 32), key), "config.json")).toThrow(
        `${key} is missing`,
      );
    },
  );
});

describe("GGUF metadata", () => {
  const read = (key: string, value: GgufValue | undefined): ModelConfig => {
    const metadata = gguf(24, 32);
    if (value === undefined) metadata.delete(key);
    else metadata.set(key, value);
    return configFromGguf(metadata, "model.gguf");
  };
  const text = (value: string): GgufValue => ({ type: "string", value });
  const u32 = (value: number): GgufValue => ({ type: "u32", value });
  const tokens = "tokenizer.ggml.tokens";

  it("may lack a scaling type, which means plain RoPE", () => {
    expect(read("gpt-oss.rope.scaling.type", undefined).rope.factor).toBe(1);
  });
  it("may have other widths of integers", () => {
    expect(read("gpt-oss.block_count", { type: "u64", value: 24 })).toEqual(expected(24, 32));
  });
  it("may have the vocabulary's size as a key", () => {
    expect(read("gpt-oss.vocab_size", u32(201088)).vocabSize).toBe(201088);
    expect(() => read("gpt-oss.vocab_size", u32(200000))).toThrow(/contradict/);
  });
  it.each<[string, string, GgufValue | undefined, RegExp]>([
    ["another architecture", "general.architecture", text("llama"), /expected "gpt-oss"/],
    ["a missing key", "gpt-oss.block_count", undefined, /block_count is missing/],
    ["a string for a number", "gpt-oss.block_count", text("24"), /integer/],
    ["a float for a size", "gpt-oss.block_count", { type: "f32", value: 24 }, /integer/],
    ["a boolean for a size", "gpt-oss.block_count", { type: "bool", value: true }, /integer/],
    [
      "an array for a size",
      "gpt-oss.block_count",
      { type: "array", elementType: "u32", count: 1, offset: 0, bytes: 4 },
      /integer/,
    ],
    ["a huge size", "gpt-oss.block_count", { type: "u64", value: 2n ** 63n }, /integer/],
    ["a string for a float", "gpt-oss.rope.freq_base", text("150000"), /not a number/],
    ["NaN", "gpt-oss.attention.layer_norm_rms_epsilon", { type: "f32", value: Number.NaN }, /not a number/],
    ["another value length", "gpt-oss.attention.value_length", u32(128), /value_length/],
    ["two widths", "gpt-oss.feed_forward_length", u32(1440), /contradict/],
    ["more experts used than there are", "gpt-oss.expert_used_count", u32(33), /more experts/],
    ["another scaling", "gpt-oss.rope.scaling.type", text("linear"), /unknown .*linear/],
    [
      "another attention factor",
      "gpt-oss.rope.scaling.attn_factor",
      { type: "f32", value: 2 },
      /attn_factor/,
    ],
    ["a string of tokens", tokens, text("a b"), /not an array/],
    ["no tokens", tokens, { type: "array", elementType: "string", count: 0, offset: 0, bytes: 0 }, /length/],
  ])("is refused with %s", (_, key, value, message) => {
    expect(() => read(key, value)).toThrow(ConfigError);
    expect(() => read(key, value)).toThrow(message);
  });
});
