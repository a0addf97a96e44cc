"""Runs reference packages with bugs edited into their source, and correct ones, and writes their logits.

    python scripts/mutants/make.py --out DIR [--seeds N] [--small FOLDER] [--tokens 300]

For each of N random checkpoints (seeds 1 to N; the last one has a square down projection), and for FOLDER, a checkpoint that is
there already: every bug of bugs.py in float32 and bfloat16, and correct runs. DIR/cases.json lists them for
scripts/check-diagnose.ts. An edit whose text isn't found ends it all.
"""

import argparse
import copy
import importlib.util
import json
import os
import sys

import numpy as np
import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden"))
import checkpoint as checkpoints  # noqa: E402
import load  # noqa: E402
import tensors  # noqa: E402
from bugs import BUGS, CORRECT  # noqa: E402
from gpt_oss.torch import model as openai  # noqa: E402
from transformers.models.gpt_oss import modeling_gpt_oss as hf  # noqa: E402

ORIGINAL = {"transformers": hf, "openai": openai}
DTYPES = ("float32", "bfloat16")


def patched(bug, folder):
    """The package's module with the bug's edits, imported from a file of its own."""
    original = ORIGINAL[bug.source]
    with open(original.__file__) as f:
        text = f.read()
    for old, new in bug.edits:
        if old not in text:
            raise SystemExit(f"{bug.name}: not found in {original.__file__}:\n{old}")
        text = text.replace(old, new)
    path = os.path.join(folder, "patched.py")
    with open(path, "w") as f:
        f.write(text)
    spec = importlib.util.spec_from_file_location(original.__name__, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def logits_of(module, base, ids, dtype):
    """base: the unmodified model in bfloat16, whose weights the module's own class takes over."""
    dtype = load.DTYPES[dtype]
    with torch.inference_mode():
        if module.__name__ == openai.__name__:
            model = module.Transformer(base.config, load.CPU).eval()
            model.load_state_dict(base.state_dict())
            model = model if dtype == torch.bfloat16 else model.to(dtype)
            return model(torch.tensor(ids, dtype=torch.int32))
        model = module.GptOssForCausalLM(copy.deepcopy(base.config)).to(torch.bfloat16).eval()  # bugs write into the config
        model.load_state_dict(base.state_dict())
        model = model.to(dtype)
        model.model.rotary_emb = module.GptOssRotaryEmbedding(model.config)  # frequencies as they were before the casts
        return model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]


def bases(folder):
    hugging_face = load.load_transformers(folder, torch.bfloat16)
    original = load.load_openai(folder, torch.bfloat16)
    original.config = load.openai_config(folder)
    return {"transformers": hugging_face, "openai": original}


def check_unpatched(base, ids, folder):
    """A module without edits gives the bits of the package's own."""
    for bug in CORRECT:
        with torch.inference_mode():
            ours = logits_of(patched(bug, folder), base[bug.source], ids, "bfloat16")
            model = base[bug.source]
            own = model(torch.tensor(ids, dtype=torch.int32)) if bug.source == "openai" else model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
        assert torch.equal(ours, own), bug.source


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", required=True)
    p.add_argument("--seeds", type=int, default=3)
    p.add_argument("--first", type=int, default=1)
    p.add_argument("--correct-seeds", type=int, default=10)
    p.add_argument("--small", help="a checkpoint in the Hugging Face layout, such as golden/small")
    p.add_argument("--tokens", type=int, default=300)
    a = p.parse_args()
    torch.set_num_threads(1)
    os.makedirs(a.out, exist_ok=True)
    cases = []

    def run(folder, name, bugs, lengths, square=False):
        vocab = load.read_config(folder)["vocab_size"]
        base = bases(folder)
        check_unpatched(base, list(range(3, 43)), a.out)
        for tokens in lengths:
            ids = np.random.Generator(np.random.Philox(key=[7, tokens])).integers(3, vocab, tokens).tolist()
            for bug in bugs:
                if bug.square and not square:
                    continue
                module = patched(bug, a.out)
                for dtype in DTYPES:
                    with torch.inference_mode():
                        logits = logits_of(module, base[bug.source], ids, dtype)
                    file = f"{name}-{bug.source}-{bug.name.replace(' ', '-').replace('/', '-')}-{dtype}-{tokens}.safetensors"
                    tensors.save(f"{a.out}/{file}", {"ids": torch.tensor(ids, dtype=torch.int32), "logits": logits})
                    cases.append({
                        "checkpoint": folder, "name": name, "file": file, "bug": bug.name, "source": bug.source, "dtype": dtype,
                        "tokens": tokens, "answers": bug.answers, "together": bug.together,
                    })
        tensors.write_json(f"{a.out}/cases.json", cases)
        print(name, len(cases), flush=True)

    for seed in range(a.first, a.first + max(a.seeds, a.correct_seeds)):
        square = seed == a.first + a.seeds - 1
        folder = f"{a.out}/seed{seed}"
        shape = checkpoints.Shape(hidden_size=64, intermediate_size=64 if square else 32, num_hidden_layers=4 if seed % 2 == 0 else 2)
        checkpoints.write_hf(folder, shape, checkpoints.draw(shape, seed, "mxfp4"))
        if seed < a.first + a.seeds:
            run(folder, f"seed{seed}", BUGS, [a.tokens], square)
        if seed < a.first + a.correct_seeds:
            run(folder, f"seed{seed}", CORRECT, [5, 40, a.tokens])
    if a.small:
        run(os.path.abspath(a.small), "small", BUGS, [a.tokens])
        run(os.path.abspath(a.small), "small", CORRECT, [5, 40, a.tokens])


if __name__ == "__main__":
    main()
