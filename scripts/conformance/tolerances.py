"""How far correct runs stray from the truth, by the precision that they compute in → golden/conformance/tolerances.json.

    python tolerances.py [--out ../../golden/conformance/tolerances.json]

Each figure is the distance of a run of the unmodified packages on golden/model from the same run in float64. int16 and int8 are
float32 runs in which what goes into the experts' products is rounded to so many bits first, with one scale for 32 values, as
runtimes with integer kernels do. Requirements: scripts/golden/requirements.txt.
"""

import argparse
import json
import os
import sys

import torch
import transformers
from torch.overrides import TorchFunctionMode
from transformers.models.gpt_oss.modeling_gpt_oss import GptOssRotaryEmbedding

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, f"{HERE}/../golden")
import tensors  # noqa: E402
from capture import PACKAGES, load_model, run  # noqa: E402
from model import PREFIXES, distances, round_3  # noqa: E402
from record import Trace, record_transformers  # noqa: E402

FACTOR = 3
WHAT = {
    "float32": "activations in float32",
    "int16": "float32, but 16-bit integers in blocks of 32 ahead of the experts' products",
    "float16": "activations in float16; the real models overflow it in late layers",
    "bfloat16": "activations in bfloat16, as both packages do by default",
    "int8": "float32, but 8-bit integers in blocks of 32 ahead of the experts' products, as llama.cpp does",
}


class Quantised(TorchFunctionMode):
    """Rounds the left side of every product within the experts to integers of −levels … levels times a scale a block."""

    def __init__(self, levels):
        super().__init__()
        self.levels, self.inside, self.products = levels, False, 0

    def rounded(self, x):
        blocks = x.unflatten(-1, (-1, 32))
        scale = blocks.abs().amax(-1, keepdim=True) / self.levels
        return ((blocks / torch.where(scale > 0, scale, 1)).round() * scale).flatten(-2)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if self.inside and getattr(func, "__name__", "") in ("linear", "matmul", "__matmul__"):
            self.products += 1
            args = (self.rounded(args[0]), *args[1:])
        return func(*args, **(kwargs or {}))


def run_quantised(folder, ids, levels):
    model, mode, trace = load_model(folder, "transformers", "float32"), Quantised(levels), Trace()
    for layer in model.model.layers:
        layer.mlp.experts.register_forward_pre_hook(lambda *_: setattr(mode, "inside", True))
        layer.mlp.experts.register_forward_hook(lambda *_: setattr(mode, "inside", False))
    with torch.inference_mode(), mode, record_transformers(model, trace):
        model(input_ids=torch.tensor([ids]), use_cache=False)
    assert mode.products >= 4, "the experts' products were not seen"
    return trace


def run_float16(folder, ids):
    model, trace = load_model(folder, "transformers", "float32").half(), Trace()
    model.model.rotary_emb = GptOssRotaryEmbedding(model.config)  # half() narrows its frequencies, too
    with torch.inference_mode(), record_transformers(model, trace):
        model(input_ids=torch.tensor([ids]), use_cache=False)
    return trace


def stray(trace, truth, lengths):
    """Relative rms of logits over whole prompts and over single tokens, of the other points by name, and of the routing."""
    y = truth["logits"]
    d2, y2 = (trace["logits"].double() - y).pow(2).sum(1), y.pow(2).sum(1)
    token = (d2 / y2).sqrt()
    ids = [name for name in truth if name.endswith("expert_ids")]
    pairs = torch.cat([(trace[n] != truth[n]).flatten() for n in ids]).double().mean()
    sets = torch.cat([(trace[n].sort(1).values != truth[n].sort(1).values).any(1) for n in ids]).double().mean()
    return {
        "prompt": max(float((d2[:n].sum() / y2[:n].sum()).sqrt()) for n in lengths),
        "token_p95": float(token.quantile(0.95)),
        "token_max": float(token.max()),
        "top1": float((trace["logits"].argmax(1) == truth["logits"].argmax(1)).double().mean()),
        "pairs_differ": float(pairs),
        "sets_differ": float(sets),
        "points": {name: d["all"] for name, d in distances(trace, truth).items()},
    }


def worst(strays):
    """Of several runs of one precision the larger distance, figure by figure."""
    first = strays[0]
    pick = {name: (min if name == "top1" else max)(s[name] for s in strays) for name in first if name != "points"}
    points = {name: max(s["points"][name] for s in strays) for name in first["points"]}
    return {name: round_3(value) for name, value in pick.items()} | {"points": points}


def make(out):
    folder = f"{HERE}/../../golden/model"
    with open(f"{folder}/ids.json") as f:
        ids = json.load(f)["ids"]
    checkpoint = f"{folder}/checkpoint"
    watched = {(source, dtype): run(load_model(checkpoint, source, dtype), ids, source, dtype) for source in PACKAGES for dtype in ("float64", "float32", "bfloat16")}
    truth = watched["openai", "float64"]
    runs = {dtype: {PACKAGES[source]: watched[source, dtype] for source in PACKAGES} for dtype in ("float32", "bfloat16")}
    runs["float16"] = {PACKAGES["transformers"]: run_float16(checkpoint, ids)}
    for name, levels in (("int16", 32767), ("int8", 127)):
        runs[name] = {f"{PACKAGES['transformers']}, inputs of the experts' products rounded to ±{levels}": run_quantised(checkpoint, ids, levels)}
    tensors.write_json(out, {
        "what": "Relative rms, rms(a − b) / rms(b), of correct runs a from float64 runs b on golden/model. Logits: prompt, over all tokens of the worst prefix; token_*, over single tokens of 300. pairs_differ: share of (token, rank) with another expert. points: by name within a layer, the experts' own where both chose the same expert.",
        "maker": "scripts/conformance/tolerances.py",
        "sources": {"torch": torch.__version__, "transformers": transformers.__version__, "gpt-oss": "0.0.9"},
        "factor": FACTOR,
        "factor_reason": "A correct run may stray three times as far as these: other kernels add in another order, and other prompts are less lucky. The nearest bug known (a truncated YaRN range) strays over ten times as far as float32.",
        "precisions": {name: {"what": WHAT[name], "runs": list(runs[name]), **worst([stray(t, truth, [*PREFIXES, len(ids)]) for t in runs[name].values()])} for name in WHAT},
    })


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", default=f"{HERE}/../../golden/conformance/tolerances.json")
    torch.set_num_threads(1)
    make(os.path.normpath(p.parse_args().out))
