"""Every activation of a gpt-oss checkpoint as OpenAI's own PyTorch code (gpt_oss.torch) computes it, in one safetensors file.

    pip install torch==2.15.0 safetensors==0.8.0 && pip install --no-deps gpt-oss==0.0.9
    python capture_openai.py --model DIR --ids ids.json --out trace.safetensors [--dtype bfloat16|float32]
        [--points 'layers.*.moe.residual,logits'] [--store bfloat16|float32] [--by-layers] [--threads N]

Stands alone: copy this one file. The package stays as it is; the script watches through forward hooks, a pass-through wrapper of
swiglu, and a TorchFunctionMode, which hand on the very tensors that they got, so a watched run has the bits of any other.
(--no-deps: the model needs torch and safetensors alone; what the package declares pulls in servers and browsers.)

DIR is a folder in OpenAI's layout, such as gpt-oss-20b/original. ids.json is a list of ids, or {"ids": […]}.
Memory: each activation goes to disk as soon as it is there. With --by-layers one layer is in memory at a time, instead of 42 GB
for gpt-oss-20b; the bits are the same. A prompt of T tokens takes heads · T² values a layer at scores and weights: leave them out
with --points for long ones.

Names and shapes: README of this project, "As an oracle". Expert points are [token, rank, …].
"""

import argparse
import fnmatch
import json
import os
import struct
from contextlib import ExitStack, contextmanager

import gpt_oss.torch.model as openai
import torch
from gpt_oss.torch.weights import Checkpoint
from torch.overrides import TorchFunctionMode

CPU = torch.device("cpu")
DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}
CODES = {torch.bfloat16: "BF16", torch.float32: "F32", torch.int32: "I32"}
HEADER = 1 << 18  # room for names, written last


class TraceFile:
    """A safetensors file that grows by one tensor at a time."""

    def __init__(self, path, points="*", store=None):
        self.path, self.globs, self.store, self.tensors, self.size = path, points.split(","), store, {}, 0
        self.file = open(path + ".part", "wb")
        self.file.write(b" " * (8 + HEADER))

    def note(self, name, value):
        if name in self.tensors or not any(fnmatch.fnmatchcase(name, g) for g in self.globs):
            return
        value = value.detach() if value.dtype == torch.int32 or self.store is None else value.detach().to(self.store)
        data = value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        self.file.write(data)
        self.tensors[name] = {"dtype": CODES[value.dtype], "shape": list(value.shape), "data_offsets": [self.size, self.size + len(data)]}
        self.size += len(data)

    def close(self, metadata):
        header = json.dumps({"__metadata__": metadata, **self.tensors}, separators=(",", ":")).encode()
        assert len(header) <= HEADER, "too many points for the header"
        self.file.seek(0)
        self.file.write(struct.pack("<Q", HEADER) + header)
        self.file.close()
        os.replace(self.path + ".part", self.path)


class Watch(TorchFunctionMode):
    """Calls on_call(name, args, result) after each torch function."""

    def __init__(self, on_call):
        super().__init__()
        self.on_call = on_call

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.on_call(getattr(func, "__name__", ""), args, result)
        return result


def hooked(stack, module, fn):
    """fn(inputs, output) after each forward of the module; what fn returns is dropped."""

    def hook(_, inputs, output):
        fn(inputs, output)

    stack.callback(module.register_forward_hook(hook).remove)


def masked(scores, window):
    """−inf at masked places, whatever finite number stands there."""
    t = scores.shape[-1]
    q, k = torch.arange(t)[:, None], torch.arange(t)[None]
    hidden = (k > q) | ((k <= q - window) if window else False)
    return scores.masked_fill(hidden, -torch.inf)


