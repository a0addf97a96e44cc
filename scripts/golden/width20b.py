"""Goldens at gpt-oss-20b's own widths, from a checkpoint too large to commit → golden/width20b/.

    gpt-oss synth --shape 20b --layers 2 --format hf --out DIR
    python width20b.py --model DIR [--tokens 8] [--out ../../golden/width20b] [--threads 2]

DIR is a Hugging Face MXFP4 folder that a command writes deterministically; its digests go into the manifest. Four runs:
float64 and float32 (transformers), bfloat16 (both packages). Layers are built, run and dropped one at a time from the
packages' own block classes, which keeps memory below 14 GB; that this gives the bits of the whole model is asserted on
golden/model/checkpoint before anything else. Stored: for each point its rms, and 64 values at seeded places (points of at
most 256 values whole); for the logits of each token also the 20 largest.
"""

import argparse
import glob
import os
import resource
import time

import numpy as np
import torch
import transformers
from safetensors import safe_open
from transformers.integrations.mxfp4 import convert_moe_packed_tensors
from transformers.masking_utils import create_causal_mask, create_sliding_window_causal_mask
from transformers.models.gpt_oss import modeling_gpt_oss as hf

import gpt_oss.torch.model as openai
import tensors
from capture import PACKAGES, load_model, run
from load import CPU, DTYPES, everything_double, openai_checkpoint, openai_config, transformers_config
from model import distances, flips, round_3, ties
from record import Trace, record_openai_block, record_transformers_layer

RUNS = {"f64": ("transformers", "float64"), "f32": ("transformers", "float32"), "bf16-openai": ("openai", "bfloat16"), "bf16-transformers": ("transformers", "bfloat16")}
HERE = os.path.dirname(os.path.abspath(__file__))


class Folder:
    """Tensors of a Hugging Face folder by name, read when asked for."""

    def __init__(self, path):
        self.files = {}
        for file in sorted(glob.glob(f"{path}/*.safetensors")):
            with safe_open(file, "pt") as f:
                self.files |= dict.fromkeys(f.keys(), file)

    def __getitem__(self, name):
        with safe_open(self.files[name], "pt") as f:
            return f.get_tensor(name)


def head(x, weight, dtype):
    """lm_head / unembedding. In bf16 in one product, as the packages do; wider ones by rows of the vocabulary."""
    step = len(weight) if dtype == torch.bfloat16 else 16384
    return torch.cat([torch.nn.functional.linear(x, w.to(dtype)) for w in weight.split(step)], dim=-1)


def by_layers_openai(folder, ids, dtype):
    config, checkpoint, trace = openai_config(folder), openai_checkpoint(folder), Trace()
    x = torch.nn.functional.embedding(torch.tensor(ids), checkpoint.get("embedding.weight")).to(dtype)
    trace.note("embedding", x)
    for i in range(config.num_hidden_layers):
        block = openai.TransformerBlock(config, i, CPU).eval()
        for name, parameter in block.named_parameters():
            parameter.data.copy_(checkpoint.get(f"block.{i}.{name}"))
        block = block if dtype == torch.bfloat16 else block.to(dtype)
        with record_openai_block(block, i, trace):
            x = block(x)
    norm = openai.RMSNorm(config.hidden_size)
    norm.scale.data.copy_(checkpoint.get("norm.scale"))
    x = (norm if dtype == torch.bfloat16 else norm.to(dtype))(x)
    trace.note("norm", x)
    trace.note("logits", head(x, checkpoint.get("unembedding.weight"), dtype))
    return trace


def by_layers_transformers(folder, ids, dtype):
    config, weights, trace = transformers_config(folder), Folder(folder), Trace()
    x = torch.nn.functional.embedding(torch.tensor([ids]), weights["model.embed_tokens.weight"]).to(dtype)
    trace.note("embedding", x[0])
    masks = {"config": config, "inputs_embeds": x, "attention_mask": None, "cache": None}
    masks = {"full_attention": create_causal_mask(**masks), "sliding_attention": create_sliding_window_causal_mask(**masks)}
    at = torch.arange(len(ids))[None]
    positions = hf.GptOssRotaryEmbedding(config)(x, at)
    for i in range(config.num_hidden_layers):
        with torch.device("meta"):
            layer = hf.GptOssDecoderLayer(config, i).eval()
        state, prefix = {}, f"model.layers.{i}."
        for name, parameter in layer.named_parameters():
            stored = prefix + name
            if stored in weights.files:
                value = weights[stored]
            else:  # as transformers' own loader dequantises: to bf16, transposed
                value = convert_moe_packed_tensors(weights[stored + "_blocks"], weights[stored + "_scales"])
            state[name] = value.to(dtype)
            del value
        layer.load_state_dict(state, assign=True)
        del state
        with record_transformers_layer(layer, i, trace):
            x = layer(x, attention_mask=masks[config.layer_types[i]], position_embeddings=positions, position_ids=at)
        del layer
    norm = hf.GptOssRMSNorm(config.hidden_size, config.rms_norm_eps)
    norm.weight.data = weights["model.norm.weight"].to(dtype)
    x = norm(x)
    trace.note("norm", x[0])
    trace.note("logits", head(x[0], weights["lm_head.weight"], dtype))
    return trace


