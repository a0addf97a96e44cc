/**
 * Other programs' names and layouts of activations → ours. A name is a module's path, to which dumps add `.output`, `.input` or a
 * number, the place in the tuple that the module returned.
 */
export type Convention =
  | "ours"
  | "transformers"
  | "openai"
  | "vllm"
  | "llama.cpp"
  | "transformer-lens"
  | "map";

/** Their name, with # for the layer's number, → our point; `q+k+v` is split, `scattered` gathered by the experts' ids. */
export type Rules = Readonly<Record<string, string>>;

/** Parts that transformers, vLLM and SGLang share; a `.0` of a tuple counts as the plain name where only that is listed. */
const LLAMA_LIKE: Rules = {
  embed_tokens: "embedding",
  "layers.#.input_layernorm": "attn.norm",
  "layers.#.self_attn.q_proj": "attn.q",
  "layers.#.self_attn.k_proj": "attn.k",
  "layers.#.self_attn.v_proj": "attn.v",
  "layers.#.self_attn.qkv_proj": "q+k+v",
  "layers.#.self_attn.rotary_emb.0": "attn.q_rope",
  "layers.#.self_attn.rotary_emb.1": "attn.k_rope",
  "layers.#.self_attn.attn": "attn.context",
  "layers.#.self_attn.o_proj.input": "attn.context",
  "layers.#.self_attn.o_proj": "attn.out",
  "layers.#.self_attn": "attn.out",
  "layers.#.self_attn.1": "attn.weights",
  "layers.#.post_attention_layernorm.input": "attn.residual",
  "layers.#.post_attention_layernorm": "moe.norm",
  "layers.#.mlp.router": "moe.router_logits",
  "layers.#.mlp.gate": "moe.router_logits",
  "layers.#.mlp.router.1": "moe.expert_weights",
  "layers.#.mlp.router.2": "moe.expert_ids",
  "layers.#.mlp.experts": "moe.out",
  "layers.#.mlp": "moe.out",
  norm: "norm",
  lm_head: "logits",
};

const TRANSFORMERS: Rules = {
  ...LLAMA_LIKE,
  "layers.#": "moe.residual",
  "attentions.#": "attn.weights",
  "router_logits.#": "moe.router_logits",
};

/** Layers return (output, residual), the sum of which the next norm makes, and returns beside its own. */
const VLLM: Rules = {
  ...LLAMA_LIKE,
  embedding: "embedding",
  "layers.#.attn.norm": "attn.norm",
  "layers.#.attn.qkv": "q+k+v",
  "layers.#.attn.qkv_proj": "q+k+v",
  "layers.#.attn.rotary_emb.0": "attn.q_rope",
  "layers.#.attn.rotary_emb.1": "attn.k_rope",
  "layers.#.attn.attn": "attn.context",
  "layers.#.attn.o_proj.input": "attn.context",
  "layers.#.attn.o_proj": "attn.out",
  "layers.#.attn": "attn.out",
  "layers.#.input_layernorm.1": "before.moe.residual",
  "layers.#.post_attention_layernorm.1": "attn.residual",
  "layers.#.mlp.norm": "moe.norm",
  "layers.#": "moe.out",
  "layers.#.1": "attn.residual",
  "norm.1": "last.moe.residual",
};

/** gpt_oss.torch.model: attn and mlp add the residual themselves. */
const OPENAI: Rules = {
  embedding: "embedding",
  "block.#.attn.norm": "attn.norm",
  "block.#.attn.qkv": "q+k+v",
  "block.#.attn.rope.0": "attn.q_rope",
  "block.#.attn.rope.1": "attn.k_rope",
  "block.#.attn.sdpa": "attn.context",
  "block.#.attn.out.input": "attn.context",
  "block.#.attn.out": "attn.out",
  "block.#.attn": "attn.residual",
  "block.#.mlp.norm": "moe.norm",
  "block.#.mlp.gate": "moe.router_logits",
  "block.#.mlp.expert_indices": "moe.expert_ids",
  "block.#.mlp.expert_weights": "moe.expert_weights",
  "block.#.mlp.mlp1": "moe.gate_up",
  "block.#.mlp.swiglu": "moe.swiglu",
  "block.#.mlp.mlp2": "moe.down",
  "block.#.mlp": "moe.residual",
  "block.#": "moe.residual",
  norm: "norm",
  unembedding: "logits",
};

/** Tensors dumped from llama.cpp under their names; that of several nodes is taken for the last. */
const LLAMA_CPP: Rules = {
  inp_embd: "embedding",
  embd: "embedding",
  "attn_norm-#": "attn.norm",
  "Qcur-#": "attn.q_rope",
  "Kcur-#": "attn.k_rope",
  "Vcur-#": "attn.v",
  "kq_soft_max-#": "attn.weights",
  "kqv_out-#": "attn.context",
  "attn_out-#": "attn.out",
  "ffn_inp-#": "attn.residual",
  "attn_post_norm-#": "moe.norm",
  "ffn_norm-#": "moe.norm",
  "ffn_moe_logits_biased-#": "moe.router_logits",
  "ffn_moe_probs-#": "moe.router_logits",
  "ffn_moe_topk-#": "moe.expert_ids",
  "ffn_moe_weights_softmax-#": "moe.expert_weights",
  "ffn_moe_gate_biased-#": "gate",
  "ffn_moe_up_biased-#": "up",
  "ffn_moe_swiglu-#": "moe.swiglu",
  "ffn_moe_swiglu_oai-#": "moe.swiglu",
  "ffn_moe_down_biased-#": "moe.down",
  "ffn_moe_out-#": "moe.out",
  "l_out-#": "moe.residual",
  result_norm: "norm",
  result_output: "logits",
};

/** HookedTransformer and TransformerBridge; `hook_normalized` is left out, as it lacks the norm's weights. */
const TRANSFORMER_LENS: Rules = {
  hook_embed: "embedding",
  "blocks.#.hook_resid_pre": "before.moe.residual",
  "blocks.#.ln1.hook_out": "attn.norm",
  "blocks.#.attn.hook_q": "attn.q",
  "blocks.#.attn.hook_k": "attn.k",
  "blocks.#.attn.hook_v": "attn.v",
  "blocks.#.attn.hook_rot_q": "attn.q_rope",
  "blocks.#.attn.hook_rot_k": "attn.k_rope",
  "blocks.#.attn.hook_attn_scores": "attn.scores",
  "blocks.#.attn.hook_pattern": "attn.weights",
  "blocks.#.attn.hook_z": "attn.context",
  "blocks.#.hook_attn_out": "attn.out",
  "blocks.#.hook_resid_mid": "attn.residual",
  "blocks.#.ln2.hook_out": "moe.norm",
  "blocks.#.mlp.hook_expert_indices": "moe.expert_ids",
  "blocks.#.mlp.hook_expert_weights": "scattered",
  "blocks.#.hook_mlp_out": "moe.out",
  "blocks.#.hook_resid_post": "moe.residual",
  "ln_final.hook_out": "norm",
  "unembed.hook_out": "logits",
};

export const RULES: Readonly<Record<Exclude<Convention, "ours" | "map">, Rules>> = {
  transformers: TRANSFORMERS,
  vllm: VLLM,
  openai: OPENAI,
  "llama.cpp": LLAMA_CPP,
  "transformer-lens": TRANSFORMER_LENS,
};

/** Names of any program that need no table. */
export const ANYWHERE: Rules = { ids: "ids", input_ids: "ids", tokens: "ids", logits: "logits" };
