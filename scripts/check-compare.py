"""The PyTorch side of check-compare.ts: captures a checkpoint by either package, with one bug in one layer or none.

Reads jobs from stdin, one JSON object a line, and answers each with one line. A bug is an edit of the loaded model's layer: of a
weight, of a number that its code reads, or of one function that it calls.
"""

import contextlib
import json
import os
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden"))

import numpy as np
import torch
import gpt_oss.torch.model as openai
from transformers.models.gpt_oss import modeling_gpt_oss as hf

import capture
import checkpoint
import tensors
from record import replaced

LAYER = 3
BUGS = {"transformers": {}, "openai": {}}


def bug(source, point, name):
    """name: what was done wrong; point: of the layer, where its effect begins. The function gets (layer, exit stack)."""

    def register(apply):
        BUGS[source][name] = (point, apply)
        return apply

    return register


def during(stack, module, function, owner=hf):
    """Replaces a function of the package's module while this module runs."""
    name, original, inside = function.__name__, function, [False]
    original = getattr(owner, name)
    stack.callback(module.register_forward_pre_hook(lambda *_: inside.__setitem__(0, True)).remove)
    stack.callback(module.register_forward_hook(lambda *_: inside.__setitem__(0, False)).remove)
    stack.enter_context(replaced(owner, name, lambda *a, **k: function(original, *a, **k) if inside[0] else original(*a, **k)))


# ------------------------------------------------------------------------------------------------------ transformers


@bug("transformers", "attn.norm", "eps of the norm 1e-3")
def _(layer, _):
    layer.input_layernorm.variance_epsilon = 1e-3


@bug("transformers", "attn.q", "q's bias missing")
def _(layer, _):
    layer.self_attn.q_proj.bias.data.zero_()


@bug("transformers", "attn.q_rope", "RoPE without YaRN's concentration")
def _(layer, stack):
    def apply_rotary_pos_emb(original, q, k, cos, sin, **more):
        return original(q, k, cos / 1.3465736, sin / 1.3465736, **more)

    during(stack, layer.self_attn, apply_rotary_pos_emb)


@bug("transformers", "attn.q_rope", "RoPE of the pairs 2i, 2i + 1")
def _(layer, stack):
    def _apply_rotary_emb(_, x, cos, sin):
        a, b = x[..., ::2], x[..., 1::2]
        return torch.stack([a * cos - b * sin, b * cos + a * sin], -1).flatten(-2)

    during(stack, layer.self_attn, _apply_rotary_emb)


@bug("transformers", "attn.q_rope", "positions off by one")
def _(layer, stack):
    def apply_rotary_pos_emb(original, q, k, cos, sin, **more):
        return original(q, k, cos.roll(1, -2), sin.roll(1, -2), **more)

    during(stack, layer.self_attn, apply_rotary_pos_emb)


@bug("transformers", "attn.scores", "scores scaled by 1/d instead of 1/√d")
def _(layer, _):
    layer.self_attn.scaling **= 2


@bug("transformers", "attn.scores", "a window of 127 where there is none")
def _(layer, stack):
    def eager_attention_forward(original, module, q, k, v, mask, *args, **more):
        t = q.shape[-2]
        hidden = torch.arange(t)[:, None] - torch.arange(t)[None] >= 127
        return original(module, q, k, v, mask.masked_fill(hidden, torch.finfo(q.dtype).min), *args, **more)

    during(stack, layer.self_attn, eager_attention_forward)


@bug("transformers", "attn.scores", "keys' head h modulo, not h divided by")
def _(layer, stack):
    def repeat_kv(_, x, n):
        return x.repeat(1, n, 1, 1)

    during(stack, layer.self_attn, repeat_kv)


@bug("transformers", "attn.weights", "sinks missing")
def _(layer, _):
    layer.self_attn.sinks.data.fill_(-30000.0)


@bug("transformers", "attn.out", "o's bias missing")
def _(layer, _):
    layer.self_attn.o_proj.bias.data.zero_()


@bug("transformers", "moe.router_logits", "router's bias missing")
def _(layer, _):
    layer.mlp.router.bias.data.zero_()


@bug("transformers", "moe.expert_weights", "softmax over all experts, not over the chosen")
def _(layer, stack):
    def softmax_first(_, __, y):
        logits, weights, ids = y
        return logits, logits.softmax(-1).gather(-1, ids), ids

    stack.callback(layer.mlp.router.register_forward_hook(softmax_first).remove)


@bug("transformers", "moe.expert_ids", "the fifth expert instead of the fourth")
def _(layer, stack):
    def fifth(_, __, y):
        logits, weights, ids = y
        values, ids = logits.topk(5, -1)
        keep = [0, 1, 2, 4]
        return logits, values[:, keep].softmax(-1), ids[:, keep]

    stack.callback(layer.mlp.router.register_forward_hook(fifth).remove)


@bug("transformers", "moe.gate_up", "weights of experts 0 and 1 exchanged")
def _(layer, _):
    w = layer.mlp.experts.gate_up_proj.data
    w[[0, 1]] = w[[1, 0]].clone()


@bug("transformers", "moe.swiglu", "no clamp")
def _(layer, _):
    layer.mlp.experts.limit = 1e9


@bug("transformers", "moe.swiglu", "SiLU, 1 instead of 1.702")
def _(layer, _):
    layer.mlp.experts.alpha = 1.0


