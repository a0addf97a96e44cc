"""Hugging Face's transformers behind the conformance protocol: an example, and a proof that the suite tells right from wrong.

    gpt-oss conformance --levels 1,2,5 --run 'python scripts/conformance/example_transformers.py'
    gpt-oss conformance --precision bfloat16 --run 'python scripts/conformance/example_transformers.py --dtype bfloat16'
    gpt-oss conformance --run 'python scripts/conformance/example_transformers.py --bug window-129'

Requirements: those of capture_transformers.py. Reads requests from standard input, one JSON object a line, and writes an answer
to each; docs/conformance.md describes them.
"""

import argparse
import json
import os
import sys
import tempfile

import torch
import transformers
from capture_transformers import DTYPES, TraceFile, load_model, record

transformers.utils.logging.disable_progress_bar()
HERE = os.path.dirname(os.path.abspath(__file__))


def no_yarn(model):
    rope = model.model.rotary_emb
    dim = model.config.head_dim
    rope.inv_freq = 1 / model.config.rope_parameters["rope_theta"] ** (torch.arange(0, dim, 2).float() / dim)
    rope.attention_scaling = 1.0


def truncated_yarn(model):
    model.config.rope_parameters["truncate"] = True
    model.model.rotary_emb = type(model.model.rotary_emb)(model.config)


def no_sinks(model):
    for layer in model.model.layers:
        layer.self_attn.sinks.data.fill_(-1e4)


def window(size):
    def set_window(model):
        model.config.sliding_window = size
        for layer in model.model.layers:
            if layer.self_attn.sliding_window is not None:
                layer.self_attn.sliding_window = size

    return set_window


def halves(model):
    """Gate and up as two halves, which is how other models have them."""
    for layer in model.model.layers:
        for p in (layer.mlp.experts.gate_up_proj, layer.mlp.experts.gate_up_proj_bias):
            half = p.shape[-1] // 2
            p.data = torch.stack([p.data[..., :half], p.data[..., half:]], -1).flatten(-2)


def limit(value):
    def set_limit(model):
        for layer in model.model.layers:
            layer.mlp.experts.limit = value

    return set_limit


def neighbours(model):
    """Positions one too high from the second token on: those of a loop that counts from 1 after the prompt's first pass."""
    rope = model.model.rotary_emb
    forward = rope.forward
    rope.forward = lambda x, position_ids: forward(x, position_ids + (position_ids > 0))


BUGS = {
    "window-129": window(129), "window-127": window(127), "no-yarn": no_yarn, "truncated-yarn": truncated_yarn,
    "no-sinks": no_sinks, "gate-up-halves": halves, "no-clamp": limit(1e9), "positions": neighbours,
}


class Runtime:
    def __init__(self, folder, dtype, bug):
        self.model, self.sessions = load_model(folder, dtype), {}
        if bug:
            BUGS[bug](self.model)
        self.trace_file = os.path.join(tempfile.mkdtemp(prefix="conformance-"), "trace.safetensors")

    def logits(self, ids, **options):
        return self.model(input_ids=torch.tensor([ids]), **options).logits[0].float().tolist()

    def answer(self, request):
        if "session" in request:
            return self.session(**{k: v for k, v in request.items() if k != "id"})
        if request.get("trace"):
            trace = TraceFile(self.trace_file)
            with record(self.model, trace):
                self.logits(request["ids"], use_cache=False)
            trace.close({})
            return {"file": self.trace_file}
        if "ids" in request:
            return {"logits": self.logits(request["ids"], use_cache=False)}
        return {"unsupported": True}

    def session(self, session, ids=(), truncate=None, close=False):
        if close:
            self.sessions.pop(session, None)
            return {}
        if truncate is not None:  # a cache of a sliding window that has gone on can't be cut back
            return {"unsupported": True}
        cache = self.sessions.setdefault(session, transformers.DynamicCache(config=self.model.config))
        return {"logits": self.logits(ids, past_key_values=cache, use_cache=True)}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    golden = os.environ.get("GPT_OSS_GOLDEN", f"{HERE}/../../golden")
    p.add_argument("--model", default=f"{golden}/model/checkpoint")
    p.add_argument("--dtype", choices=list(DTYPES), default="float32")
    p.add_argument("--bug", choices=list(BUGS), help="make this mistake on purpose")
    a = p.parse_args()
    torch.set_num_threads(1)
    runtime = Runtime(a.model, DTYPES[a.dtype], a.bug)
    with torch.inference_mode():
        for line in sys.stdin:
            request = json.loads(line)
            try:
                answer = runtime.answer(request)
            except Exception as error:
                answer = {"error": repr(error)}
            print(json.dumps({"id": request["id"], **answer}), flush=True)


if __name__ == "__main__":
    main()
