"""Seeded random gpt-oss checkpoints: one set of values, written in every layout that readers meet.

    python checkpoint.py --out DIR [--layouts hf,original,gguf,dequantised] [--seed N] [--hidden N …]

Folders DIR/hf, DIR/original, DIR/gguf and DIR/dequantised appear. Each tensor is drawn from its own Philox stream, keyed
by seed and name, so a shape option changes only the tensors whose shape it changes. Scales are picked to make the model
*interesting*, not typical: attention far from uniform, sinks that take a real share, router logits that spread,
pre-activations that pass the SwiGLU clamp on both sides, E8M0 scales that vary (a few at the very bottom of the range),
and a residual stream that neither dies nor explodes.
"""

import argparse
import json
import os
import zlib
from dataclasses import asdict, dataclass

import numpy as np
import torch

import tensors

FP4 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], np.float32)


@dataclass
class Shape:
    """The 16 fields of original/config.json, in its order, plus the one that only Hugging Face's config has."""

    num_hidden_layers: int = 2
    num_experts: int = 8
    experts_per_token: int = 4
    vocab_size: int = 200
    hidden_size: int = 64
    intermediate_size: int = 32
    swiglu_limit: float = 7.0
    head_dim: int = 16
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    sliding_window: int = 128
    initial_context_length: int = 256
    rope_theta: float = 10000.0
    rope_scaling_factor: float = 32.0
    rope_ntk_alpha: float = 1.0
    rope_ntk_beta: float = 32.0
    truncate: bool = False

    def yarn_range(self):
        """low, high as OpenAI's code computes them; it asserts 0 < low < high < head_dim/2 − 1 (transformers clamps)."""
        half = self.head_dim / 2
        return [half * np.log(self.initial_context_length / (b * 2 * np.pi)) / np.log(self.rope_theta) for b in (self.rope_ntk_beta, self.rope_ntk_alpha)]

    @property
    def original(self):
        return {k: v for k, v in asdict(self).items() if k != "truncate"}


# ---------------------------------------------------------------------------------------------------------- values


def to_bf16(x):
    return torch.from_numpy(np.ascontiguousarray(x)).to(torch.bfloat16)


def draw(shape: Shape, seed: int, experts: str):
    """Original-layout name → tensor. BF16, except the U8 blocks and scales of MXFP4 experts (experts="mxfp4")."""
    s = shape
    h, f, E, V = s.hidden_size, s.intermediate_size, s.num_experts, s.vocab_size
    q, kv = s.num_attention_heads * s.head_dim, s.num_key_value_heads * s.head_dim

    def stream(name):
        return np.random.Generator(np.random.Philox(key=[seed, zlib.crc32(name.encode())]))

    out = {}

    def normal(name, size, std, mean=0.0):
        out[name] = to_bf16(stream(name).standard_normal(size, dtype=np.float32) * np.float32(std) + np.float32(mean))

    def expert_weight(name, rows, cols, std):
        if experts == "bf16":
            return normal(name, (E, rows, cols), std)
        assert cols % 32 == 0, f"MXFP4 needs a multiple of 32 along the input, got {cols}"
        g = stream(name)
        groups = cols // 32
        # All 16 codes alike have rms 2.93; exponents scatter around the one that gives the wanted std.
        centre = 127 + round(np.log2(std / 2.93))
        scales = centre + g.choice([-2, -1, 0, 1], p=[0.15, 0.35, 0.35, 0.15], size=(E, rows, groups))
        bottom = g.random((E, rows, groups)) < 0.005
        scales = np.where(bottom, g.integers(0, 3, size=scales.shape), scales)
        out[name + ".blocks"] = torch.from_numpy(g.integers(0, 256, size=(E, rows, groups, 16), dtype=np.uint8))
        out[name + ".scales"] = torch.from_numpy(scales.astype(np.uint8))

    normal("embedding.weight", (V, h), 1.0)
    for n in range(s.num_hidden_layers):
        attn, mlp = f"block.{n}.attn", f"block.{n}.mlp"
        normal(f"{attn}.norm.scale", h, 0.2, 1.0)
        normal(f"{attn}.qkv.weight", (q + 2 * kv, h), 1.1 / h**0.5)
        normal(f"{attn}.qkv.bias", q + 2 * kv, 0.3)
        normal(f"{attn}.sinks", s.num_attention_heads, 1.0, 1.5)
        normal(f"{attn}.out.weight", (h, q), 1.5 / q**0.5)
        normal(f"{attn}.out.bias", h, 0.2)
        normal(f"{mlp}.norm.scale", h, 0.2, 1.0)
        normal(f"{mlp}.gate.weight", (E, h), 1.5 / h**0.5)
        normal(f"{mlp}.gate.bias", E, 0.3)
        expert_weight(f"{mlp}.mlp1_weight", 2 * f, h, 4.0 / h**0.5)
        normal(f"{mlp}.mlp1_bias", (E, 2 * f), 1.0)
        expert_weight(f"{mlp}.mlp2_weight", h, f, 0.15 / f**0.5)
        normal(f"{mlp}.mlp2_bias", (E, h), 0.3)
    normal("norm.scale", h, 0.2, 1.0)
    normal("unembedding.weight", (V, h), 2.0 / h**0.5)
    return out


