"""Builds the small model's tokenizer from the published o200k_harmony one.

A prefix of a byte-level BPE is a valid byte-level BPE: token ids are merge ranks, and each merge joins two tokens of
lower rank. So we keep the first N entries of the vocabulary, the merges whose result is among them, the same split
pattern and decoder, and Harmony's special tokens, renumbered from N in the same order.

    python tokenizer.py --source path/to/tokenizer.json --out ../../golden/small
"""

import argparse
import hashlib
import json
from pathlib import Path

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "small"
# The tokenizer.json that openai/gpt-oss-20b ships.
SOURCE_SHA256 = "0614fe83cadab421296e664e1f48f4261fa8fef6e03e63bb75c20f38e37d07d3"


def shrink(tokenizer: dict, n: int) -> dict:
    model = tokenizer["model"]
    vocab = {token: i for token, i in model["vocab"].items() if i < n}
    merges = [[a, b] for a, b in model["merges"] if a in vocab and b in vocab and a + b in vocab]
    added = sorted(tokenizer["added_tokens"], key=lambda t: t["id"])
    return {
        **tokenizer,
        "added_tokens": [{**t, "id": n + i} for i, t in enumerate(added)],
        "model": {**model, "vocab": vocab, "merges": merges},
    }


def config(small: dict) -> dict:
    return {
        "added_tokens_decoder": {
            str(t["id"]): {k: v for k, v in t.items() if k != "id"} for t in small["added_tokens"]
        },
        "bos_token": "<|startoftext|>",
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|return|>",
        "extra_special_tokens": {},
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": 4096,
        "pad_token": "<|endoftext|>",
        "tokenizer_class": "PreTrainedTokenizerFast",
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, help="the published o200k_harmony tokenizer.json")
    parser.add_argument("--n", type=int, default=2000, help="how many ranks to keep")
    parser.add_argument("--out", type=Path, default=GOLDEN)
    args = parser.parse_args()

    data = args.source.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != SOURCE_SHA256:
        raise SystemExit(f"{args.source} has sha256 {digest}, expected {SOURCE_SHA256}")
    small = shrink(json.loads(data), args.n)
    args.out.mkdir(parents=True, exist_ok=True)
    for name, value in ("tokenizer.json", small), ("tokenizer_config.json", config(small)):
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        (args.out / name).write_text(text + "\n", encoding="utf-8")
    print(f"{args.n} ranks + {len(small['added_tokens'])} special tokens -> {args.out}")


if __name__ == "__main__":
    main()
