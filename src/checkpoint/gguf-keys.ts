import type { ModelConfig } from "../config.ts";
import type { GgufPair } from "./gguf-encode.ts";

/** A vocabulary in the form that GGUF files have it. */
export interface GgufTokenizer {
  readonly tokens: readonly string[];
  /** 1 ordinary, 3 control, 4 user-defined, 5 unused. */
  readonly types: ArrayLike<number>;
  readonly merges: readonly string[];
}

// `llama_token_type` in ggml-org/llama.cpp, include/llama.h.
const NORMAL = 1;
const CONTROL = 3;
const UNUSED = 5;

/** Tokens that stand for nothing, so that the vocabulary has its size. */
export function fillerTokenizer(vocabSize: number): GgufTokenizer {
  return {
    tokens: Array.from({ length: vocabSize }, (_, id) => `[PAD${id}]`),
    types: new Array<number>(vocabSize).fill(UNUSED),
    merges: [],
  };
}

/** What a tokenizer.json must hold for {@link tokenizerFromJson}. */
export interface TokenizerJson {
  readonly model: {
    readonly vocab: Readonly<Record<string, number>>;
    readonly merges: readonly (string | string[])[];
  };
  readonly added_tokens: readonly { readonly id: number; readonly content: string }[];
}

/** The tokens of a tokenizer.json, with fillers up to the size of the vocabulary. */
export function tokenizerFromJson({ model, added_tokens }: TokenizerJson, vocabSize: number): GgufTokenizer {
  const { tokens, types } = fillerTokenizer(vocabSize);
  const [names, kinds] = [[...tokens], Array.from(types)];
  for (const [token, id] of Object.entries(model.vocab)) [names[id], kinds[id]] = [token, NORMAL];
  for (const { id, content } of added_tokens) [names[id], kinds[id]] = [content, CONTROL];
  const merges = model.merges.map((pair) => (typeof pair === "string" ? pair : pair.join(" ")));
  return { tokens: names, types: kinds, merges };
}

/** Keys whose value is the id of a special token, with its name. */
const SPECIAL_IDS = [
  ["tokenizer.ggml.bos_token_id", "<|startoftext|>"],
  ["tokenizer.ggml.eos_token_id", "<|return|>"],
  ["tokenizer.ggml.padding_token_id", "<|endoftext|>"],
] as const;

/** The metadata that llama.cpp's converter writes for the architecture "gpt-oss" (`conversion/gpt_oss.py`). */
export function ggufMetadata(
  config: ModelConfig,
  tokenizer: GgufTokenizer,
  name: string,
  chatTemplate?: string,
): GgufPair[] {
  const { rope } = config;
  const scaling: GgufPair[] = [
    ["gpt-oss.rope.scaling.type", "string", "yarn"],
    ["gpt-oss.rope.scaling.factor", "f32", rope.factor],
    ["gpt-oss.rope.scaling.original_context_length", "u32", rope.originalContextLength],
    ["gpt-oss.rope.scaling.yarn_beta_fast", "f32", rope.betaFast],
    ["gpt-oss.rope.scaling.yarn_beta_slow", "f32", rope.betaSlow],
  ];
  return [
    ["general.architecture", "string", "gpt-oss"],
    ["general.type", "string", "model"],
    ["general.name", "string", name],
    ["gpt-oss.block_count", "u32", config.numLayers],
    ["gpt-oss.context_length", "u32", config.maxContextLength],
    ["gpt-oss.embedding_length", "u32", config.hiddenSize],
    ["gpt-oss.feed_forward_length", "u32", config.intermediateSize],
    ["gpt-oss.attention.head_count", "u32", config.numAttentionHeads],
    ["gpt-oss.attention.head_count_kv", "u32", config.numKeyValueHeads],
    ["gpt-oss.rope.freq_base", "f32", rope.theta],
    ["gpt-oss.attention.layer_norm_rms_epsilon", "f32", config.rmsNormEps],
    ["gpt-oss.expert_count", "u32", config.numExperts],
    ["gpt-oss.expert_used_count", "u32", config.expertsPerToken],
    ["gpt-oss.attention.key_length", "u32", config.headDim],
    ["gpt-oss.attention.value_length", "u32", config.headDim],
    ["gpt-oss.attention.sliding_window", "u32", config.slidingWindow],
    ["gpt-oss.expert_feed_forward_length", "u32", config.intermediateSize],
    ...(rope.factor === 1 ? [] : scaling),
    ["general.quantization_version", "u32", 2],
    ["general.file_type", "u32", 38],
    ["tokenizer.ggml.model", "string", "gpt2"],
    ["tokenizer.ggml.pre", "string", "gpt-4o"],
    ["tokenizer.ggml.tokens", "strings", tokenizer.tokens],
    ["tokenizer.ggml.token_type", "i32s", tokenizer.types],
    ["tokenizer.ggml.merges", "strings", tokenizer.merges],
    ...SPECIAL_IDS.map(([key, token]) => [key, "u32", tokenizer.tokens.indexOf(token)] as const).filter(
      ([, , id]) => id >= 0,
    ),
    ["tokenizer.ggml.add_bos_token", "bool", false],
    ["tokenizer.ggml.add_eos_token", "bool", false],
    ...(chatTemplate === undefined ? [] : [["tokenizer.chat_template", "string", chatTemplate] as const]),
  ];
}