def dequantise(blocks, scales):
    """U8 [..., G, 16] and [..., G] → float32 [..., 32·G]: low nibble first. Exact in float32 and in bfloat16."""
    b = blocks.numpy()
    codes = np.stack([b & 15, b >> 4], axis=-1).reshape(*b.shape[:-1], 32)
    values = np.ldexp(FP4[codes].astype(np.float64), scales.numpy().astype(np.int32)[..., None] - 127)
    return values.astype(np.float32).reshape(*b.shape[:-2], -1)


# --------------------------------------------------------------------------------------------- the original layout


def write_original(folder, shape, values):
    os.makedirs(folder, exist_ok=True)
    assert not shape.truncate, "OpenAI's layout has no truncate field"
    with open(f"{folder}/config.json", "w") as f:
        json.dump(shape.original, f)
    tensors.save(f"{folder}/model.safetensors", values)


# ----------------------------------------------------------------------------------------------------- Hugging Face


def hf_config(s: Shape, quantised: bool):
    """As openai/gpt-oss-20b's config.json; the dequantised form as transformers 5 saves it (rope_parameters, dtype)."""
    rope = {
        "beta_fast": s.rope_ntk_beta, "beta_slow": s.rope_ntk_alpha, "factor": s.rope_scaling_factor,
        "original_max_position_embeddings": s.initial_context_length, "rope_type": "yarn", "truncate": s.truncate,
    }
    layer_types = ["full_attention" if n % 2 else "sliding_attention" for n in range(s.num_hidden_layers)]
    config = {
        "architectures": ["GptOssForCausalLM"], "attention_bias": True, "attention_dropout": 0.0,
        "eos_token_id": 2, "experts_per_token": s.experts_per_token, "head_dim": s.head_dim, "hidden_act": "silu",
        "hidden_size": s.hidden_size, "initial_context_length": s.initial_context_length, "initializer_range": 0.02,
        "intermediate_size": s.intermediate_size, "layer_types": layer_types,
        "max_position_embeddings": round(s.initial_context_length * s.rope_scaling_factor), "model_type": "gpt_oss",
        "num_attention_heads": s.num_attention_heads, "num_experts_per_tok": s.experts_per_token,
        "num_hidden_layers": s.num_hidden_layers, "num_key_value_heads": s.num_key_value_heads,
        "num_local_experts": s.num_experts, "output_router_logits": False, "pad_token_id": 1, "rms_norm_eps": 1e-05,
        "router_aux_loss_coef": 0.9, "sliding_window": s.sliding_window, "swiglu_limit": s.swiglu_limit,
        "tie_word_embeddings": False, "use_cache": True, "vocab_size": s.vocab_size,
    }
    theta = int(s.rope_theta) if s.rope_theta == int(s.rope_theta) else s.rope_theta
    if quantised:
        config |= {
            "rope_scaling": rope, "rope_theta": theta, "transformers_version": "4.55.0.dev0",
            "quantization_config": {
                "modules_to_not_convert": [
                    "model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head",
                ],
                "quant_method": "mxfp4",
            },
        }
    else:
        config |= {"rope_parameters": rope | {"rope_theta": float(theta)}, "dtype": "bfloat16", "transformers_version": "5.24.0"}
    return dict(sorted(config.items()))


