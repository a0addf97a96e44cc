"""Writes a training checkpoint as a Hugging Face folder with the layout of openai/gpt-oss-20b.

Expert matrices become MXFP4 blocks and scales (U8), everything else bfloat16. `load` reads such a folder back.

    python export.py ../../train-run/final.pt
"""

import argparse
import hashlib
import importlib.metadata
import json
import platform
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

import mxfp4
from harmony import GOLDEN
from model import Config, Transformer

# our name: Hugging Face name, within a layer
LAYER_NAMES = {
    "attn.norm.scale": "input_layernorm.weight",
    "attn.out.weight": "self_attn.o_proj.weight",
    "attn.out.bias": "self_attn.o_proj.bias",
    "attn.sinks": "self_attn.sinks",
    "mlp.norm.scale": "post_attention_layernorm.weight",
    "mlp.router.weight": "mlp.router.weight",
    "mlp.router.bias": "mlp.router.bias",
    "mlp.gate_up_bias": "mlp.experts.gate_up_proj_bias",
    "mlp.down_bias": "mlp.experts.down_proj_bias",
}
EXPERTS = {"mlp.gate_up": "mlp.experts.gate_up_proj", "mlp.down": "mlp.experts.down_proj"}
NAMES = {
    "embedding.weight": "model.embed_tokens.weight",
    "norm.scale": "model.norm.weight",
    "unembedding.weight": "lm_head.weight",
}


def qkv_sizes(c: Config) -> list[int]:
    return [n * c.head_dim for n in (c.num_attention_heads, c.num_key_value_heads, c.num_key_value_heads)]


def tensors(state: dict, config: Config) -> dict[str, torch.Tensor]:
    out = {theirs: state[ours].bfloat16() for ours, theirs in NAMES.items()}
    for i in range(config.num_hidden_layers):
        mine, their = f"blocks.{i}.", f"model.layers.{i}."
        for ours, theirs in LAYER_NAMES.items():
            out[their + theirs] = state[mine + ours].bfloat16()
        for kind in "weight", "bias":
            parts = state[f"{mine}attn.qkv.{kind}"].bfloat16().split(qkv_sizes(config))
            for name, part in zip("qkv", parts):
                out[f"{their}self_attn.{name}_proj.{kind}"] = part
        for ours, theirs in EXPERTS.items():
            blocks, scales = mxfp4.quantize(state[mine + ours])
            out[f"{their}{theirs}_blocks"], out[f"{their}{theirs}_scales"] = blocks, scales
    return {name: t.contiguous() for name, t in out.items()}


def config_json(c: Config, ids) -> dict:
    return {
        "architectures": ["GptOssForCausalLM"],
        "attention_bias": True,
        "attention_dropout": 0.0,
        "eos_token_id": ids("return"),
        "experts_per_token": c.num_experts_per_tok,
        "head_dim": c.head_dim,
        "hidden_act": "silu",
        "hidden_size": c.hidden_size,
        "initial_context_length": c.initial_context_length,
        "initializer_range": 0.02,
        "intermediate_size": c.intermediate_size,
        "layer_types": [("sliding_attention", "full_attention")[i % 2] for i in range(c.num_hidden_layers)],
        "max_position_embeddings": c.initial_context_length * int(c.rope_scaling_factor),
        "model_type": "gpt_oss",
        "num_attention_heads": c.num_attention_heads,
        "num_experts_per_tok": c.num_experts_per_tok,
        "num_hidden_layers": c.num_hidden_layers,
        "num_key_value_heads": c.num_key_value_heads,
        "num_local_experts": c.num_local_experts,
        "output_router_logits": False,
        "pad_token_id": ids("endoftext"),
        "quantization_config": {
            "modules_to_not_convert": [
                "model.layers.*.self_attn",
                "model.layers.*.mlp.router",
                "model.embed_tokens",
                "lm_head",
            ],
            "quant_method": "mxfp4",
        },
        "rms_norm_eps": c.rms_norm_eps,
        "rope_scaling": {
            "beta_fast": c.rope_ntk_beta,
            "beta_slow": c.rope_ntk_alpha,
            "factor": c.rope_scaling_factor,
            "original_max_position_embeddings": c.initial_context_length,
            "rope_type": "yarn",
            "truncate": False,
        },
        "rope_theta": int(c.rope_theta),
        "router_aux_loss_coef": 0.9,
        "sliding_window": c.sliding_window,
        "swiglu_limit": c.swiglu_limit,
        "tie_word_embeddings": False,
        "transformers_version": "4.55.0.dev0",
        "use_cache": True,
        "vocab_size": c.vocab_size,
    }