@bug("transformers", "moe.swiglu", "up instead of up + 1")
def _(layer, _):
    experts, right = layer.mlp.experts, layer.mlp.experts._apply_gate

    def wrong(gate_up):
        gate = gate_up[..., ::2].clamp(max=experts.limit)
        return right(gate_up) - gate * torch.sigmoid(gate * experts.alpha)

    experts._apply_gate = wrong


@bug("transformers", "moe.down", "down's bias missing")
def _(layer, _):
    layer.mlp.experts.down_proj_bias.data.zero_()


@bug("transformers", "moe.out", "experts averaged, not weighted")
def _(layer, stack):
    def average(_, args):
        x, ids, weights = args
        return x, ids, torch.full_like(weights, 0.25)

    stack.callback(layer.mlp.experts.register_forward_pre_hook(average).remove)


@bug("transformers", "moe.residual", "the layer's input added once more")
def _(layer, stack):
    stack.callback(layer.register_forward_hook(lambda _, args, y: y + args[0]).remove)


# ------------------------------------------------------------------------------------------------------------ openai


@bug("openai", "attn.norm", "norm with 1 + scale")
def _(block, _):
    block.attn.norm.scale.data += 1


@bug("openai", "attn.k", "k's bias missing")
def _(block, _):
    q, kv = (n * block.attn.head_dim for n in (block.attn.num_attention_heads, block.attn.num_key_value_heads))
    block.attn.qkv.bias.data[q : q + kv] = 0


@bug("openai", "attn.q_rope", "RoPE with another base")
def _(block, _):
    block.attn.rope.base *= 1.25


@bug("openai", "attn.scores", "scale of the scores 5 % too large")
def _(block, _):
    block.attn.sm_scale *= 1.05


@bug("openai", "attn.scores", "sliding where it should see all")
def _(block, _):
    block.attn.sliding_window = 128


@bug("openai", "attn.weights", "sinks scaled like scores")
def _(block, _):
    block.attn.sinks.data *= block.attn.sm_scale


@bug("openai", "attn.out", "o's bias missing")
def _(block, _):
    block.attn.out.bias.data.zero_()


@bug("openai", "attn.residual", "the norm's output as the residual")
def _(block, stack):
    stack.callback(block.attn.register_forward_hook(lambda m, x, y: y - x[0] + m.norm(x[0])).remove)


@bug("openai", "moe.swiglu", "no clamp")
def _(block, _):
    block.mlp.swiglu_limit = 1e9


@bug("openai", "moe.swiglu", "gate and up exchanged")
def _(block, stack):
    def swiglu(original, x, **more):
        return original(x.unflatten(-1, (-1, 2)).flip(-1).flatten(-2), **more)

    during(stack, block.mlp, swiglu, openai)


@bug("openai", "moe.gate_up", "a bias of another expert")
def _(block, _):
    block.mlp.mlp1_bias.data = block.mlp.mlp1_bias.data.roll(1, 0)


@bug("openai", "moe.down", "weights of experts 2 and 5 exchanged")
def _(block, _):
    w = block.mlp.mlp2_weight.data
    w[[2, 5]] = w[[5, 2]].clone()


# -------------------------------------------------------------------------------------------------------------- jobs


def draw(out, layers, seed, tokens):
    shape = checkpoint.Shape(num_hidden_layers=layers)
    checkpoint.write_hf(out, shape, checkpoint.draw(shape, seed, "mxfp4"))
    return np.random.Generator(np.random.PCG64(seed)).integers(0, shape.vocab_size, tokens).tolist()


def bugs():
    return [{"source": source, "name": name, "point": point} for source, all in BUGS.items() for name, (point, _) in all.items()]


def trace(model, ids, source, dtype, out, bug=None):
    """A whole trace by the hooks of scripts/golden/record.py."""
    m = capture.load_model(model, source, dtype)
    with contextlib.ExitStack() as stack:
        if bug:
            BUGS[source][bug][1](m.block[LAYER] if source == "openai" else m.model.layers[LAYER], stack)
        t = capture.run(m, ids, source, dtype)
    tensors.save(out, capture.stored(t, ids), {"source": capture.PACKAGES[source], "dtype": dtype})


def modules(model, ids, source, dtype, out, bug=None):
    """What a user writes in ten lines: the output of every module, under its own name, into an .npz archive."""
    m, arrays, handles = capture.load_model(model, source, dtype), {"input_ids": np.array([ids])}, []

    def note(name, value):
        if isinstance(value, torch.Tensor):
            arrays[name] = value.float().numpy() if value.is_floating_point() else value.numpy()
        elif isinstance(value, tuple):
            for i, part in enumerate(value):
                note(f"{name}.{i}", part)

    with contextlib.ExitStack() as stack:
        if bug:
            BUGS[source][bug][1](m.block[LAYER] if source == "openai" else m.model.layers[LAYER], stack)
        for name, module in m.named_modules():
            handles.append(module.register_forward_hook(lambda _, __, y, name=name: note(name, y) if name else None))
        capture.logits_of(m, ids, source, dtype)
    np.savez_compressed(out, **arrays)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for line in sys.stdin:
        job = json.loads(line)
        try:
            with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
                answer = {"draw": draw, "bugs": bugs, "trace": trace, "modules": modules}[job.pop("do")](**job)
            print(json.dumps({"answer": answer}), flush=True)
        except Exception as error:
            print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
