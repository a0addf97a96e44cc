import type { ModelConfig } from "../../config.ts";

/** `config.json` of Hugging Face's layout, with the keys of the published ones. */
export function huggingFaceConfig(config: ModelConfig): Record<string, unknown> {
  const { rope } = config;
  return {
    architectures: ["GptOssForCausalLM"],
    attention_bias: true,
    attention_dropout: 0,
    ...(config.vocabSize > 200002 && { eos_token_id: 200002 }),
    experts_per_token: config.expertsPerToken,
    head_dim: config.headDim,
    hidden_act: "silu",
    hidden_size: config.hiddenSize,
    initial_context_length: rope.originalContextLength,
    initializer_range: 0.02,
    intermediate_size: config.intermediateSize,
    layer_types: config.layerTypes.map((type) => `${type}_attention`),
    max_position_embeddings: config.maxContextLength,
    model_type: "gpt_oss",
    num_attention_heads: config.numAttentionHeads,
    num_experts_per_tok: config.expertsPerToken,
    num_hidden_layers: config.numLayers,
    num_key_value_heads: config.numKeyValueHeads,
    num_local_experts: config.numExperts,
    output_router_logits: false,
    ...(config.vocabSize > 199999 && { pad_token_id: 199999 }),
    quantization_config: {
      modules_to_not_convert: [
        "model.layers.*.self_attn",
        "model.layers.*.mlp.router",
        "model.embed_tokens",
        "lm_head",
      ],
      quant_method: "mxfp4",
    },
    rms_norm_eps: config.rmsNormEps,
    rope_scaling: {
      beta_fast: rope.betaFast,
      beta_slow: rope.betaSlow,
      factor: rope.factor,
      original_max_position_embeddings: rope.originalContextLength,
      rope_type: "yarn",
      truncate: rope.truncate,
    },
    rope_theta: rope.theta,
    router_aux_loss_coef: 0.9,
    sliding_window: config.slidingWindow,
    swiglu_limit: config.swigluLimit,
    tie_word_embeddings: false,
    transformers_version: "4.55.0.dev0",
    use_cache: true,
    vocab_size: config.vocabSize,
  };
}

/** Settings that Python code takes for floats only, which JSON.stringify writes as integers. */
const FLOATS =
  /("(?:attention_dropout|beta_fast|beta_slow|factor|swiglu_limit|rope_theta|rope_scaling_factor|rope_ntk_alpha|rope_ntk_beta)": \d+)(?=[,\n])/g;

/** The text of a settings file. */
export function settingsJson(settings: Record<string, unknown>): string {
  return `${JSON.stringify(settings, undefined, 2)}\n`.replace(FLOATS, "$1.0");
}

/** `original/config.json`. */
export function originalConfig(config: ModelConfig): Record<string, unknown> {
  const { rope } = config;
  return {
    num_hidden_layers: config.numLayers,
    num_experts: config.numExperts,
    experts_per_token: config.expertsPerToken,
    vocab_size: config.vocabSize,
    hidden_size: config.hiddenSize,
    intermediate_size: config.intermediateSize,
    swiglu_limit: config.swigluLimit,
    head_dim: config.headDim,
    num_attention_heads: config.numAttentionHeads,
    num_key_value_heads: config.numKeyValueHeads,
    sliding_window: config.slidingWindow,
    initial_context_length: rope.originalContextLength,
    rope_theta: rope.theta,
    rope_scaling_factor: rope.factor,
    rope_ntk_alpha: rope.betaSlow,
    rope_ntk_beta: rope.betaFast,
  };
}
