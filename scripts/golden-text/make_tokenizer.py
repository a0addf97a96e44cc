"""Writes golden/tokenizer: texts, and the ids that tiktoken's o200k_harmony gives for them as ordinary text.

    python make_tokenizer.py [--tokenizer-json FILE]

openai-harmony, which has a tokenizer of its own, has to give the same ids, or the script stops.
"""

import argparse
import hashlib
import importlib.metadata
import json
import random
import struct
import unicodedata
from pathlib import Path

import ranks
import texts

OUT = ranks.ROOT / "golden" / "tokenizer"
SEED = 20240806


def digest(ids: list[int]) -> str:
    """SHA-256 of ids as 32-bit little-endian numbers."""
    return hashlib.sha256(struct.pack(f"<{len(ids)}I", *ids)).hexdigest()


def mix(parts: list[str], seed: int, count: int) -> str:
    """`count` parts chosen by a linear congruential generator, simple enough to be the same in any language."""
    state, chosen = seed, []
    for _ in range(count):
        state = (state * 1664525 + 1013904223) % 2**32
        chosen.append(parts[state * len(parts) >> 32])
    return "".join(chosen)


def merges(vocabulary: dict[bytes, int]) -> list[bytes]:
    """All ways to make a token of two, in the order of tokenizer.json: by result, then by left part, then by right."""
    lines = []
    for token, _ in sorted(vocabulary.items(), key=lambda r: r[1]):
        splits = ((token[:i], token[i:]) for i in range(1, len(token)))
        known = [(vocabulary[a], vocabulary[b], a, b) for a, b in splits if a in vocabulary and b in vocabulary]
        lines += [letters(a) + b" " + letters(b) for _, _, a, b in sorted(known)]
    return lines


PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
LETTERS = {b: chr(b) for b in PRINTABLE} | {
    b: chr(0x100 + i) for i, b in enumerate(b for b in range(256) if b not in PRINTABLE)
}


def letters(token: bytes) -> bytes:
    """A token in GPT-2's byte alphabet, as UTF-8."""
    return "".join(LETTERS[byte] for byte in token).encode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ranks.cache_option(parser)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--tokenizer-json", type=Path, help="check the derived merges against this published file")
    args = parser.parse_args()
    vocabulary = ranks.install(args.cache)
    import openai_harmony
    import tiktoken

    encoding = tiktoken.get_encoding("o200k_harmony")
    harmony = openai_harmony.load_harmony_encoding("HarmonyGptOss")

    def encode(text: str) -> list[int]:
        ids = encoding.encode_ordinary(text)
        if harmony.encode(text, disallowed_special=()) != ids:
            raise SystemExit(f"tiktoken and openai-harmony differ on {text[:100]!a}")
        return ids

    args.out.mkdir(parents=True, exist_ok=True)

    rng = random.Random(SEED)
    cases = [{"text": text, "ids": encode(text)} for text in texts.written() + texts.made_up(rng, 500)]

    runs = []
    for unit in texts.RUNS:
        for prefix, times, suffix in ("", 1000, ""), ("x", 4097, "x"), (" ", 100_000 // len(unit), "1"):
            if times > 5000 and unit not in texts.LONG_RUNS:
                continue
            ids = encode(prefix + unit * times + suffix)
            runs.append({"prefix": prefix, "unit": unit, "times": times, "suffix": suffix, "count": len(ids), "sha256": digest(ids)})

    parts = texts.fragments()
    mixes = []
    for seed in range(50):
        ids = encode(mix(parts, seed, 2000))
        mixes.append({"seed": seed, "parts": 2000, "count": len(ids), "sha256": digest(ids)})

    lines = merges(vocabulary)
    merges_sha256 = hashlib.sha256(b"\n".join(lines)).hexdigest()
    if args.tokenizer_json:
        check_published(json.loads(args.tokenizer_json.read_bytes()), vocabulary, lines)

    files = {
        "cases.jsonl": "".join(json.dumps(case, separators=(",", ":")) + "\n" for case in cases),
        "runs.json": json.dumps(runs, indent=1) + "\n",
        "mixes.json": json.dumps({"parts": parts, "mixes": mixes}, indent=1) + "\n",
    }
    for name, content in files.items():
        (args.out / name).write_text(content, encoding="utf-8")
    manifest = {
        "maker": "scripts/golden-text/make_tokenizer.py",
        "sources": {
            "tiktoken": importlib.metadata.version("tiktoken"),
            "openai-harmony": importlib.metadata.version("openai-harmony"),
            "encoding": encoding.name,
            "unicode of the random texts": unicodedata.unidata_version,
        },
        "seed": SEED,
        "ranks": {"count": len(vocabulary), "sha256": ranks.SHA256},
        "merges": {"count": len(lines), "sha256": merges_sha256},
        "tokens": {
            "cases.jsonl": sum(len(case["ids"]) for case in cases),
            "runs.json": sum(run["count"] for run in runs),
            "mixes.json": sum(m["count"] for m in mixes),
        },
        "files": {name: hashlib.sha256((args.out / name).read_bytes()).hexdigest() for name in files},
    }
    (args.out / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(manifest["tokens"]))


def check_published(published: dict, vocabulary: dict[bytes, int], lines: list[bytes]) -> None:
    expected = {letters(token).decode(): rank for token, rank in vocabulary.items()}
    if published["model"]["vocab"] != expected:
        raise SystemExit("the published vocabulary differs from the ranks")
    if [f"{a} {b}".encode() for a, b in published["model"]["merges"]] != lines:
        raise SystemExit("the published merges differ from the derived ones")
    print("the published tokenizer.json has the same vocabulary and merges")


if __name__ == "__main__":
    main()
