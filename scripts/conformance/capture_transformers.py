"""Every activation of a gpt-oss checkpoint as Hugging Face's transformers computes it, in one safetensors file.

    pip install torch==2.15.0 transformers==5.24.0 safetensors==0.8.0
    python capture_transformers.py --model DIR --ids ids.json --out trace.safetensors [--dtype bfloat16|float32|float16]
        [--points 'layers.*.moe.residual,logits'] [--store bfloat16|float32] [--by-layers] [--threads N]

Stands alone: copy this one file. The package stays as it is; the script watches through forward hooks, pass-through wrappers of two
functions, and a TorchFunctionMode, which hand on the very tensors that they got, so a watched run has the bits of any other.
Attention and experts are transformers' eager ones, on the CPU; its default experts add in another order.

DIR is a Hugging Face folder (MXFP4, which is dequantised to bfloat16, or bfloat16). ids.json is a list of ids, or {"ids": […]}.
Memory: each activation goes to disk as soon as it is there. With --by-layers one layer is in memory at a time, instead of 42 GB
for gpt-oss-20b in bfloat16: some 6 GB; the bits are the same. A prompt of T tokens takes heads · T² values a layer at scores
and weights: leave them out with --points for long ones.

Names and shapes: README of this project, "As an oracle". Expert points are [token, rank, …].
"""

import argparse
import fnmatch
import glob
import json
import os
import struct
from contextlib import ExitStack, contextmanager

import torch
import transformers
from safetensors import safe_open
from torch.overrides import TorchFunctionMode
from transformers.integrations.mxfp4 import convert_moe_packed_tensors
from transformers.masking_utils import create_causal_mask, create_sliding_window_causal_mask
from transformers.models.gpt_oss import modeling_gpt_oss as hf

DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32, "float16": torch.float16}
CODES = {torch.bfloat16: "BF16", torch.float32: "F32", torch.float16: "F16", torch.int32: "I32"}
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
def record_layer(layer, i, trace):
    """layer: one GptOssDecoderLayer, run on [1, T, hidden]."""
    attn, moe, at = layer.self_attn, layer.mlp, f"layers.{i}"
    state = {"attention": False, "experts": None}
    eager, gate = hf.eager_attention_forward, moe.experts._apply_gate

    def watched_attention(module, query, key, value, *args, **kwargs):
        if module is attn:
            trace.note(f"{at}.attn.q_rope", query[0].transpose(0, 1))
            trace.note(f"{at}.attn.k_rope", key[0].transpose(0, 1))
        state["attention"] = module is attn
        result = eager(module, query, key, value, *args, **kwargs)
        state["attention"] = False
        return result

    def router(_, y):
        trace.note(f"{at}.moe.router_logits", y[0])
        trace.note(f"{at}.moe.expert_weights", y[1])
        trace.note(f"{at}.moe.expert_ids", y[2].int())

    def put(name, value):
        """Rows of one expert into their places [token, rank]."""
        e = state["experts"]
        rank, token = e["rows"]
        shape = (e["tokens"], moe.router.top_k, value.shape[-1])
        e["points"].setdefault(name, value.new_full(shape, torch.nan))[token, rank] = value

    def watched_gate(gate_up):
        y = gate(gate_up)
        put("gate_up", gate_up)
        put("swiglu", y)
        state["experts"]["gated"] = True  # the next product is of the expert's output and its weight
        return y

    def experts_begin(_, args):
        state["experts"] = {"rows": None, "gated": False, "points": {}, "tokens": len(args[0])}

    def experts_end(*_):
        for name, value in state["experts"]["points"].items():
            trace.note(f"{at}.moe.{name}", value)
        state["experts"] = None

    def torch_call(name, args, y):
        if state["attention"] and name == "cat":  # scores, scaled and masked, are joined by the sinks
            trace.note(f"{at}.attn.scores", masked(args[0][0][0], attn.sliding_window))
        if state["attention"] and name == "softmax":
            trace.note(f"{at}.attn.weights", y[0, ..., :-1])
            trace.note(f"{at}.attn.sink", y[0, ..., -1])
        if state["experts"] and name == "where":
            state["experts"]["rows"] = y
        if state["experts"] and name == "mul" and state["experts"]["gated"]:
            state["experts"]["gated"] = False
            put("down", args[0])

    with ExitStack() as stack:
        hooked(stack, layer.input_layernorm, lambda _, y: trace.note(f"{at}.attn.norm", y[0]))
        for name in "qkv":
            split = lambda _, y, name=name: trace.note(f"{at}.attn.{name}", y[0].unflatten(-1, (-1, attn.head_dim)))  # noqa: E731
            hooked(stack, getattr(attn, f"{name}_proj"), split)
        hooked(stack, attn.o_proj, lambda x, y: (trace.note(f"{at}.attn.context", x[0][0]), trace.note(f"{at}.attn.out", y[0])))
        hooked(stack, layer.post_attention_layernorm, lambda x, y: (trace.note(f"{at}.attn.residual", x[0][0]), trace.note(f"{at}.moe.norm", y[0])))
        hooked(stack, moe.router, router)
        stack.callback(moe.experts.register_forward_pre_hook(experts_begin).remove)
        hooked(stack, moe.experts, experts_end)
        hooked(stack, moe, lambda _, y: trace.note(f"{at}.moe.out", y[0][0]))
        hooked(stack, layer, lambda _, y: trace.note(f"{at}.moe.residual", (y[0] if isinstance(y, tuple) else y)[0]))
        hf.eager_attention_forward, moe.experts._apply_gate = watched_attention, watched_gate
        stack.callback(lambda: (setattr(hf, "eager_attention_forward", eager), delattr(moe.experts, "_apply_gate")))
        stack.enter_context(Watch(torch_call))
        yield


