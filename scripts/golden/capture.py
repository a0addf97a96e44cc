"""Runs one of the two reference packages on a checkpoint folder and writes a trace of every activation.

    python capture.py --model DIR --ids FILE.json --out TRACE.safetensors --source openai|transformers
        [--dtype float64|float32|bfloat16] [--points GLOB,…] [--store float32|float64|bfloat16] [--threads N]

DIR: Hugging Face layout (MXFP4, or dequantised bf16 experts), or, with --source openai, also the original/ layout.
FILE.json: a list of token ids, or an object with such a list under "ids". Names and shapes: the table of trace points in the documentation.
"""

import argparse
import glob
import json
import os

import torch
import transformers

import tensors
from load import DTYPES, everything_double, load_openai, load_transformers
from record import Trace, record_openai, record_transformers

PACKAGES = {"openai": "gpt-oss 0.0.9 (gpt_oss.torch.model)", "transformers": f"transformers {transformers.__version__} (eager attention, eager experts)"}


def load_model(folder, source, dtype):
    return (load_openai if source == "openai" else load_transformers)(folder, DTYPES[dtype])


def logits_of(model, ids, source, dtype):
    with torch.inference_mode(), everything_double(DTYPES[dtype]):
        if source == "openai":
            return model(torch.tensor(ids, dtype=torch.int32))
        return model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]


def run(model, ids, source, dtype, points="*"):
    """The trace of one prompt, each tensor in the dtype that the package computed it in."""
    trace = Trace(points)
    with (record_openai if source == "openai" else record_transformers)(model, trace):
        logits_of(model, ids, source, dtype)
    return trace


def capture(folder, ids, source, dtype, points="*"):
    return run(load_model(folder, source, dtype), ids, source, dtype, points)


def stored(trace, ids, dtype=torch.float32):
    out = {k: v if v.dtype == torch.int32 else v.to(dtype) for k, v in trace.items()}
    return out | {"ids": torch.tensor(ids, dtype=torch.int32)}


def checkpoint_digest(folder):
    """SHA-256 over the SHA-256 of each weight file, by name."""
    import hashlib

    lines = [f"{tensors.sha256(f)}  {os.path.basename(f)}\n" for f in sorted(glob.glob(f"{folder}/*.safetensors"))]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", required=True)
    p.add_argument("--ids", required=True)
    p.add_argument("--out", required=True)
    p.add_argument("--source", choices=list(PACKAGES), required=True)
    p.add_argument("--dtype", choices=list(DTYPES), default="float32")
    p.add_argument("--points", default="*")
    p.add_argument("--store", choices=list(DTYPES), default="float32")
    p.add_argument("--threads", type=int, default=1)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    with open(a.ids) as f:
        ids = json.load(f)
    ids = ids["ids"] if isinstance(ids, dict) else ids
    trace = capture(a.model, ids, a.source, a.dtype, a.points)
    tensors.save(a.out, stored(trace, ids, DTYPES[a.store]), {
        "source": PACKAGES[a.source], "torch": torch.__version__, "dtype": a.dtype, "checkpoint": checkpoint_digest(a.model),
    })
    print(f"{a.out}: {len(trace)} points of {len(ids)} tokens, {os.path.getsize(a.out)} bytes")


if __name__ == "__main__":
    main()
