"""Runs gpt-oss's own apply_patch on generated files and patches, and stores what comes of it.

    python scripts/golden-patch/make_patch.py        # writes golden/patch/
"""

import hashlib
import importlib.metadata
import json
import pathlib
import random

from gpt_oss.tools.apply_patch import DiffError, apply_patch

OUT = pathlib.Path(__file__).resolve().parents[2] / "golden" / "patch"
WORDS = ["alpha", "beta", "gamma()", "if x:", "return 1", "}", "{", "", "", "  indented", "\ttab", "é ü", "日本", "*** text", "@@ x", "- y", "+ z"]


def text(rng):
    lines = [rng.choice(WORDS) + rng.choice(["", "", str(rng.randrange(30))]) for _ in range(rng.randrange(0, 14))]
    return "\n".join(lines) + rng.choice(["\n", "\n", "\n", ""])


def loosened(rng, line):
    """A context line as a model might misremember it."""
    kind = rng.random()
    if kind < 0.8:
        return line
    if kind < 0.88:
        return line + rng.choice([" ", "  ", "\t"])
    if kind < 0.95:
        return rng.choice([" ", "\t"]) + line.strip()
    return line.strip() + "?"


def hunks(rng, body):
    lines = body.split("\n")
    out, at = [], 0
    for number in range(rng.choice([1, 1, 1, 2, 2, 3])):
        if at >= len(lines):
            break
        start = rng.randrange(at, len(lines))
        end = min(len(lines), start + rng.randrange(1, 5))
        header = "@@"
        if rng.random() < 0.3 and start > 0:
            header = "@@ " + loosened(rng, lines[rng.randrange(0, start)])
        if number > 0 or rng.random() < 0.85:
            out.append(header)
        for line in lines[start:end]:
            kind = rng.random()
            if kind < 0.45:
                out.append(("" if line == "" and rng.random() < 0.3 else " " + loosened(rng, line)))
            elif kind < 0.75:
                out.append("-" + loosened(rng, line))
                if rng.random() < 0.6:
                    out.append("+" + rng.choice(WORDS))
            else:
                out.append("+" + rng.choice(WORDS))
                out.append(" " + line)
        if end >= len(lines) - 1 and rng.random() < 0.5:
            out.append("*** End of File")
        at = end if rng.random() < 0.9 else 0
    return out


def broken(rng, lines):
    """A patch with one thing wrong."""
    kind = rng.randrange(7)
    lines = list(lines)
    at = rng.randrange(len(lines))
    if kind == 0:
        del lines[at]
    elif kind == 1:
        lines.insert(at, rng.choice(["?what", "***", "*** Frobnicate", "@@", "@@x", "text", "*** End of File", "*** Move to: q"]))
    elif kind == 2:
        lines[at] = lines[at][1:]
    elif kind == 3:
        lines[at], lines[0] = lines[0], lines[at]
    elif kind == 4:
        lines.insert(at, lines[at])
    elif kind == 5:
        lines = lines[:at] or ["*** Begin Patch"]
    else:
        lines.insert(at, "*** Update File: nowhere.txt")
    return lines


def case(rng):
    files = {f"{name}.txt": text(rng) for name in rng.sample(["a", "b", "dir/c", "d e"], rng.randrange(1, 4))}
    lines = ["*** Begin Patch"]
    for path in rng.sample(sorted(files), rng.randrange(0, len(files) + 1)):
        if rng.random() < 0.15:
            lines.append(f"*** Delete File: {path}")
            continue
        lines.append(f"*** Update File: {path}")
        if rng.random() < 0.15:
            lines.append(f"*** Move to: moved/{path}")
        lines += hunks(rng, files[path])
    if rng.random() < 0.4:
        lines.append(f"*** Add File: {rng.choice(['new.txt', 'x/y/z.py'])}")
        lines += ["+" + rng.choice(WORDS) for _ in range(rng.randrange(0, 4))]
    lines.append("*** End Patch")
    if rng.random() < 0.25:
        lines = broken(rng, lines)
    return files, "\n".join(lines) + rng.choice(["", "\n"])


def reference(files, patch):
    after = dict(files)

    def read(path):
        if path not in after:
            raise DiffError(f"Missing File: {path}")
        return after[path]

    try:
        apply_patch(patch, read, after.__setitem__, lambda path: after.pop(path, None))
    except (DiffError, IndexError) as error:
        return {"error": str(error)}
    return {"after": after}


def main():
    rng = random.Random(20)
    rows = []
    for _ in range(600):
        files, patch = case(rng)
        rows.append({"files": files, "patch": patch, **reference(files, patch)})
    OUT.mkdir(parents=True, exist_ok=True)
    data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    (OUT / "patches.jsonl").write_bytes(data)
    manifest = {
        "what": "files, a patch, and what gpt_oss.tools.apply_patch makes of them: `after`, or `error`",
        "source": f"gpt-oss {importlib.metadata.version('gpt-oss')}, by scripts/golden-patch/make_patch.py",
        "cases": len(rows),
        "errors": sum("error" in row for row in rows),
        "sha256": {"patches.jsonl": hashlib.sha256(data).hexdigest()},
    }
    (OUT / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    print(manifest)


if __name__ == "__main__":
    main()
