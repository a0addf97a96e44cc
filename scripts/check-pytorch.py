"""The PyTorch side of check-pytorch.ts: reads jobs from stdin, one JSON object a line, and answers each with one line.

One process serves all seeds, since importing torch and transformers takes longer than running these models.
"""

import contextlib
import json
import os
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden"))

import torch

import capture
import checkpoint
import load
import tensors


def make(arguments):
    """A random checkpoint, by checkpoint.py's command line."""
    sys.argv = ["checkpoint.py", *arguments]
    checkpoint.main()


def trace(model, ids, source, dtype, out, store="float32"):
    t = capture.capture(model, ids, source, dtype)
    tensors.save(out, capture.stored(t, ids, load.DTYPES[store]))


def plain_double(model, ids, source, out):
    """Logits of `model.double()` as anybody would call it: norms, RoPE's angles, cos and sin stay float32 inside."""
    m = capture.load_model(model, source, "bfloat16").double()
    with torch.inference_mode():
        x = torch.tensor(ids)
        logits = m(x) if source == "openai" else m(input_ids=x[None], use_cache=False).logits[0]
    tensors.save(out, {"logits": logits})


def greedy(model, ids, tokens):
    """Greedy continuation by transformers' generate in float32, and each step's margin between the best two logits."""
    m = load.load_transformers(model, torch.float32)
    m.generation_config.eos_token_id = None
    out = m.generate(
        torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)), do_sample=False, max_new_tokens=tokens, use_cache=False,
        output_logits=True, return_dict_in_generate=True, pad_token_id=1,
    )
    best = [step[0].topk(2).values.tolist() for step in out.logits]
    return {"ids": out.sequences[0, len(ids) :].tolist(), "margins": [a - b for a, b in best]}


def save(model, out, dtype, shard_size):
    """The checkpoint as transformers itself saves it, experts dequantised."""
    m = load.load_transformers(model, load.DTYPES[dtype])
    m.config.quantization_config = None
    del m.config.quantization_config
    m.save_pretrained(out, max_shard_size=shard_size)


torch.set_num_threads(1)
for line in sys.stdin:
    job = json.loads(line)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            answer = globals()[job.pop("do")](**job)
        print(json.dumps({"answer": answer}), flush=True)
    except Exception as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