@contextmanager
def record_block(block, i, trace):
    """block: one TransformerBlock, run on [T, hidden]."""
    attn, mlp, at = block.attn, block.mlp, f"layers.{i}"
    heads, kv, d = attn.num_attention_heads, attn.num_key_value_heads, attn.head_dim
    state, swiglu = {"in": None}, openai.swiglu

    def qkv(_, y):
        for name, value in zip("qkv", y.view(len(y), -1, d).split([heads, kv, kv], dim=1)):
            trace.note(f"{at}.attn.{name}", value)

    def rope(_, y):
        trace.note(f"{at}.attn.q_rope", y[0].reshape(-1, heads, d))
        trace.note(f"{at}.attn.k_rope", y[1])

    def torch_call(name, args, y):
        if state["in"] == "attn" and name == "softmax":  # the only one there, over the keys and the sink
            t = y.shape[-2]
            trace.note(f"{at}.attn.scores", masked(args[0][..., :-1].reshape(heads, t, t), attn.sliding_window))
            trace.note(f"{at}.attn.weights", y[..., :-1].reshape(heads, t, t))
            trace.note(f"{at}.attn.sink", y[..., -1].reshape(heads, t))
        if state["in"] == "mlp" and name == "topk":
            trace.note(f"{at}.moe.expert_ids", y.indices.int())
        if state["in"] == "mlp" and name == "softmax":
            trace.note(f"{at}.moe.expert_weights", y)
        if state["in"] == "mlp" and name == "einsum" and args[0] == "bec,be->bc":
            trace.note(f"{at}.moe.down", args[1])
            trace.note(f"{at}.moe.out", y)

    def watched_swiglu(x, **options):
        y = swiglu(x, **options)
        if state["in"] == "mlp":
            trace.note(f"{at}.moe.gate_up", x)
            trace.note(f"{at}.moe.swiglu", y)
        return y

    with ExitStack() as stack:
        for module, part in ((attn, "attn"), (mlp, "mlp")):
            stack.callback(module.register_forward_pre_hook(lambda *_, part=part: state.update({"in": part})).remove)
            hooked(stack, module, lambda *_: state.update({"in": None}))
        hooked(stack, attn.norm, lambda _, y: trace.note(f"{at}.attn.norm", y))
        hooked(stack, attn.qkv, qkv)
        hooked(stack, attn.rope, rope)
        hooked(stack, attn.out, lambda x, y: (trace.note(f"{at}.attn.context", x[0]), trace.note(f"{at}.attn.out", y)))
        hooked(stack, attn, lambda _, y: trace.note(f"{at}.attn.residual", y))
        hooked(stack, mlp.norm, lambda _, y: trace.note(f"{at}.moe.norm", y))
        hooked(stack, mlp.gate, lambda _, y: trace.note(f"{at}.moe.router_logits", y))
        hooked(stack, mlp, lambda _, y: trace.note(f"{at}.moe.residual", y))
        openai.swiglu = watched_swiglu
        stack.callback(lambda: setattr(openai, "swiglu", swiglu))
        stack.enter_context(Watch(torch_call))
        yield


@contextmanager
def record(model, trace):
    with ExitStack() as stack:
        hooked(stack, model.embedding, lambda _, y: trace.note("embedding", y))
        hooked(stack, model.norm, lambda _, y: trace.note("norm", y))
        hooked(stack, model.unembedding, lambda _, y: trace.note("logits", y))
        for i, block in enumerate(model.block):
            stack.enter_context(record_block(block, i, trace))
        yield


def load_model(folder, dtype):
    model = openai.Transformer.from_checkpoint(folder, CPU)
    return model if dtype == torch.bfloat16 else model.to(dtype)  # in bfloat16 the norms' weights stay float32


def run_by_layers(folder, ids, dtype, trace):
    """The forward pass of Transformer with its own blocks, each built, run and dropped before the next."""
    with open(os.path.join(folder, "config.json")) as f:
        config = openai.ModelConfig(**json.load(f))
    checkpoint = Checkpoint(folder, CPU)
    x = torch.nn.functional.embedding(torch.tensor(ids), checkpoint.get("embedding.weight")).to(dtype)
    trace.note("embedding", x)
    for i in range(config.num_hidden_layers):
        block = openai.TransformerBlock(config, i, CPU).eval()
        for name, parameter in block.named_parameters():
            parameter.data.copy_(checkpoint.get(f"block.{i}.{name}"))
        block = block if dtype == torch.bfloat16 else block.to(dtype)
        with record_block(block, i, trace):
            x = block(x)
        print(f"layer {i + 1} of {config.num_hidden_layers}", flush=True)
    norm = openai.RMSNorm(config.hidden_size)
    norm.scale.data.copy_(checkpoint.get("norm.scale"))
    x = norm(x)
    trace.note("norm", x)
    trace.note("logits", torch.nn.functional.linear(x, checkpoint.get("unembedding.weight").to(dtype)))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", required=True)
    p.add_argument("--ids", required=True)
    p.add_argument("--out", required=True)
    p.add_argument("--dtype", choices=list(DTYPES), default="bfloat16")
    p.add_argument("--points", default="*")
    p.add_argument("--store", choices=list(DTYPES), help="default: as computed")
    p.add_argument("--by-layers", action="store_true")
    p.add_argument("--threads", type=int, default=os.cpu_count())
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    with open(a.ids) as f:
        ids = json.load(f)
    ids = ids["ids"] if isinstance(ids, dict) else ids
    trace = TraceFile(a.out, a.points + ",ids", DTYPES.get(a.store))
    trace.note("ids", torch.tensor(ids, dtype=torch.int32))
    with torch.inference_mode():
        if a.by_layers:
            run_by_layers(a.model, ids, DTYPES[a.dtype], trace)
        else:
            model = load_model(a.model, DTYPES[a.dtype])
            with record(model, trace):
                model(torch.tensor(ids, dtype=torch.int32))
    trace.close({"source": "gpt-oss 0.0.9 (gpt_oss.torch.model)", "torch": torch.__version__, "dtype": a.dtype})
    print(f"{a.out}: {len(trace.tensors) - 1} points of {len(ids)} tokens, {os.path.getsize(a.out)} bytes")


if __name__ == "__main__":
    main()
