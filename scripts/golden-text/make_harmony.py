"""Writes golden/harmony: conversations with the ids that openai-harmony renders, and token streams with the messages
that it parses.

    python make_harmony.py
    python make_harmony.py --fresh SEED COUNT

The second prints COUNT new random conversations and as many streams, a JSON object on each line, for check-harmony.ts.
"""

import argparse
import hashlib
import importlib.metadata
import json
import random
import struct
from pathlib import Path

import harmony_random
import harmony_written
import ranks
from harmony_library import Library

OUT = ranks.ROOT / "golden" / "harmony"
SEED = 20250805
MANY = 400  # ids; of more, the files have the digest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ranks.cache_option(parser)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--fresh", type=int, nargs=2, metavar=("SEED", "COUNT"))
    args = parser.parse_args()
    ranks.install(args.cache)
    library = Library()
    if args.fresh:
        fresh(library, *args.fresh)
        return

    rng = random.Random(SEED)
    named = harmony_written.written() | harmony_written.from_openai() | harmony_written.with_tools()
    named |= {f"made up {i}": harmony_random.conversation(rng) for i in range(300)}
    damaged = [harmony_random.stream(rng, library.encode, harmony_random.words(library.encode)) for _ in range(400)]
    files = {
        "conversations.jsonl": [shortened(library.render(name, messages)) for name, messages in named.items()],
        "streams.jsonl": [library.parse(name, **stream) for name, stream in harmony_written.streams(library.encode).items()],
        "damaged.jsonl": [without_lenient(library.parse(f"damaged {i}", **stream)) for i, stream in enumerate(damaged)],
    }

    args.out.mkdir(parents=True, exist_ok=True)
    for name, lines in files.items():
        (args.out / name).write_text("".join(json.dumps(x, separators=(",", ":")) + "\n" for x in lines), encoding="utf-8")
    manifest = {
        "maker": "scripts/golden-text/make_harmony.py",
        "sources": {"openai-harmony": importlib.metadata.version("openai-harmony"), "encoding": library.encoding.name},
        "seed": SEED,
        "counts": {name: len(lines) for name, lines in files.items()},
        "files": {name: hashlib.sha256((args.out / name).read_bytes()).hexdigest() for name in files},
    }
    (args.out / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(manifest["counts"]))


def fresh(library: Library, seed: int, count: int) -> None:
    rng = random.Random(seed)
    pool = harmony_random.words(library.encode)
    for index in range(count):
        print(json.dumps(library.render(f"conversation {index}", harmony_random.conversation(rng))))
        print(json.dumps(library.parse(f"stream {index}", **harmony_random.stream(rng, library.encode, pool))))


def shortened(case: dict) -> dict:
    return {k: digest(v) if k in ("ids", "kept", "training") and len(v) > MANY else v for k, v in case.items()}


def without_lenient(case: dict) -> dict:
    return {k: v for k, v in case.items() if k != "lenient"}


def digest(ids: list[int]) -> dict:
    return {"count": len(ids), "sha256": hashlib.sha256(struct.pack(f"<{len(ids)}I", *ids)).hexdigest()}


if __name__ == "__main__":
    main()
