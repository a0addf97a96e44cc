"""The whole-model goldens: one small random MXFP4 checkpoint and its activations → golden/model/.

    python model.py [--out ../../golden/model]

One run of 300 tokens serves every prompt length up to 300: the model is causal, so the run of a prefix is the first rows
of the run of the whole, which is asserted in float64 for each length in PREFIXES. Long tensors are cut the same way: a
stored tensor holds the first n tokens of the run, n being its token dimension(s).
"""

import argparse
import os
import re
import shutil

import numpy as np
import torch
import transformers

import checkpoint
import tensors
from capture import PACKAGES, load_model, logits_of, run, stored

# A seed under which no token's 4th and 5th router logit are equal in either bf16 run: torch.topk then has no choice.
SEED = 142
TOKENS = 300  # the checkpoint's original context length is 256
PREFIXES = [1, 2, 64, 127, 128, 129, 130, 257]
EXPERT_POINTS = re.compile(r"moe\.(gate_up|swiglu|down)$")
MATRICES = re.compile(r"attn\.(scores|weights)$")
# file → (source, dtype, dtype stored, tokens kept of expert points, of matrices)
FILES = {
    "f64": ("openai", "float64", torch.float32, 80, 129),
    "bf16-openai": ("openai", "bfloat16", torch.bfloat16, 48, 64),
    "bf16-transformers": ("transformers", "bfloat16", torch.bfloat16, 48, 64),
}


def cut(trace, experts, matrices):
    def first(name, t):
        if MATRICES.search(name):
            return t[:, :matrices, :matrices]
        return t[:experts] if EXPERT_POINTS.search(name) else t

    return {k: first(k, v).contiguous() for k, v in trace.items()}


def prefix(name, t, n):
    return t[:, :n, :n] if MATRICES.search(name) else t[:, :n] if name.endswith("attn.sink") else t[:n]


def group(name):
    return re.sub(r"^layers\.\d+\.", "", name)


def tokens_first(name, t):
    """[T, everything else]"""
    by_head = name.endswith(("attn.sink", "attn.scores", "attn.weights"))
    return (t.transpose(0, 1) if by_head else t).flatten(1)


