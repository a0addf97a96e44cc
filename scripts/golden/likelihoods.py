"""How likely transformers, in float64, finds the Harmony texts of `gpt-oss check` → golden/likelihoods/.

    npx gpt-oss check --reference --json > texts.json
    python likelihoods.py --texts texts.json [--model ../../golden/small] [--out ../../golden/likelihoods] [--positions 24] [--top 20]

Beside the likelihoods stand the most probable next tokens at some positions, of the model as it is and with the bounds of
YaRN's ramp truncated, as llama.cpp has them: what a server says that runs either.
"""

import argparse
import json
import pathlib
import shutil
import tempfile

import torch
import transformers

from capture import logits_of
from load import load_transformers

here = pathlib.Path(__file__).parent
parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--texts", type=pathlib.Path, required=True)
parser.add_argument("--model", type=pathlib.Path, default=here / "../../golden/small")
parser.add_argument("--out", type=pathlib.Path, default=here / "../../golden/likelihoods")
parser.add_argument("--positions", type=int, default=24)
parser.add_argument("--top", type=int, default=20)
args = parser.parse_args()
torch.set_num_threads(1)


def truncated(folder):
    copy = pathlib.Path(folder) / "model"
    shutil.copytree(args.model, copy)
    config = json.loads((copy / "config.json").read_text())
    config["rope_scaling"]["truncate"] = True
    (copy / "config.json").write_text(json.dumps(config))
    return copy


def spread(length, count):
    """As `spread` of src/oracle/live/texts.ts, halves rounded up."""
    last = length - 2
    return [int((i + 1) * last / count + 0.5) for i in range(count)]


def scores(model, ids):
    return torch.log_softmax(logits_of(model, ids, "transformers", "float64"), dim=-1)


def top(logp, positions):
    best = logp[positions].topk(args.top)
    pairs = zip(positions, best.indices.tolist(), best.values.tolist())
    return {str(p): [[i, round(v, 9)] for i, v in zip(ids, values)] for p, ids, values in pairs}


given = json.loads(args.texts.read_text())
with tempfile.TemporaryDirectory() as folder:
    right = load_transformers(str(args.model), torch.float64)
    wrong = load_transformers(str(truncated(folder)), torch.float64)
    texts = []
    for text in given["texts"]:
        ids, assistant = text["ids"], text["assistant"]
        logp = scores(right, ids)
        nll = -logp[:-1].gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
        theirs = nll[torch.tensor(assistant[1:])]
        positions = spread(len(ids), args.positions)
        texts.append(
            {
                "name": text["name"],
                "ids": ids,
                "tokens": len(nll),
                "nll": nll.mean().item(),
                "assistant_tokens": len(theirs),
                "assistant_nll": theirs.mean().item(),
                "top": top(logp, positions),
                "top_truncated": top(scores(wrong, ids), positions),
            }
        )
manifest = {
    "what": "golden/small on the texts of `gpt-oss check`: mean negative log-likelihood in nats, most probable next tokens [id, log p]",
    "version": given["version"],
    "checkpoint": given["checkpoint"],
    "versions": {"transformers": transformers.__version__, "torch": torch.__version__},
}
args.out.mkdir(parents=True, exist_ok=True)
(args.out / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
(args.out / "small.jsonl").write_text("".join(json.dumps(text, separators=(",", ":")) + "\n" for text in texts))
for text in texts:
    print(text["name"], text["tokens"], text["nll"], text["assistant_nll"])
