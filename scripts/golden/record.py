"""Watches a forward pass of either package and notes every trace point, without re-implementing a line of it.

Three means, from plain to fine: forward hooks on modules; pass-through wrappers around functions of the package's module;
and, inside fused functions, a TorchFunctionMode that sees each torch call with its arguments and its result. All of them
hand on exactly the tensors that they got, so a watched run gives the bits of an unwatched one (make.py asserts it).
"""

import fnmatch
from contextlib import ExitStack, contextmanager

import gpt_oss.torch.model as openai
import torch
from torch.overrides import TorchFunctionMode
from transformers.models.gpt_oss import modeling_gpt_oss as hf


class Trace(dict):
    """Canonical name → tensor; keeps only names that match one of the globs."""

    def __init__(self, points="*"):
        super().__init__()
        self.globs = points.split(",")

    def note(self, name, value):
        if any(fnmatch.fnmatchcase(name, g) for g in self.globs):
            self[name] = value.detach().clone()


class Watch(TorchFunctionMode):
    """Calls on_call(name, args, result) after each torch function, e.g. name = "softmax"."""

    def __init__(self, on_call):
        super().__init__()
        self.on_call = on_call

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.on_call(getattr(func, "__name__", ""), args, result)
        return result


@contextmanager
def replaced(owner, name, value):
    old = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, old)


def hooked(stack, module, fn):
    """fn(inputs, output) after each forward of the module; what it returns is dropped (torch would take it as the output)."""

    def hook(_, inputs, output):
        fn(inputs, output)

    stack.callback(module.register_forward_hook(hook).remove)


def masked(scores, window):
    """−inf at masked places, whatever finite fill the package adds there."""
    t = scores.shape[-1]
    q, k = torch.arange(t)[:, None], torch.arange(t)[None]
    hidden = (k > q) | ((k <= q - window) if window else False)
    return scores.masked_fill(hidden, -torch.inf)


# ------------------------------------------------------------------------------------------------------------ openai


@contextmanager
def record_openai_block(block, i, trace):
    """block: one gpt_oss TransformerBlock, run on [T, hidden]."""
    attn, mlp, at = block.attn, block.mlp, f"layers.{i}"
    heads, kv, d = attn.num_attention_heads, attn.num_key_value_heads, attn.head_dim
    state = {"in": None}

    def qkv(_, y):
        q, k, v = y.view(len(y), -1, d).split([heads, kv, kv], dim=1)
        for name, value in zip("qkv", (q, k, v)):
            trace.note(f"{at}.attn.{name}", value)

    def rope(_, y):
        trace.note(f"{at}.attn.q_rope", y[0].reshape(-1, heads, d))
        trace.note(f"{at}.attn.k_rope", y[1])

    def torch_call(name, args, y):
        if state["in"] == "attn" and name == "softmax":  # sdpa's only softmax, over the keys and the sink
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

    swiglu = openai.swiglu

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
        stack.enter_context(replaced(openai, "swiglu", watched_swiglu))
        stack.enter_context(Watch(torch_call))
        yield


@contextmanager
def record_openai(model, trace):
    with ExitStack() as stack:
        hooked(stack, model.embedding, lambda _, y: trace.note("embedding", y))
        hooked(stack, model.norm, lambda _, y: trace.note("norm", y))
        hooked(stack, model.unembedding, lambda _, y: trace.note("logits", y))
        for i, block in enumerate(model.block):
            stack.enter_context(record_openai_block(block, i, trace))
        yield


# ------------------------------------------------------------------------------------------------------ transformers


@contextmanager
def record_transformers_layer(layer, i, trace):
    """layer: one GptOssDecoderLayer, run on [1, T, hidden]."""
    attn, moe, at = layer.self_attn, layer.mlp, f"layers.{i}"
    d, top_k = attn.head_dim, moe.router.top_k
    state = {"attention": False, "experts": None}

    def head_split(name):
        return lambda _, y: trace.note(f"{at}.attn.{name}", y[0].unflatten(-1, (-1, d)))

    eager = hf.eager_attention_forward

    def watched_attention(module, query, key, value, *args, **kwargs):
        if module is not attn:
            return eager(module, query, key, value, *args, **kwargs)
        trace.note(f"{at}.attn.q_rope", query[0].transpose(0, 1))
        trace.note(f"{at}.attn.k_rope", key[0].transpose(0, 1))
        state["attention"] = True
        result = eager(module, query, key, value, *args, **kwargs)
        state["attention"] = False
        return result

    def router(_, y):
        logits, weights, ids = y
        trace.note(f"{at}.moe.router_logits", logits)
        trace.note(f"{at}.moe.expert_weights", weights)
        trace.note(f"{at}.moe.expert_ids", ids.int())

    def experts_begin(_, args):
        state["experts"] = {"rows": None, "gated": False, "points": {}, "tokens": len(args[0])}

    def experts_end(_, y):
        for name, value in state["experts"]["points"].items():
            trace.note(f"{at}.moe.{name}", value)
        state["experts"] = None

    def put(name, value):
        """Rows of one expert into their places [token, rank]."""
        e = state["experts"]
        rank, token = e["rows"]
        all_rows = e["points"].setdefault(name, value.new_full((e["tokens"], top_k, value.shape[-1]), torch.nan))
        all_rows[token, rank] = value

    gate = moe.experts._apply_gate

    def watched_gate(gate_up):
        y = gate(gate_up)
        put("gate_up", gate_up)
        put("swiglu", y)
        state["experts"]["gated"] = True  # the next product is out · routing weight
        return y

    def torch_call(name, args, y):
        if state["attention"] and name == "cat":  # attn_weights, scaled and masked, joined by the sinks
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
            hooked(stack, getattr(attn, f"{name}_proj"), head_split(name))
        hooked(stack, attn.o_proj, lambda x, y: (trace.note(f"{at}.attn.context", x[0][0]), trace.note(f"{at}.attn.out", y[0])))
        hooked(stack, layer.post_attention_layernorm, lambda x, y: (trace.note(f"{at}.attn.residual", x[0][0]), trace.note(f"{at}.moe.norm", y[0])))
        hooked(stack, moe.router, router)
        stack.callback(moe.experts.register_forward_pre_hook(experts_begin).remove)
        hooked(stack, moe.experts, experts_end)
        hooked(stack, moe, lambda _, y: trace.note(f"{at}.moe.out", y[0][0]))
        hooked(stack, layer, lambda _, y: trace.note(f"{at}.moe.residual", (y[0] if isinstance(y, tuple) else y)[0]))
        stack.enter_context(replaced(hf, "eager_attention_forward", watched_attention))
        moe.experts._apply_gate = watched_gate
        stack.callback(lambda: delattr(moe.experts, "_apply_gate"))
        stack.enter_context(Watch(torch_call))
        yield


@contextmanager
def record_transformers(model, trace):
    with ExitStack() as stack:
        hooked(stack, model.model.embed_tokens, lambda _, y: trace.note("embedding", y[0]))
        hooked(stack, model.model.norm, lambda _, y: trace.note("norm", y[0]))
        hooked(stack, model.lm_head, lambda _, y: trace.note("logits", y[0]))
        for i, layer in enumerate(model.model.layers):
            stack.enter_context(record_transformers_layer(layer, i, trace))
        yield