@contextmanager
def record(model, trace):
    with ExitStack() as stack:
        hooked(stack, model.model.embed_tokens, lambda _, y: trace.note("embedding", y[0]))
        hooked(stack, model.model.norm, lambda _, y: trace.note("norm", y[0]))
        hooked(stack, model.lm_head, lambda _, y: trace.note("logits", y[0]))
        for i, layer in enumerate(model.model.layers):
            stack.enter_context(record_layer(layer, i, trace))
        yield


def load_model(folder, dtype):
    config = transformers.GptOssConfig.from_pretrained(folder)
    quantised = {"quantization_config": transformers.Mxfp4Config(dequantize=True)} if getattr(config, "quantization_config", None) else {}
    model = transformers.GptOssForCausalLM.from_pretrained(folder, dtype=torch.bfloat16, attn_implementation="eager", experts_implementation="eager", **quantised)
    if dtype != torch.bfloat16:
        model.to(dtype)  # exact: all weights are bfloat16
        model.model.rotary_emb = hf.GptOssRotaryEmbedding(model.config)  # to() would narrow its frequencies as well
    return model.eval()


def run_by_layers(folder, ids, dtype, trace):
    """The forward pass of GptOssModel with its own layers, each built, run and dropped before the next."""
    files = {}
    for path in sorted(glob.glob(f"{folder}/*.safetensors")):
        with safe_open(path, "pt") as f:
            files |= dict.fromkeys(f.keys(), path)

    def weight(name):
        with safe_open(files[name], "pt") as f:
            return f.get_tensor(name)

    config = transformers.GptOssConfig.from_pretrained(folder)
    config._attn_implementation = config._experts_implementation = "eager"
    x = torch.nn.functional.embedding(torch.tensor([ids]), weight("model.embed_tokens.weight")).to(dtype)
    trace.note("embedding", x[0])
    about = {"config": config, "inputs_embeds": x, "attention_mask": None, "cache": None}
    masks = {"full_attention": create_causal_mask(**about), "sliding_attention": create_sliding_window_causal_mask(**about)}
    at = torch.arange(len(ids))[None]
    positions = hf.GptOssRotaryEmbedding(config)(x, at)
    for i in range(config.num_hidden_layers):
        with torch.device("meta"):
            layer = hf.GptOssDecoderLayer(config, i).eval()
        state = {}
        for name, _ in layer.named_parameters():
            stored = f"model.layers.{i}.{name}"
            value = weight(stored) if stored in files else convert_moe_packed_tensors(weight(stored + "_blocks"), weight(stored + "_scales"))
            state[name] = value.to(dtype)
            del value
        layer.load_state_dict(state, assign=True)
        del state
        with record_layer(layer, i, trace):
            x = layer(x, attention_mask=masks[config.layer_types[i]], position_embeddings=positions, position_ids=at)
        print(f"layer {i + 1} of {config.num_hidden_layers}", flush=True)
    norm = hf.GptOssRMSNorm(config.hidden_size, config.rms_norm_eps)
    norm.weight.data = weight("model.norm.weight").to(dtype)
    x = norm(x)[0]
    trace.note("norm", x)
    trace.note("logits", torch.nn.functional.linear(x, weight("lm_head.weight").to(dtype)))


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
                model(input_ids=torch.tensor([ids]), use_cache=False)
    trace.close({"source": f"transformers {transformers.__version__} (eager attention, eager experts)", "torch": torch.__version__, "dtype": a.dtype})
    print(f"{a.out}: {len(trace.tensors) - 1} points of {len(ids)} tokens, {os.path.getsize(a.out)} bytes")


if __name__ == "__main__":
    main()