def to_hf(shape: Shape, values, quantised: bool):
    """Rename, split qkv; with quantised=False the experts become bf16 and transposed, [E, in, out]."""
    q = shape.num_attention_heads * shape.head_dim
    kv = shape.num_key_value_heads * shape.head_dim
    top = {"embedding.weight": "model.embed_tokens.weight", "norm.scale": "model.norm.weight", "unembedding.weight": "lm_head.weight"}
    out = {new: values[old] for old, new in top.items()}
    for n in range(shape.num_hidden_layers):
        old, new = f"block.{n}", f"model.layers.{n}"
        for kind in ("weight", "bias"):
            parts = values[f"{old}.attn.qkv.{kind}"].split([q, kv, kv])
            for letter, part in zip("qkv", parts):
                out[f"{new}.self_attn.{letter}_proj.{kind}"] = part
            out[f"{new}.self_attn.o_proj.{kind}"] = values[f"{old}.attn.out.{kind}"]
            out[f"{new}.mlp.router.{kind}"] = values[f"{old}.mlp.gate.{kind}"]
        out[f"{new}.self_attn.sinks"] = values[f"{old}.attn.sinks"]
        out[f"{new}.input_layernorm.weight"] = values[f"{old}.attn.norm.scale"]
        out[f"{new}.post_attention_layernorm.weight"] = values[f"{old}.mlp.norm.scale"]
        for a, b in (("mlp1", "gate_up_proj"), ("mlp2", "down_proj")):
            out[f"{new}.mlp.experts.{b}_bias"] = values[f"{old}.mlp.{a}_bias"]
            for part in ("blocks", "scales") if quantised else ():
                out[f"{new}.mlp.experts.{b}_{part}"] = values[f"{old}.mlp.{a}_weight.{part}"]
            if not quantised:
                weight = values.get(f"{old}.mlp.{a}_weight")
                if weight is None:
                    blocks, scales = (values[f"{old}.mlp.{a}_weight.{part}"] for part in ("blocks", "scales"))
                    weight = to_bf16(dequantise(blocks, scales))
                out[f"{new}.mlp.experts.{b}"] = weight.transpose(1, 2).contiguous()
    return out


