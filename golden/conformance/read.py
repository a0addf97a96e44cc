"""Reads the gpt-oss conformance pack: Python 3.9 or newer and nothing else. Run it in the pack's folder:

    python conformance/read.py verify                      sizes and digests of all files
    python conformance/read.py ids [COUNT]                 the prompt: its first COUNT token ids, of 300, as JSON
    python conformance/read.py compare FILE [PRECISION]    your logits, or activations by name, against float64

FILE: .json {"logits": [[…] a token]}, or .safetensors. PRECISION: float32 (default), int16, float16, bfloat16, int8."""
import array, hashlib, json, math, pathlib, struct, sys  # noqa: E401

ROOT = pathlib.Path(__file__).resolve().parent.parent
# In forward order. Left out: points by head, whose tokens come second, and by expert, where runs may rightly choose others.
ATTN, MOE = "norm q k v q_rope k_rope context out residual".split(), "norm router_logits expert_weights out residual".split()
LAYERS = [f"layers.{i}.{point}" for i in range(2) for point in [f"attn.{a}" for a in ATTN] + [f"moe.{m}" for m in MOE]]

def load(path):
    return json.loads((ROOT / path).read_text(encoding="utf-8"))

def ids(count=300):
    print(json.dumps(load("model/ids.json")["ids"][:int(count)]))

def verify():
    files = {path: entry for s in load("conformance/manifest.json")["sets"].values() for path, entry in s["files"].items()}
    for path, entry in files.items():
        data = (ROOT / path).read_bytes()
        if len(data) != entry["bytes"] or hashlib.sha256(data).hexdigest() != entry["sha256"]:
            sys.exit(f"{path}: not the file that the manifest lists")
    print(f"{len(files)} files as listed, version {load('conformance/manifest.json')['version']}")

def tensors(path):
    """A safetensors file as name → (shape, flat values), on a little-endian machine."""
    data = pathlib.Path(path).read_bytes()
    start, out = 8 + struct.unpack("<Q", data[:8])[0], {}
    for name, entry in json.loads(data[8:start]).items():
        if name != "__metadata__":
            raw = data[start + entry["data_offsets"][0]:start + entry["data_offsets"][1]]
            if entry["dtype"] == "BF16":  # the upper half of a float32
                raw = b"".join(b"\0\0" + raw[i:i + 2] for i in range(0, len(raw), 2))
            code = {"F64": "d", "F32": "f", "BF16": "f", "I32": "i", "I64": "q", "U8": "B"}[entry["dtype"]]
            out[name] = entry["shape"], array.array(code, raw)
    return out

def compare(path, precision="float32"):
    """Prints each point's relative rms over the tokens that the file holds; whether one lies beyond the tolerance."""
    truth, limits, verdicts = tensors(ROOT / "model/f64.safetensors"), load("conformance/tolerances.json"), []
    rows = json.loads(pathlib.Path(path).read_text())["logits"] if path.endswith(".json") else None
    mine = tensors(path) if rows is None else {"logits": ([len(rows), len(rows[0])], [x for row in rows for x in row])}
    for name in [name for name in ["embedding", *LAYERS, "norm", "logits"] if name in mine]:
        (shape, b), n = truth[name], len(mine[name][1])
        right = 0 < n <= len(b) and mine[name][0][1:] == shape[1:]
        error = math.sqrt(sum((x - y) ** 2 for x, y in zip(mine[name][1], b)) / sum(y * y for y in b[:n])) if right else math.inf
        point = name.split(".", 2)[-1] if name.startswith("layers.") else name
        limit = limits["factor"] * max(limits["precisions"][precision]["points"][point], 1e-7)
        verdicts.append(error <= limit)
        print(f"{'ok  ' if verdicts[-1] else 'FAIL'} {name:32} {error:.1e} of {limit:.1e}, {mine[name][0][0]} tokens")
    return not verdicts or not all(verdicts)

if __name__ == "__main__":
    command, *rest = sys.argv[1:] or ["help"]
    commands = {"verify": verify, "ids": ids, "compare": compare}
    sys.exit(commands[command](*rest) if command in commands else __doc__)
