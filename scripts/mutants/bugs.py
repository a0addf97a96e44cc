"""Bugs as somebody would make them: edits of the source text of both reference packages.

Each edit is (text to find, text to put there), and must be found. What `diagnose` should answer stands beside it: names of
mutants of which it must name one, or NONE for a bug that its library doesn't know.
"""

from dataclasses import dataclass

NONE = ("none",)


@dataclass(frozen=True)
class Bug:
    name: str
    source: str  # transformers or openai
    edits: tuple  # of (old, new)
    answers: tuple  # acceptable diagnoses; of a combination, all of them together
    square: bool = False  # needs a square down projection
    together: bool = False  # answers are parts of one diagnosis


def hf(name, answers, *edits, **more):
    return Bug(name, "transformers", edits, answers if isinstance(answers, tuple) else (answers,), **more)


def oai(name, answers, *edits, **more):
    return Bug(name, "openai", edits, answers if isinstance(answers, tuple) else (answers,), **more)


# ------------------------------------------------------------------------------------------------------ transformers

ROUTER = ("""        router_top_value, router_indices = torch.topk(router_logits, self.top_k, dim=-1)  # (num_tokens, top_k)
        router_scores = torch.nn.functional.softmax(router_top_value, dim=1, dtype=router_top_value.dtype)
""")
SINKS = "sinks = module.sinks.reshape(1, -1, 1, 1).expand(query.shape[0], -1, query.shape[-2], -1)"
MASK = "        attn_weights = attn_weights + attention_mask\n"
GATE = "gate, up = gate_up[..., ::2], gate_up[..., 1::2]"


def rope_setup(after):
    line = "        inv_freq, self.attention_scaling = rope_init_fn(self.config)\n"
    return (line, line + after)


def mask_from(expression, only="module.sliding_window is not None"):
    """Replaces the mask by a predicate on query q and key k, where `only` holds."""
    return (MASK, MASK + f"""
        if {only}:
            q = torch.arange(attn_weights.shape[-2])[:, None]
            k = torch.arange(attn_weights.shape[-1])[None]
            attn_weights = torch.matmul(query, key_states.transpose(2, 3)) * scaling
            attn_weights = attn_weights.masked_fill(~({expression}), torch.finfo(attn_weights.dtype).min)
""")