def distances(a, b):
    """Per point group: rms(a − b)/rms(b) over everything, and the median over tokens of the same ratio, which a few
    routing flips can't sway. Expert points count only where both runs put the same expert at the same rank."""
    total, per_token = {}, {}
    for name, y in b.items():
        if name.endswith("expert_ids"):
            continue
        x, y = (tokens_first(name, t).double() for t in (a[name], y))
        keep = y.isfinite() & x.isfinite()
        if EXPERT_POINTS.search(name):
            ids = name.rsplit(".", 1)[0] + ".expert_ids"
            same = a[ids] == b[ids]
            keep &= same.repeat_interleave(y.shape[1] // same.shape[1], dim=1)
        d2, y2 = (torch.where(keep, v, 0).pow(2).sum(1) for v in (x - y, y))
        t = total.setdefault(group(name), [0.0, 0.0])
        t[0] += float(d2.sum())
        t[1] += float(y2.sum())
        per_token.setdefault(group(name), []).append((d2[y2 > 0] / y2[y2 > 0]).sqrt())
    return {g: {"all": round_3((d / y) ** 0.5), "median_token": round_3(float(torch.cat(per_token[g]).median()))} for g, (d, y) in total.items()}


def round_3(x):
    return float(f"{x:.2e}")


def flips(a, b):
    """[layer, token] where the chosen *sets* differ."""
    out = []
    for name in a:
        if name.endswith("expert_ids"):
            differ = (a[name].sort(1).values != b[name].sort(1).values).any(1)
            out += [[int(name.split(".")[1]), t] for t in differ.nonzero().flatten().tolist()]
    return out


def ties(trace, k):
    """[layer, token, rank] where the logits of rank and rank + 1 are equal (rank 0 = largest; k − 1 would be a real choice)."""
    out = []
    for name, g in trace.items():
        if name.endswith("router_logits"):
            s = g.double().sort(-1, descending=True).values[:, : k + 1]
            out += [[int(name.split(".")[1]), *where] for where in (s[:, 1:] == s[:, :-1]).nonzero().tolist()]
    return out


def samples(trace, per_point=16):
    g, out = np.random.Generator(np.random.PCG64(1)), {}
    for name in sorted(trace):
        flat = trace[name].reshape(-1)
        at = sorted(g.choice(flat.numel(), min(per_point, flat.numel()), replace=False).tolist())
        out[name] = {"rms": tensors.rms(flat), "at": at, "values": [v if abs(v) < float("inf") else None for v in flat[at].tolist()]}
    return out


def make(out):
    shape = checkpoint.Shape()
    shutil.rmtree(out, ignore_errors=True)
    values = checkpoint.draw(shape, SEED, "mxfp4")
    checkpoint.write_hf(f"{out}/checkpoint", shape, values)
    checkpoint.write_original(f"{out}/original", shape, values)
    for dense in ("BF16", "F32"):
        checkpoint.write_gguf(f"{out}/gguf/model-{dense}.gguf", shape, values, dense)
    ids = np.random.Generator(np.random.PCG64(SEED)).integers(0, shape.vocab_size, TOKENS).tolist()
    tensors.write_json(f"{out}/ids.json", {"ids": ids})

    traces = {}
    for source in PACKAGES:
        for dtype in ("float64", "float32", "bfloat16"):
            folder = f"{out}/checkpoint"
            model = load_model(folder, source, dtype)
            trace = traces[source, dtype] = run(model, ids, source, dtype)
            assert torch.equal(trace["logits"], logits_of(model, ids, source, dtype)), "watching changed the run"
            assert all(v.dtype in (trace["logits"].dtype, torch.int32) for v in trace.values())
            assert str(trace["logits"].dtype) == f"torch.{dtype}"
            if source == "openai":
                again = run(load_model(f"{out}/original", source, dtype), ids, source, dtype)
                assert all(torch.equal(again[k], trace[k]) for k in trace), "the original layout gives other bits"
            if dtype == "float64":
                for n in PREFIXES:
                    for name, t in run(model, ids[:n], source, dtype).items():
                        error = tensors.distance(t, prefix(name, trace[name], n))
                        assert error < 1e-12, (source, n, name, error)
            if dtype == "bfloat16":  # the noise that is left inside one dialect: the same run by other matmul kernels
                with torch.backends.mkldnn.flags(enabled=False):
                    traces[source, "reordered"] = run(model, ids, source, dtype)
    truth = traces["openai", "float64"]
    worst = max(tensors.distance(traces["transformers", "float64"][k], truth[k]) for k in truth)
    assert worst < 1e-12, worst
    for source in PACKAGES:
        assert all(rank < shape.experts_per_token - 1 for _, _, rank in ties(traces[source, "bfloat16"], shape.experts_per_token))

    sizes = {}
    for file, (source, dtype, store, experts, matrices) in FILES.items():
        trace = traces[source, dtype]
        tensors.save(f"{out}/{file}.safetensors", stored(cut(trace, experts, matrices), ids, store), {"source": PACKAGES[source], "dtype": dtype, "torch": torch.__version__})
        sizes[file] = {"source": PACKAGES[source], "computed_in": dtype, "stored_as": tensors.NAMES[store], "tokens": {"expert points (gate_up, swiglu, down)": experts, "scores, weights": matrices, "else": TOKENS}}
    tensors.write_json(f"{out}/f32-samples.json", {s: samples(traces[s, "float32"]) for s in PACKAGES})

    pairs = {
        "f32-openai to f64": (("openai", "float32"), ("openai", "float64")),
        "f32-transformers to f64": (("transformers", "float32"), ("openai", "float64")),
        "bf16-openai to f64": (("openai", "bfloat16"), ("openai", "float64")),
        "bf16-transformers to f64": (("transformers", "bfloat16"), ("openai", "float64")),
        "bf16-openai to bf16-transformers": (("openai", "bfloat16"), ("transformers", "bfloat16")),
        "bf16-openai to itself by other matmul kernels": (("openai", "bfloat16"), ("openai", "reordered")),
        "bf16-transformers to itself by other matmul kernels": (("transformers", "bfloat16"), ("transformers", "reordered")),
    }
    files = sorted(os.path.relpath(os.path.join(d, f), out) for d, _, fs in os.walk(out) for f in fs)
    manifest = {
        "command": "python scripts/golden/model.py",
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__, "gpt-oss": "0.0.9", "gguf": "0.19.0", "numpy": np.__version__},
        "seed": SEED,
        "shape": shape.original | {"truncate": shape.truncate},
        "prompts": {"ids": "ids.json", "tokens": TOKENS, "prefixes_asserted": PREFIXES},
        "traces": sizes,
        "f32-samples.json": "both packages in float32: per point the rms, and values at flat places of the row-major 300-token tensor; null where masked",
        "f64_packages_agree_within": round_3(worst),
        "distances": {name: distances(traces[a], traces[b]) for name, (a, b) in pairs.items()},
        "routing": {
            "what": "[layer, token] where the chosen sets differ; [layer, token, rank] of exact ties of the logits at rank and rank + 1 inside the chosen (torch.topk may order those as it likes)",
            "sets_differ": {name: flips(traces[a], traces[b]) for name, (a, b) in pairs.items()},
            "ties": {f"bf16-{s}": ties(traces[s, "bfloat16"], shape.experts_per_token) for s in PACKAGES},
        },
        "files": {f: {"bytes": os.path.getsize(f"{out}/{f}"), "sha256": tensors.sha256(f"{out}/{f}")} for f in files},
    }
    tensors.write_json(f"{out}/manifest.json", manifest)
    print(f"{out}: {sum(v['bytes'] for v in manifest['files'].values())} bytes")
    for f, v in manifest["files"].items():
        print(f"{v['bytes']:8d}  {f}")
    for name, d in manifest["distances"].items():
        print(name, {g: v for g, v in d.items() if g in ("attn.context", "moe.out", "moe.residual", "logits")}, len(manifest["routing"]["sets_differ"][name]), "flips")


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../golden/model"))
    torch.set_num_threads(1)
    make(os.path.normpath(p.parse_args().out))