def generation_config_json(ids) -> dict:
    return {
        "bos_token_id": ids("startoftext"),
        "do_sample": False,  # so small a model is better greedy; the large ones say true
        "eos_token_id": [ids("return"), ids("endoftext"), ids("call")],
        "pad_token_id": ids("endoftext"),
        "transformers_version": "4.55.0.dev0",
    }


def load(folder: Path) -> Transformer:
    """The model as the files in the folder define it: experts dequantised, bfloat16 weights, float32 compute."""
    j = json.loads((folder / "config.json").read_text())
    scaling = j["rope_scaling"]
    config = Config(
        **{k: j[k] for k in Config.__dataclass_fields__ if k in j},
        rope_scaling_factor=scaling["factor"],
        rope_ntk_alpha=scaling["beta_slow"],
        rope_ntk_beta=scaling["beta_fast"],
    )
    stored = load_file(folder / "model.safetensors")
    state = {ours: stored[theirs].float() for ours, theirs in NAMES.items()}
    for i in range(config.num_hidden_layers):
        mine, their = f"blocks.{i}.", f"model.layers.{i}."
        for ours, theirs in LAYER_NAMES.items():
            state[mine + ours] = stored[their + theirs].float()
        for kind in "weight", "bias":
            parts = [stored[f"{their}self_attn.{name}_proj.{kind}"].float() for name in "qkv"]
            state[f"{mine}attn.qkv.{kind}"] = torch.cat(parts)
        for ours, theirs in EXPERTS.items():
            pair = (stored[f"{their}{theirs}_{part}"] for part in ("blocks", "scales"))
            state[mine + ours] = mxfp4.dequantize(*pair)
    model = Transformer(config)
    model.load_state_dict(state)
    return model.eval()


def write_manifest(folder: Path, training: dict | None = None):
    """Digests of all files but the card, and how the weights came about (kept from the manifest there, if not given)."""
    path = folder / "manifest.json"
    if training is None:
        training = json.loads(path.read_text())["training"]
    files = {}
    for file in sorted(folder.iterdir()):
        if file.is_file() and file != path and file.name != "README.md":
            data = file.read_bytes()
            files[file.name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    path.write_text(json.dumps({"files": files, "training": training}, indent=2) + "\n")


def command(args: dict, minutes: float) -> str:
    names = ["lr", "warmup", "weight_decay", "clip", "balance", "quantize_from", "workers", "seed"]
    flags = " ".join(f"--{n.replace('_', '-')} {args[n]}" for n in names)
    return f"python scripts/train/train.py --out train-run --minutes {minutes:.0f} {flags}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--out", type=Path, default=GOLDEN, help="folder that has tokenizer.json already")
    parser.add_argument("--note", help="anything about the training that its last command doesn't say")
    args = parser.parse_args()

    saved = torch.load(args.checkpoint, weights_only=False, map_location="cpu")
    config = Config(**saved["config"])
    tokenizer = Tokenizer.from_file(str(args.out / "tokenizer.json"))
    ids = lambda name: tokenizer.token_to_id(f"<|{name}|>")
    weights = tensors(saved["model"], config)
    save_file(weights, args.out / "model.safetensors", metadata={"format": "pt"})
    (args.out / "model.safetensors").chmod(0o644)
    for name, value in ("config", config_json(config, ids)), ("generation_config", generation_config_json(ids)):
        (args.out / f"{name}.json").write_text(json.dumps(value, indent=2) + "\n")
    versions = {p: importlib.metadata.version(p) for p in ("torch", "numpy", "safetensors", "tokenizers")}
    write_manifest(
        args.out,
        {
            "command": command(saved["args"], saved["args"]["seconds"] / 60),
            **({"note": args.note} if args.note else {}),
            "steps": saved["steps"],
            "wall_minutes": round(saved["seconds"] / 60, 1),
            "hardware": "2 CPU cores (AVX-512), shared with other work",
            "seed": saved["args"]["seed"],
            "versions": {"python": platform.python_version(), **versions},
        },
    )
    size = sum(f.stat().st_size for f in args.out.iterdir())
    print(f"{len(weights)} tensors after {saved['steps']} steps -> {args.out}, {size / 1e6:.2f} MB in all")


if __name__ == "__main__":
    main()