TRANSFORMERS = [
    hf("attention_scaling forgotten", "concentration-none", rope_setup("        self.attention_scaling = 1.0\n")),
    hf("attention_scaling into the scores only once", "concentration-once",
       rope_setup("        self.attention_scaling = self.attention_scaling ** 0.5\n")),
    hf("default rope", "yarn-none",
       ('self.rope_type = self.config.rope_parameters["rope_type"]', 'self.rope_type = "default"')),
    hf("truncate", "yarn-truncated",
       ("        inv_freq, self.attention_scaling = rope_init_fn(self.config)\n",
        "        self.config.rope_parameters['truncate'] = True\n        inv_freq, self.attention_scaling = rope_init_fn(self.config)\n")),
    hf("linear scaling", "yarn-linear", rope_setup(
        "        inv_freq = self.compute_default_rope_parameters(self.config)[0] / self.config.rope_parameters['factor']\n")),
    hf("theta of Llama 3", "theta-500000",
       ("        inv_freq, self.attention_scaling = rope_init_fn(self.config)\n",
        "        self.config.rope_parameters['rope_theta'] = 500000.0\n        inv_freq, self.attention_scaling = rope_init_fn(self.config)\n")),
    hf("pairs of neighbours", "rope-interleaved",
       ("    first_half, second_half = torch.chunk(x, 2, dim=-1)\n", "    first_half, second_half = x[..., ::2], x[..., 1::2]\n"),
       ("    return torch.cat((first_, second_), dim=-1)\n", "    return torch.stack((first_, second_), dim=-1).flatten(-2)\n")),
    hf("sign of sin", "rope-reversed", ("first_half * cos - second_half * sin", "first_half * cos + second_half * sin"),
       ("second_half * cos + first_half * sin", "second_half * cos - first_half * sin")),
    hf("keys unrotated", "rope-keys-not-rotated",
       ("    k_embed = _apply_rotary_emb(k, cos, sin)\n", "    k_embed = k * (cos**2 + sin**2).sqrt().mean().to(k.dtype)\n")),
    hf("frequencies in bf16", "rope-frequencies-bf16", rope_setup("        inv_freq = inv_freq.bfloat16().float()\n")),
    hf("window one short", "window-minus-1", mask_from("(k <= q) & (k > q - module.sliding_window + 1)")),
    hf("window one long", "window-plus-1", mask_from("(k <= q) & (k >= q - module.sliding_window)")),
    hf("plain causal mask everywhere", "window-none", mask_from("k <= q")),
    hf("window on all layers", "window-everywhere",
       mask_from("(k <= q) & (k > q - module.config.sliding_window)", "module.sliding_window is None")),
    hf("parity of layers", "window-layers-exchanged",
       mask_from("(k <= q) & ((k > q - module.config.sliding_window) | (module.layer_idx % 2 == 0))", "True")),
    hf("ring that stays full", "window-stuck", mask_from("(k <= q) & ((k < module.sliding_window) | (k == q))")),
    hf("sinks dropped", "sinks-none",
       ("combined_logits = torch.cat([attn_weights, sinks], dim=-1)", "combined_logits = torch.cat([attn_weights, sinks * 0 - 1e9], dim=-1)")),
    hf("sinks of zeros", "sinks-zero", (SINKS, SINKS.replace("module.sinks", "torch.zeros_like(module.sinks)"))),
    hf("sinks scaled like scores", "sinks-scaled", (SINKS, SINKS.replace("module.sinks", "(module.sinks * scaling)"))),
    hf("no sinks where there is no window", "sinks-none-on-full",
       (SINKS, SINKS + "\n    if module.sliding_window is None:\n        sinks = torch.full_like(sinks, -1e9)")),
    hf("no scale", "scale-none", ("self.scaling = self.head_dim**-0.5", "self.scaling = 1.0")),
    hf("scale twice", "scale-twice", ("self.scaling = self.head_dim**-0.5", "self.scaling = 1.0 / self.head_dim")),
    hf("repeat of keys and values", "heads-grouped-by-modulo",
       ("    return hidden_states.reshape(batch, num_key_value_heads * n_rep, slen, head_dim)\n",
        "    return hidden_states.transpose(1, 2).reshape(batch, num_key_value_heads * n_rep, slen, head_dim)\n")),
    hf("softmax ahead of topk", "router-softmax-over-all", (ROUTER, """
        probabilities = torch.softmax(router_logits, dim=-1)
        router_scores, router_indices = torch.topk(probabilities, self.top_k, dim=-1)
""")),
    hf("sigmoid scores", "router-sigmoid", (ROUTER, """
        router_top_value, router_indices = torch.topk(router_logits, self.top_k, dim=-1)
        router_scores = torch.sigmoid(router_top_value)
""")),
    hf("normalised sigmoid", "router-sigmoid-renormalised", (ROUTER, """
        router_top_value, router_indices = torch.topk(router_logits, self.top_k, dim=-1)
        router_scores = torch.sigmoid(router_top_value)
        router_scores = router_scores / router_scores.sum(-1, keepdim=True)
""")),
    hf("top 3", "router-top-3", ("self.top_k = config.num_experts_per_tok", "self.top_k = config.num_experts_per_tok - 1")),
    hf("topk of the smallest order", "router-weights-reversed", (ROUTER, ROUTER + "        router_scores = router_scores.flip(-1)\n")),
    hf("indices sorted alone", "router-ids-sorted", (ROUTER, ROUTER + "        router_indices = router_indices.sort(-1).values\n")),
    hf("router without bias", "router-bias-missing", ("F.linear(hidden_states, self.weight, self.bias)  #", "F.linear(hidden_states, self.weight)  #")),
    hf("no + 1", "swiglu-no-plus-1", ("gated_output = (up + 1) * glu", "gated_output = up * glu")),
    hf("silu as hidden_act says", "swiglu-plain-silu", ("torch.sigmoid(gate * self.alpha)", "torch.sigmoid(gate)")),
    hf("no limit", "swiglu-no-clamp", ("self.limit = config.swiglu_limit", "self.limit = 1e9")),
    hf("up without limit", "swiglu-no-clamp-of-up", ("        up = up.clamp(min=-self.limit, max=self.limit)\n", "")),
    hf("chunked gate and up", "swiglu-halves", (GATE, "gate, up = gate_up.chunk(2, dim=-1)")),
    hf("up first", "swiglu-exchanged", (GATE, "up, gate = gate_up[..., ::2], gate_up[..., 1::2]")),
    hf("clamp before bias", "swiglu-clamp-before-bias",
       ("gate_up = current_state @ self.gate_up_proj[expert_idx] + self.gate_up_proj_bias[expert_idx]",
        """gate_up = current_state @ self.gate_up_proj[expert_idx]
            gate_up[..., ::2] = gate_up[..., ::2].clamp(max=self.limit)
            gate_up[..., 1::2] = gate_up[..., 1::2].clamp(-self.limit, self.limit)
            gate_up = gate_up + self.gate_up_proj_bias[expert_idx]"""),
       ("        gate = gate.clamp(min=None, max=self.limit)\n        up = up.clamp(min=-self.limit, max=self.limit)\n", "")),
    hf("down bias after the weight", "down-bias-unweighted",
       ("out = gated_output @ self.down_proj[expert_idx] + self.down_proj_bias[expert_idx]", "out = gated_output @ self.down_proj[expert_idx]"),
       ("weighted_output = out * routing_weights[token_idx, top_k_pos, None]",
        "weighted_output = out * routing_weights[token_idx, top_k_pos, None] + self.down_proj_bias[expert_idx]")),
    hf("down the other way round", "down-transposed",
       ("out = gated_output @ self.down_proj[expert_idx] +", "out = gated_output @ self.down_proj[expert_idx].T +"), square=True),
    hf("no gate_up bias", "bias-gate-up-missing", (" + self.gate_up_proj_bias[expert_idx]", "")),
    hf("no v bias", "bias-v-missing",
       ("value_states = self.v_proj(hidden_states)", "value_states = F.linear(hidden_states, self.v_proj.weight)")),
    hf("no o bias", "bias-out-missing",
       ("attn_output = self.o_proj(attn_output)", "attn_output = F.linear(attn_output, self.o_proj.weight)")),
    hf("norm without weight", "norm-unweighted", ("(self.weight * hidden_states).to(input_dtype)", "hidden_states.to(input_dtype)")),
    hf("one plus weight", "norm-one-plus-weight", ("(self.weight * hidden_states)", "((1 + self.weight) * hidden_states)")),
    hf("mean subtracted", "norm-layer-norm",
       ("        variance = hidden_states.pow(2)", "        hidden_states = hidden_states - hidden_states.mean(-1, keepdim=True)\n        variance = hidden_states.pow(2)")),
    hf("residual after the norm", "residual-from-norm-moe",
       ("""        residual = hidden_states
        hidden_states = self.post_attention_layernorm(hidden_states)
        hidden_states, _""", """        hidden_states = self.post_attention_layernorm(hidden_states)
        residual = hidden_states
        hidden_states, _""")),
]