def by_layers(folder, ids, source, dtype):
    with torch.inference_mode(), everything_double(DTYPES[dtype]):
        return (by_layers_openai if source == "openai" else by_layers_transformers)(folder, ids, DTYPES[dtype])


def assert_equals_whole_model(folder):
    ids = list(range(5, 25))
    for source, dtype in [*RUNS.values(), ("openai", "float64")]:
        whole, layered = run(load_model(folder, source, dtype), ids, source, dtype), by_layers(folder, ids, source, dtype)
        assert whole.keys() == layered.keys()
        for name in whole:
            assert torch.equal(whole[name], layered[name]), (source, dtype, name)


def make(folder, out, tokens):
    assert_equals_whole_model(f"{HERE}/../../golden/model/checkpoint")
    config = transformers_config(folder)
    ids = np.random.Generator(np.random.PCG64(20)).integers(0, config.vocab_size, tokens).tolist()
    traces = {}
    for name, (source, dtype) in RUNS.items():
        start = time.time()
        traces[name] = by_layers(folder, ids, source, dtype)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"{name}: {time.time() - start:.0f} s, peak memory so far {peak:.1f} GiB", flush=True)

    g, sampled = np.random.Generator(np.random.PCG64(21)), {"ids": torch.tensor(ids, dtype=torch.int32)}
    for point in sorted(traces["f64"]):
        finite = traces["f64"][point].reshape(-1).isfinite().nonzero().flatten().numpy()
        at = finite if len(finite) <= 256 else np.sort(g.choice(finite, 64, replace=False))
        sampled[f"{point}.at"] = torch.from_numpy(at.astype(np.int32))
        for name, trace in traces.items():
            value = trace[point].reshape(-1)[at]
            sampled[f"{point}.{name}"] = value if value.dtype in (torch.int32, torch.bfloat16) else value.float()
    for name, trace in traces.items():
        top = trace["logits"].double().topk(20)
        sampled |= {f"top20.ids.{name}": top.indices.int(), f"top20.logits.{name}": top.values.float()}
    os.makedirs(out, exist_ok=True)
    tensors.save(f"{out}/samples.safetensors", sampled)
    pairs = [("f32", "f64"), ("bf16-openai", "f64"), ("bf16-transformers", "f64"), ("bf16-openai", "bf16-transformers")]
    checkpoint = {os.path.basename(f): {"bytes": os.path.getsize(f), "sha256": tensors.sha256(f)} for f in sorted([*glob.glob(f"{folder}/*.safetensors"), f"{folder}/config.json"])}
    tensors.write_json(f"{out}/manifest.json", {
        "command": "python scripts/golden/width20b.py --model DIR",
        "checkpoint": {"command": "gpt-oss synth --shape 20b --layers 2 --format hf --out DIR", "files": checkpoint},
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__, "gpt-oss": "0.0.9", "numpy": np.__version__},
        "ids": ids,
        "runs": {name: {"source": PACKAGES[source], "dtype": dtype} for name, (source, dtype) in RUNS.items()},
        "samples": "samples.safetensors: POINT.at = flat places in the row-major tensor, POINT.RUN = the values there; top20.ids.RUN, top20.logits.RUN [T, 20]",
        "sha256": tensors.sha256(f"{out}/samples.safetensors"),
        "rms": {name: {p: float(f"{tensors.rms(trace[p]):.9g}") for p in sorted(trace) if not p.endswith("expert_ids")} for name, trace in traces.items()},
        "distances": {f"{a} to {b}": distances(traces[a], traces[b]) for a, b in pairs},
        "routing": {"sets_differ": {f"{a} to {b}": flips(traces[a], traces[b]) for a, b in pairs}, "ties": {name: ties(trace, config.num_experts_per_tok) for name, trace in traces.items()}},
    })
    print(out, {f: os.path.getsize(f"{out}/{f}") for f in sorted(os.listdir(out))})


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", required=True)
    p.add_argument("--tokens", type=int, default=8)
    p.add_argument("--out", default=f"{HERE}/../../golden/width20b")
    p.add_argument("--threads", type=int, default=2)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    make(a.model, os.path.normpath(a.out), a.tokens)