def write_hf(folder, shape, values, quantised=True, shards=1):
    os.makedirs(folder, exist_ok=True)
    tensors.write_json(f"{folder}/config.json", hf_config(shape, quantised))
    values = to_hf(shape, values, quantised)
    if shards == 1:
        return tensors.save(f"{folder}/model.safetensors", values, {"format": "pt"})
    names = sorted(values)
    # OpenAI's own shards count from 00000 to the "of" number; readers must go by the index, not by the name.
    files = [f"model-{i:05d}-of-{shards - 1:05d}.safetensors" for i in range(shards)]
    weight_map = {name: files[i * shards // len(names)] for i, name in enumerate(names)}
    for file in files:
        tensors.save(f"{folder}/{file}", {k: values[k] for k in names if weight_map[k] == file}, {"format": "pt"})
    total = sum(t.numel() * t.element_size() for t in values.values())
    tensors.write_json(f"{folder}/model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": weight_map})


# -------------------------------------------------------------------------------------------------------------- GGUF


def gguf_mxfp4(blocks, scales):
    """Rows of 17-byte blocks: the scale, then qs[j] = element j | element j+16 << 4 (the file above pairs neighbours)."""
    b = blocks.numpy()
    codes = np.stack([b & 15, b >> 4], axis=-1).reshape(*b.shape[:-1], 32)
    qs = codes[..., :16] | codes[..., 16:] << 4
    packed = np.concatenate([scales.numpy()[..., None], qs], axis=-1).astype(np.uint8)
    return np.ascontiguousarray(packed.reshape(*packed.shape[:-2], -1))


def write_gguf(path, shape: Shape, values, dense="BF16"):
    """dense: F32, F16, BF16 or Q8_0 for embeddings and attention matrices; norms, biases, sinks and router stay F32."""
    import gguf

    os.makedirs(os.path.dirname(path), exist_ok=True)
    s = shape
    w = gguf.GGUFWriter(path, "gpt-oss")
    w.add_type("model")
    w.add_name("random")
    w.add_block_count(s.num_hidden_layers)
    w.add_context_length(round(s.initial_context_length * s.rope_scaling_factor))
    w.add_embedding_length(s.hidden_size)
    w.add_feed_forward_length(s.intermediate_size)
    w.add_expert_feed_forward_length(s.intermediate_size)
    w.add_head_count(s.num_attention_heads)
    w.add_head_count_kv(s.num_key_value_heads)
    w.add_key_length(s.head_dim)
    w.add_value_length(s.head_dim)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_expert_count(s.num_experts)
    w.add_expert_used_count(s.experts_per_token)
    w.add_sliding_window(s.sliding_window)
    w.add_rope_freq_base(s.rope_theta)
    w.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    w.add_rope_scaling_factor(s.rope_scaling_factor)
    w.add_rope_scaling_orig_ctx_len(s.initial_context_length)
    w.add_quantization_version(2)
    w.add_file_type(38)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("gpt-4o")
    w.add_token_list([f"[PAD{i}]" for i in range(s.vocab_size)])
    w.add_token_types([gguf.TokenType.UNUSED] * s.vocab_size)
    w.add_token_merges(["a b"])
    w.add_eos_token_id(2)
    w.add_pad_token_id(1)

    def plain(name, value):
        w.add_tensor(name, np.ascontiguousarray(value.float().numpy()))

    def matrix(name, value):
        kind = gguf.GGMLQuantizationType[dense]
        value = np.ascontiguousarray(value.float().numpy())
        w.add_tensor(name, gguf.quants.quantize(value, kind), raw_dtype=kind)

    def experts(name, blocks, scales):
        w.add_tensor(name, gguf_mxfp4(blocks, scales), raw_dtype=gguf.GGMLQuantizationType.MXFP4)

    q, kv = s.num_attention_heads * s.head_dim, s.num_key_value_heads * s.head_dim
    matrix("token_embd.weight", values["embedding.weight"])
    for n in range(s.num_hidden_layers):
        attn, mlp, blk = f"block.{n}.attn", f"block.{n}.mlp", f"blk.{n}"
        plain(f"{blk}.attn_norm.weight", values[f"{attn}.norm.scale"])
        for letter, weight, bias in zip("qkv", values[f"{attn}.qkv.weight"].split([q, kv, kv]), values[f"{attn}.qkv.bias"].split([q, kv, kv])):
            matrix(f"{blk}.attn_{letter}.weight", weight)
            plain(f"{blk}.attn_{letter}.bias", bias)
        matrix(f"{blk}.attn_output.weight", values[f"{attn}.out.weight"])
        plain(f"{blk}.attn_output.bias", values[f"{attn}.out.bias"])
        plain(f"{blk}.attn_sinks.weight", values[f"{attn}.sinks"])
        plain(f"{blk}.post_attention_norm.weight", values[f"{mlp}.norm.scale"])
        plain(f"{blk}.ffn_gate_inp.weight", values[f"{mlp}.gate.weight"])
        plain(f"{blk}.ffn_gate_inp.bias", values[f"{mlp}.gate.bias"])
        b1, s1, bias1 = (values[f"{mlp}.{k}"] for k in ("mlp1_weight.blocks", "mlp1_weight.scales", "mlp1_bias"))
        for start, part in enumerate(("gate", "up")):  # rows of mlp1 alternate gate, up
            experts(f"{blk}.ffn_{part}_exps.weight", b1[:, start::2], s1[:, start::2])
            plain(f"{blk}.ffn_{part}_exps.bias", bias1[:, start::2])
        experts(f"{blk}.ffn_down_exps.weight", values[f"{mlp}.mlp2_weight.blocks"], values[f"{mlp}.mlp2_weight.scales"])
        plain(f"{blk}.ffn_down_exps.bias", values[f"{mlp}.mlp2_bias"])
    plain("output_norm.weight", values["norm.scale"])
    matrix("output.weight", values["unembedding.weight"])
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


# --------------------------------------------------------------------------------------------------------------- CLI


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", required=True)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--layouts", default="hf", help="comma list of hf, original, gguf, dequantised")
    p.add_argument("--experts", choices=["mxfp4", "bf16"], default="mxfp4", help="bf16: sizes need not divide by 32; dequantised layout only")
    p.add_argument("--dense", default="BF16", help="GGUF type of embeddings and attention: F32, F16, BF16, Q8_0 (comma list)")
    p.add_argument("--shards", type=int, default=1, help="safetensors shards of hf and dequantised")
    short = {
        "layers": "num_hidden_layers", "experts-total": "num_experts", "top-k": "experts_per_token", "vocab": "vocab_size",
        "hidden": "hidden_size", "intermediate": "intermediate_size", "heads": "num_attention_heads",
        "kv-heads": "num_key_value_heads", "head-dim": "head_dim", "window": "sliding_window",
        "initial-context": "initial_context_length",
    }
    for option, field in short.items():
        p.add_argument(f"--{option}", dest=field, type=int, default=getattr(Shape, field))
    p.add_argument("--theta", dest="rope_theta", type=float, default=Shape.rope_theta)
    p.add_argument("--factor", dest="rope_scaling_factor", type=float, default=Shape.rope_scaling_factor)
    p.add_argument("--beta-slow", dest="rope_ntk_alpha", type=float, default=Shape.rope_ntk_alpha)
    p.add_argument("--beta-fast", dest="rope_ntk_beta", type=float, default=Shape.rope_ntk_beta)
    p.add_argument("--swiglu-limit", type=float, default=Shape.swiglu_limit)
    p.add_argument("--truncate", action="store_true")
    a = p.parse_args()
    shape = Shape(**{k: getattr(a, k) for k in Shape.__dataclass_fields__})
    values = draw(shape, a.seed, a.experts)
    layouts = a.layouts.split(",")
    low, high = shape.yarn_range()
    if not 0 < low < high < shape.head_dim / 2 - 1:
        print(f"note: OpenAI's code refuses this YaRN range, low {low:.2f}, high {high:.2f}: try a larger --initial-context or a smaller --beta-fast")
    if a.experts == "bf16" and layouts != ["dequantised"]:
        p.error("--experts bf16 goes with --layouts dequantised")
    for layout in layouts:
        folder = f"{a.out}/{layout}"
        if layout == "hf":
            write_hf(folder, shape, values, shards=a.shards)
        elif layout == "dequantised":
            write_hf(folder, shape, values, quantised=False, shards=a.shards)
        elif layout == "original":
            write_original(folder, shape, values)
        elif layout == "gguf":
            for dense in a.dense.split(","):
                write_gguf(f"{folder}/model-{dense}.gguf", shape, values, dense)
        else:
            p.error(f"unknown layout {layout}")
        print(folder, sum(os.path.getsize(f"{folder}/{x}") for x in os.listdir(folder)), "bytes")


if __name__ == "__main__":
    main()