# ------------------------------------------------------------------------------------------------------------ openai

EINSUM_OUT = '        t = torch.einsum("bec,be->bc", t, expert_weights)\n'

OPENAI = [
    oai("concentration left at one", "concentration-none",
        ("return concentration, inv_freq", "return 1.0, inv_freq")),
    oai("ramp the other way", "yarn-ramp-reversed", ("mask = 1 - ramp.clamp(0, 1)", "mask = ramp.clamp(0, 1)")),
    oai("sdpa drops the sink column", "sinks-none", ("    QK = torch.cat([QK, S], dim=-1)\n", "    QK = torch.cat([QK, S * 0 - 1e9], dim=-1)\n")),
    oai("sink in base two", "sinks-base-2", ("    QK = torch.cat([QK, S], dim=-1)\n", "    QK = torch.cat([QK, S * math.log(2)], dim=-1)\n")),
    oai("window one long", "window-plus-1", ("diagonal=-sliding_window\n", "diagonal=-sliding_window - 1\n")),
    oai("window on odd layers", "window-layers-exchanged", ("layer_idx % 2 == 0", "layer_idx % 2 == 1")),
    oai("mask hides the token itself", "mask-not-itself",
        ("mask = torch.triu(Q.new_full((n_tokens, n_tokens), -float(\"inf\")), diagonal=1)",
         "mask = torch.triu(Q.new_full((n_tokens, n_tokens), -float(\"inf\")), diagonal=0)")),
    oai("mask shows the next token", "mask-sees-next",
        ("mask = torch.triu(Q.new_full((n_tokens, n_tokens), -float(\"inf\")), diagonal=1)",
         "mask = torch.triu(Q.new_full((n_tokens, n_tokens), -float(\"inf\")), diagonal=2)")),
    oai("softmax over all experts", "router-softmax-over-all",
        ("        experts = torch.topk(g, k=self.experts_per_token, dim=-1, sorted=True)\n",
         "        experts = torch.topk(g.softmax(-1), k=self.experts_per_token, dim=-1, sorted=True)\n"),
        ("expert_weights = torch.nn.functional.softmax(experts.values, dim=1)", "expert_weights = experts.values")),
    oai("average of experts", "router-equal-weights",
        (EINSUM_OUT, '        t = torch.einsum("bec,be->bc", t, torch.full_like(expert_weights, 1 / self.experts_per_token))\n')),
    oai("gelu", "swiglu-gelu",
        ("x_glu * torch.sigmoid(alpha * x_glu)", "torch.nn.functional.gelu(x_glu)")),
    oai("both clamped on both sides after + 1", "swiglu-plus-1-before-clamp",
        ("    x_linear = x_linear.clamp(min=-limit, max=limit)\n", "    x_linear = (x_linear + 1).clamp(min=-limit, max=limit) - 1\n")),
    oai("no bias on the way down", "bias-down-missing", ("        t += mlp2_bias\n", "")),
    oai("no final norm", "norm-final-missing", ("        x = self.norm(x)\n        x = self.unembedding(x)", "        x = self.unembedding(x)")),
    oai("embedding as in Gemma", "embedding-scaled", ("        x = self.embedding(x)\n", "        x = self.embedding(x)\n        x = x * x.shape[-1] ** 0.5\n")),
    oai("experts beside attention", "residual-parallel",
        ("        x = self.attn(x)\n        x = self.mlp(x)\n", "        x = self.attn(x) + self.mlp(x) - x\n")),
    oai("epsilon of transformers", "norm-eps-1e-6", ("eps: float = 1e-05", "eps: float = 1e-06")),
]

