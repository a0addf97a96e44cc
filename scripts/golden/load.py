"""A checkpoint folder → a model of the unmodified PyPI package, in float64, float32 or bfloat16.

`openai` is gpt_oss.torch.model.Transformer, `transformers` is GptOssForCausalLM with eager attention and eager experts
(the default experts implementation sums in another order). Weights are bf16 or exact in bf16, so widening is exact.
"""

import json
import os
import types
from contextlib import contextmanager

import gpt_oss.torch.model as openai
import torch
import transformers
from gpt_oss.torch.weights import Checkpoint
from transformers import modeling_rope_utils
from transformers.models.gpt_oss import modeling_gpt_oss

transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
CPU = torch.device("cpu")
DTYPES = {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16}


class _DoubleTorch(types.ModuleType):
    """The torch module, except that torch.float and torch.float32 mean float64."""

    float = float32 = torch.float64

    def __getattr__(self, name):
        return getattr(torch, name)


@contextmanager
def everything_double(dtype):
    """Both packages compute RMSNorm, the YaRN table, cos and sin in float32 *whatever the model's dtype*. In a float64
    run, and in no other, their "float32" is made to mean double, so that the result is the mathematical truth."""
    if dtype != torch.float64:
        yield
        return
    modules, double, narrow = (openai, modeling_gpt_oss, modeling_rope_utils), _DoubleTorch("torch"), torch.Tensor.float
    for m in modules:
        m.torch = double
    torch.Tensor.float = torch.Tensor.double
    try:
        yield
    finally:
        torch.Tensor.float = narrow
        for m in modules:
            m.torch = torch


def read_config(folder):
    with open(os.path.join(folder, "config.json")) as f:
        return json.load(f)


def is_hugging_face(folder):
    return "model_type" in read_config(folder)


# ------------------------------------------------------------------------------------------------------------ openai


def openai_config(folder):
    c = read_config(folder)
    if not is_hugging_face(folder):
        return openai.ModelConfig(**c)
    rope = c.get("rope_parameters") or c["rope_scaling"]
    assert not rope.get("truncate", True), "OpenAI's code knows no truncated YaRN range"
    assert c["rms_norm_eps"] == 1e-5, "OpenAI's code has 1e-5 built in"
    assert c["layer_types"] == ["full_attention" if n % 2 else "sliding_attention" for n in range(c["num_hidden_layers"])]
    return openai.ModelConfig(
        num_hidden_layers=c["num_hidden_layers"], num_experts=c["num_local_experts"],
        experts_per_token=c["num_experts_per_tok"], vocab_size=c["vocab_size"], hidden_size=c["hidden_size"],
        intermediate_size=c["intermediate_size"], swiglu_limit=c.get("swiglu_limit", 7.0), head_dim=c["head_dim"],
        num_attention_heads=c["num_attention_heads"], num_key_value_heads=c["num_key_value_heads"],
        sliding_window=c["sliding_window"], initial_context_length=rope["original_max_position_embeddings"],
        rope_theta=float(rope.get("rope_theta") or c["rope_theta"]), rope_scaling_factor=rope["factor"],
        rope_ntk_alpha=rope["beta_slow"], rope_ntk_beta=rope["beta_fast"],
    )


TOP = {"embedding.weight": "model.embed_tokens.weight", "norm.scale": "model.norm.weight", "unembedding.weight": "lm_head.weight"}
LAYER = {
    "attn.norm.scale": "input_layernorm.weight", "attn.sinks": "self_attn.sinks",
    "attn.qkv.weight": "self_attn.qkv.weight", "attn.qkv.bias": "self_attn.qkv.bias",  # three tensors there, see below
    "attn.out.weight": "self_attn.o_proj.weight", "attn.out.bias": "self_attn.o_proj.bias",
    "mlp.norm.scale": "post_attention_layernorm.weight",
    "mlp.gate.weight": "mlp.router.weight", "mlp.gate.bias": "mlp.router.bias",
} | {
    f"mlp.{old}_{kind}": f"mlp.experts.{new}{suffix}"
    for old, new in (("mlp1", "gate_up_proj"), ("mlp2", "down_proj"))
    for kind, suffix in (("weight", ""), ("weight.blocks", "_blocks"), ("weight.scales", "_scales"), ("bias", "_bias"))
}


class RenamedCheckpoint(Checkpoint):
    """The package's reader on a Hugging Face folder: only names change, q, k, v join, dequantised experts turn back."""

    def _hf(self, name):
        if not name.startswith("block."):
            return TOP[name]
        _, n, rest = name.split(".", 2)
        return f"model.layers.{n}.{LAYER[rest]}"

    def __init__(self, path, device):
        super().__init__(path, device)
        self.hf_files = self.tensor_name_to_file
        self.quantised = any(name.endswith("_blocks") for name in self.hf_files)
        names = (f"block.{n}.mlp.{m}_weight.{part}" for n in range(36) for m in ("mlp1", "mlp2") for part in ("blocks", "scales"))
        self.tensor_name_to_file = {name: self.hf_files[self._hf(name)] for name in names if self._hf(name) in self.hf_files}

    def _get_tensor(self, name):
        if ".qkv." in name:
            return torch.cat([self._read(self._hf(name).replace("qkv", f"{x}_proj")) for x in "qkv"])
        return self._read(self._hf(name))

    def _read(self, name):
        from safetensors import safe_open

        with safe_open(self.hf_files[name], framework="pt") as f:
            return f.get_tensor(name)

    def get(self, name):
        if name.endswith(("mlp1_weight", "mlp2_weight")) and not self.quantised:
            return self._get_tensor(name).transpose(1, 2)
        return super().get(name)


def openai_checkpoint(folder):
    return (RenamedCheckpoint if is_hugging_face(folder) else Checkpoint)(folder, CPU)


def load_openai(folder, dtype):
    if is_hugging_face(folder):
        model, checkpoint = openai.Transformer(openai_config(folder), CPU).eval(), openai_checkpoint(folder)
        for name, parameter in model.named_parameters():
            parameter.data.copy_(checkpoint.get(name))
    else:
        model = openai.Transformer.from_checkpoint(folder, CPU)
    # In a bf16 run nothing is cast: RMSNorm's scale stays the float32 parameter that the package makes it.
    return model if dtype == torch.bfloat16 else model.to(dtype)


# ------------------------------------------------------------------------------------------------------ transformers


def transformers_config(folder):
    config = transformers.GptOssConfig.from_pretrained(folder)
    config._attn_implementation = "eager"
    config._experts_implementation = "eager"
    return config


def load_transformers(folder, dtype):
    extra = {}
    if "quantization_config" in read_config(folder):
        extra["quantization_config"] = transformers.Mxfp4Config(dequantize=True)
    model = transformers.GptOssForCausalLM.from_pretrained(
        folder, dtype=torch.bfloat16, attn_implementation="eager", experts_implementation="eager", **extra
    ).eval()
    if dtype != torch.bfloat16:
        model.to(dtype)
        with everything_double(dtype):  # the table is a buffer, made in float32 while loading
            model.model.rotary_emb = modeling_gpt_oss.GptOssRotaryEmbedding(model.config)
    return model
