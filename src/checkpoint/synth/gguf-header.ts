import type { ModelConfig } from "../../config.ts";
import type { SynthTensor } from "./model.ts";

/** A vocabulary in the form that GGUF files have it. */
export interface GgufTokenizer {
  readonly tokens: readonly string[];
  /** 1 ordinary, 3 control, 5 unused. */
  readonly types: readonly number[];
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
  const [names, kinds] = [[...tokens], [...types]];
  for (const [token, id] of Object.entries(model.vocab)) [names[id], kinds[id]] = [token, NORMAL];
  for (const { id, content } of added_tokens) [names[id], kinds[id]] = [content, CONTROL];
  const merges = model.merges.map((pair) => (typeof pair === "string" ? pair : pair.join(" ")));
  return { tokens: names, types: kinds, merges };
}

const ALIGNMENT = 32;

/** Everything ahead of the tensors' bytes; they follow in the order of the list, each padded to 32 bytes. */
export function encodeGgufHeader(
  config: ModelConfig,
  tensors: readonly SynthTensor[],
  tokenizer: GgufTokenizer,
  name: string,
): Uint8Array {
  const out = new GgufEncoder();
  out.u32(0x46554747).u32(3).u64(tensors.length);
  const pairs = metadata(config, tokenizer, name);
  out.u64(pairs.length);
  for (const [key, ...value] of pairs) out.pair(key, value);
  let offset = 0;
  for (const tensor of tensors) {
    out.string(tensor.name).u32(tensor.shape.length);
    for (const size of tensor.shape.toReversed()) out.u64(size);
    out.u32(TYPE_NUMBERS[tensor.dtype]!).u64(offset);
    offset += padded(tensor.rows * tensor.rowBytes);
  }
  return out.finish(ALIGNMENT);
}

export function padded(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

const TYPE_NUMBERS: Readonly<Record<string, number>> = { F32: 0, F16: 1, Q8_0: 8, BF16: 30, MXFP4: 39 };

type Pair = readonly [key: string, ...value: PairValue];
type PairValue =
  | readonly ["u32" | "f32", number]
  | readonly ["string", string]
  | readonly ["strings", readonly string[]]
  | readonly ["i32s", readonly number[]];

/** Keys whose value is the id of a special token, with its name. */
const SPECIAL_IDS = [
  ["tokenizer.ggml.bos_token_id", "<|startoftext|>"],
  ["tokenizer.ggml.eos_token_id", "<|return|>"],
  ["tokenizer.ggml.padding_token_id", "<|endoftext|>"],
] as const;

/** The keys of published files. */
function metadata(config: ModelConfig, tokenizer: GgufTokenizer, name: string): Pair[] {
  const { rope } = config;
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
    ["gpt-oss.rope.scaling.type", "string", "yarn"],
    ["gpt-oss.rope.scaling.factor", "f32", rope.factor],
    ["gpt-oss.rope.scaling.original_context_length", "u32", rope.originalContextLength],
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
  ];
}

/** Appends little-endian values to a buffer that grows. */
class GgufEncoder {
  #bytes: Uint8Array = new Uint8Array(1 << 16);
  #view: DataView = new DataView(this.#bytes.buffer);
  #at = 0;

  u32(value: number): this {
    const at = this.#grow(4); // may replace the view
    this.#view.setUint32(at, value, true);
    return this;
  }

  u64(value: number): this {
    const at = this.#grow(8);
    this.#view.setBigUint64(at, BigInt(value), true);
    return this;
  }

  f32(value: number): this {
    const at = this.#grow(4);
    this.#view.setFloat32(at, value, true);
    return this;
  }

  string(text: string): this {
    const bytes = UTF8.encode(text);
    this.u64(bytes.length);
    const at = this.#grow(bytes.length);
    this.#bytes.set(bytes, at);
    return this;
  }

  pair(key: string, [type, value]: PairValue): void {
    this.string(key);
    switch (type) {
      case "u32":
        this.u32(4).u32(value);
        break;
      case "f32":
        this.u32(6).f32(value);
        break;
      case "string":
        this.u32(8).string(value);
        break;
      case "strings":
        this.u32(9).u32(8).u64(value.length);
        for (const text of value) this.string(text);
        break;
      case "i32s":
        this.u32(9).u32(5).u64(value.length);
        for (const element of value) this.u32(element);
        break;
    }
  }

  finish(alignment: number): Uint8Array {
    return this.#bytes.slice(0, Math.ceil(this.#at / alignment) * alignment);
  }

  #grow(bytes: number): number {
    const at = this.#at;
    this.#at += bytes;
    if (this.#at + ALIGNMENT > this.#bytes.length) {
      const larger = new Uint8Array(2 * (this.#at + ALIGNMENT));
      larger.set(this.#bytes);
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return at;
  }
}

const UTF8 = new TextEncoder();