# --------------------------------------------------------------------------------------- two bugs at once; strangers

COMBINED = [
    hf("truncate + window one long", ("yarn-truncated", "window-plus-1"), *TRANSFORMERS[3].edits,
       mask_from("(k <= q) & (k >= q - module.sliding_window)"), together=True),
    hf("no sinks + no + 1", ("sinks-none", "swiglu-no-plus-1"),
       ("combined_logits = torch.cat([attn_weights, sinks], dim=-1)", "combined_logits = torch.cat([attn_weights, sinks * 0 - 1e9], dim=-1)"),
       ("gated_output = (up + 1) * glu", "gated_output = up * glu"), together=True),
    hf("no concentration + softmax ahead of topk", ("concentration-none", "router-softmax-over-all"),
       rope_setup("        self.attention_scaling = 1.0\n"), (ROUTER, """
        probabilities = torch.softmax(router_logits, dim=-1)
        router_scores, router_indices = torch.topk(probabilities, self.top_k, dim=-1)
"""), together=True),
]

STRANGERS = [
    hf("tanh cap on scores", NONE, ("* scaling\n    if attention_mask", "* scaling\n    attn_weights = 3 * torch.tanh(attn_weights / 3)\n    if attention_mask")),
    hf("first half of each head unrotated", NONE,
       ("    first_ = first_half * cos - second_half * sin\n", "    n = cos.shape[-1] // 2\n    cos, sin = cos.clone(), sin.clone()\n    sin[..., :n] = 0\n    first_ = first_half * cos - second_half * sin\n")),
    hf("dead expert", NONE, ("            weighted_output = out *", "            out = out * float(expert_idx != 3)\n            weighted_output = out *")),
    hf("alpha 1.5", NONE, ("self.alpha = config.swiglu_alpha", "self.alpha = 1.5")),
    hf("clamp at 6", NONE, ("self.limit = config.swiglu_limit", "self.limit = 6.0")),
    oai("window of 100", NONE, ("diagonal=-sliding_window\n", "diagonal=-100\n")),
    oai("q norm", NONE, ("        q, k = self.rope(q, k)\n", "        q = torch.nn.functional.rms_norm(q, (q.shape[-1],))\n        q, k = self.rope(q, k)\n")),
    oai("last layer's experts skipped", NONE, ("        x = self.attn(x)\n        x = self.mlp(x)\n", "        x = self.attn(x)\n        x = self.mlp(x) if self.layer_idx == 0 else x\n")),
    oai("weights squared", NONE, (EINSUM_OUT, '        t = torch.einsum("bec,be->bc", t, expert_weights**2)\n')),
    oai("scale of 1/8", NONE, ("self.sm_scale = 1 / math.sqrt(config.head_dim)", "self.sm_scale = 1 / 8")),
]

CORRECT = [hf("correct", ("correct",)), oai("correct", ("correct",))]
BUGS = TRANSFORMERS + OPENAI + COMBINED + STRANGERS
