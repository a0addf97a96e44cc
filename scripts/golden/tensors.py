"""Safetensors files whose bytes depend on their contents alone, and the two measures used everywhere: rms and SHA-256.

The `safetensors` library writes metadata in hash order, so equal contents give unequal files; goldens carry digests,
hence this writer. Reading goes through the library, which checks our files at the same time.
"""

import hashlib
import json
import os
import re
import struct

import numpy as np
import torch
from safetensors import safe_open

NAMES = {
    torch.float64: "F64", torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16",
    torch.int64: "I64", torch.int32: "I32", torch.uint8: "U8",
}


def save(path, tensors, metadata=None):
    """tensors: name → torch tensor or numpy array. Widest dtype first (so that all are aligned), then by name."""
    tensors = {k: torch.from_numpy(np.ascontiguousarray(v)) if isinstance(v, np.ndarray) else v for k, v in tensors.items()}
    order = sorted(tensors, key=lambda k: (-tensors[k].element_size(), k))
    header, offset = {}, 0
    if metadata:
        header["__metadata__"] = {k: str(metadata[k]) for k in sorted(metadata)}
    for name in order:
        t = tensors[name]
        end = offset + t.numel() * t.element_size()
        header[name] = {"dtype": NAMES[t.dtype], "shape": list(t.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path + ".part", "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for name in order:
            # a clone in standard strides: a tensor of one element may have others, which view() refuses
            flat = tensors[name].reshape(-1).clone(memory_format=torch.contiguous_format)
            f.write(flat.view(torch.uint8).numpy().tobytes())
    os.replace(path + ".part", path)


def load(path):
    with safe_open(path, "pt") as f:
        return {k: f.get_tensor(k) for k in f.keys()}


def rms(t):
    t = t.double().reshape(-1)
    t = t[t.isfinite()]
    return float(t.pow(2).mean().sqrt()) if t.numel() else 0.0


def distance(a, b):
    """rms(a − b) / rms(b). Masked places are −inf in both or it is an error."""
    a, b = a.double(), b.double()
    keep = b.isfinite()
    if not torch.equal(a.isfinite(), keep):
        return float("inf")
    return rms((a - b)[keep]) / max(rms(b), 1e-300)


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_json(path, value):
    with open(path + ".part", "w") as f:
        text = json.dumps(value, indent=1, ensure_ascii=False)
        # A list of plain numbers, or of lists of them, goes on one line.
        text = re.sub(r"\[(?:[-\d\s.,e+nul]|\[[-\d\s.,e+]*\])*\]", lambda m: re.sub(r"\s+", "", m[0]).replace(",", ", "), text)
        f.write(text + "\n")
    os.replace(path + ".part", path)
