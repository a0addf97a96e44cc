"""The gpt-oss architecture, trainable, in forward order. It computes what gpt_oss/torch/model.py of openai/gpt-oss
computes, in float32, plus two things that make it cheap to train on a CPU:

- a batch shares one prefix (the system message), whose keys and values are computed once;
- the tokens of a batch are *packed* in one row [N, hidden] without padding; only attention sees [batch, time].

B sequences, N tokens in all, P prefix tokens, H query heads, G key/value heads, D head size, E experts.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from mxfp4 import fake_quantize


@dataclass
class Config:
    num_hidden_layers: int = 4
    num_local_experts: int = 8
    num_experts_per_tok: int = 4
    vocab_size: int = 2048
    hidden_size: int = 192
    intermediate_size: int = 160
    swiglu_limit: float = 7.0
    head_dim: int = 32
    num_attention_heads: int = 8
    num_key_value_heads: int = 2
    sliding_window: int = 64
    initial_context_length: int = 512
    rope_theta: float = 150000.0
    rope_scaling_factor: float = 8.0
    rope_ntk_alpha: float = 1.0
    rope_ntk_beta: float = 32.0
    rms_norm_eps: float = 1e-5


class Group(NamedTuple):
    """Sequences that attention treats together: packed tokens start..stop, token i of them at [rows[i], columns[i]]."""

    start: int
    stop: int
    rows: torch.Tensor
    columns: torch.Tensor
    batch: int
    time: int


class Layout:
    """Which packed token belongs to which sequence. Sort the sequences by length: then little padding is needed."""

    def __init__(self, lengths: list[int], group_size: int = 0):
        self.groups, start = [], 0
        size = group_size or len(lengths)
        for i in range(0, len(lengths), size):
            part = torch.tensor(lengths[i : i + size])
            rows = torch.repeat_interleave(torch.arange(len(part)), part)
            columns = torch.cat([torch.arange(n) for n in part])
            self.groups.append(Group(start, start + len(rows), rows, columns, len(part), int(part.max())))
            start += len(rows)
        self.columns = torch.cat([g.columns for g in self.groups])


class RMSNorm(nn.Module):
    def __init__(self, size: int, eps: float):
        super().__init__()
        self.eps = eps
        self.scale = nn.Parameter(torch.ones(size))

    def forward(self, x):
        return F.rms_norm(x, self.scale.shape, self.scale, self.eps)


def rope_tables(config: Config, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """YaRN (arXiv:2309.00071): cos and sin [length, D/2], both times the concentration factor."""
    half = config.head_dim // 2
    freq = config.rope_theta ** (torch.arange(half, dtype=torch.float32) / half)
    factor = config.rope_scaling_factor
    concentration = 0.1 * math.log(factor) + 1.0
    # Not floored or ceiled: "truncate": false.
    bound = lambda rotations: (
        half * math.log(config.initial_context_length / (rotations * 2 * math.pi)) / math.log(config.rope_theta)
    )
    low, high = bound(config.rope_ntk_beta), bound(config.rope_ntk_alpha)
    assert 0 < low < high < half - 1
    keep = 1 - ((torch.arange(half, dtype=torch.float32) - low) / (high - low)).clamp(0, 1)
    inv_freq = (1.0 / (factor * freq)) * (1 - keep) + (1.0 / freq) * keep
    angle = torch.arange(length, dtype=torch.float32)[:, None] * inv_freq
    return angle.cos() * concentration, angle.sin() * concentration


def rotate(x, cos, sin):
    """x [N, heads, D]; the halves of a head, not its even and odd elements, form the pairs."""
    x1, x2 = x.chunk(2, dim=-1)
    cos, sin = cos[:, None], sin[:, None]
    return torch.cat([x1 * cos - x2 * sin, x2 * cos + x1 * sin], dim=-1)


def attention_mask(time: int, past: int, window: int) -> torch.Tensor:
    """[time, past + time], True where a query may look: not ahead, and in sliding layers at most `window` keys."""
    query = torch.arange(past, past + time)[:, None]
    key = torch.arange(past + time)[None, :]
    mask = key <= query
    return mask & (key > query - window) if window else mask


def attend(q, k, v, sinks, mask):
    """q [B, H, T, D], k and v [B, H, S, D], sinks [H, 1 or T], mask [..., T, S]. Each head has one more key, the sink, with a
    learned score and no value. Here it is a real key [0 … 0 1] that meets a query lengthened by its score, so that
    PyTorch's fused attention can be used as it is."""
    b, h, t, d = q.shape
    pad = 8  # one more element would do; a multiple of 8 is faster
    scale = d**-0.5
    lane = torch.zeros(pad)
    lane[0] = 1.0
    q = torch.cat([q, (sinks / scale)[None, :, :, None] * lane.expand(b, h, t, pad)], dim=-1)
    k = torch.cat([F.pad(k, (0, pad)), F.pad(lane, (d, 0)).expand(b, h, 1, d + pad)], dim=2)
    v = F.pad(v, (0, pad, 0, 1))
    mask = F.pad(mask, (0, 1), value=True)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)[..., :d]


def attend_in_blocks(q, k, v, sinks, window: int):
    """Sliding attention for long sequences: q [B, T, H, D], k and v [B, H, window - 1 + T, D]. Each block of `window`
    queries meets two blocks of keys, which is all it can see, instead of all T."""
    b, t, h, d = q.shape
    n = -(-t // window)
    q = F.pad(q, (0, 0, 0, 0, 0, n * window - t)).view(b * n, window, h, d).transpose(1, 2)
    blocks = lambda x: F.pad(x, (0, 0, 1, n * window - t)).view(b, h, n + 1, window, d).transpose(1, 2)  # one unseen key in front
    pairs = lambda x: torch.cat([x[:, :-1], x[:, 1:]], dim=3).view(b * n, h, 2 * window, d)
    k, v = blocks(k), blocks(v)
    query, key = torch.arange(window)[:, None], torch.arange(2 * window)
    y = attend(q, pairs(k), pairs(v), sinks, (key > query) & (key <= query + window))
    return y.transpose(1, 2).reshape(b, n * window, h, d)[:, :t].transpose(1, 2)


class Cache:
    """Keys and values [B, S, G, D] of one layer, for generation. Row b holds its own `lengths[b]` tokens."""

    def __init__(self, prefix, layout: Layout, new, room: int):
        group = layout.groups[0]
        start, time = len(prefix[0]), group.time
        self.buffers = []
        for old, t in zip(prefix, new):
            buffer = t.new_zeros(group.batch, start + time + room, *t.shape[1:])
            buffer[:, :start] = old
            buffer[group.rows, start + group.columns] = t
            self.buffers.append(buffer)
        self.lengths = start + torch.bincount(group.rows)

    def update(self, k, v, window: int):
        row = torch.arange(len(k))
        for buffer, t in zip(self.buffers, (k, v)):
            buffer[row, self.lengths] = t
        query = self.lengths[:, None, None, None]
        first = max(0, int(self.lengths.min()) - window + 1) if window else 0
        last = int(self.lengths.max()) + 1
        key = torch.arange(first, last)
        mask = (key <= query) & ((key > query - window) if window else True)
        self.lengths = self.lengths + 1
        return *(b[:, first:last] for b in self.buffers), mask

    def keep(self, rows: torch.Tensor):
        self.buffers = [b[rows] for b in self.buffers]
        self.lengths = self.lengths[rows]


class Attention(nn.Module):
    def __init__(self, config: Config, layer: int):
        super().__init__()
        c = self.config = config
        self.window = c.sliding_window if layer % 2 == 0 else 0
        self.sizes = [n * c.head_dim for n in (c.num_attention_heads, c.num_key_value_heads, c.num_key_value_heads)]
        self.norm = RMSNorm(c.hidden_size, c.rms_norm_eps)
        self.qkv = nn.Linear(c.hidden_size, sum(self.sizes))
        self.out = nn.Linear(self.sizes[0], c.hidden_size)
        self.sinks = nn.Parameter(torch.zeros(c.num_attention_heads))

    def forward(self, x, rope, layout: Layout, past=None):
        """past: keys and values [P, G, D] of the prefix, and the new ones are returned; or a `Cache`."""
        c = self.config
        q, k, v = self.qkv(self.norm(x)).split(self.sizes, dim=-1)
        q, k, v = (t.view(len(x), -1, c.head_dim) for t in (q, k, v))
        q, k = rotate(q, *rope), rotate(k, *rope)

        group = c.num_attention_heads // c.num_key_value_heads
        heads = lambda t: t.transpose(1, 2).repeat_interleave(group, dim=1)  # query head h uses key head h // group
        if isinstance(past, Cache):
            # One new token a row: the query heads of a group take the place of time, and keys need no copies.
            keys, values, mask = past.update(k, v, self.window)
            sinks = self.sinks.view(-1, group)
            q = q.view(len(x), -1, group, c.head_dim)
            y = attend(q, keys.transpose(1, 2), values.transpose(1, 2), sinks, mask).flatten(1, 2)
            return x + self.out(y.flatten(1)), past

        ys = []
        for g in layout.groups:
            index = (g.rows, g.columns)
            padded = lambda t: t.new_zeros(g.batch, g.time, *t.shape[1:]).index_put(index, t[g.start : g.stop])
            keys, values, queries, seen = padded(k), padded(v), padded(q), 0
            if past is not None:
                # The first token of the batch sees the last window - 1 tokens of the prefix.
                old = [p[-(self.window - 1) :] if self.window else p for p in past]
                seen = len(old[0])
                keys, values = (torch.cat([p.expand(g.batch, -1, -1, -1), t], 1) for p, t in zip(old, (keys, values)))
            if self.window and g.time > self.window and seen == self.window - 1:
                y = attend_in_blocks(queries, heads(keys), heads(values), self.sinks[:, None], self.window)
            else:
                mask = attention_mask(g.time, seen, self.window)
                y = attend(queries.transpose(1, 2), heads(keys), heads(values), self.sinks[:, None], mask)  # [B, H, T, D]
            ys.append(y.transpose(1, 2)[index].flatten(1))
        return x + self.out(torch.cat(ys)), (k, v)


class SwiGLU(torch.autograd.Function):
    """gate [n, f] and up [n, f] side by side. The gate is clamped from above only. Written with its gradient, since
    this is where a CPU would otherwise spend its time moving memory."""

    @staticmethod
    def forward(ctx, x, limit: float, alpha: float = 1.702):
        gate, up = x.chunk(2, dim=-1)
        gate, up = gate.clamp(max=limit), up.clamp(-limit, limit)
        s = torch.sigmoid(gate * alpha)
        ctx.save_for_backward(x, s)
        ctx.limit, ctx.alpha = limit, alpha
        return (up.add_(1)).mul_(gate.mul_(s))

    @staticmethod
    def backward(ctx, grad):
        x, s = ctx.saved_tensors
        raw_gate, raw_up = x.chunk(2, dim=-1)
        gate, up = raw_gate.clamp(max=ctx.limit), raw_up.clamp(-ctx.limit, ctx.limit)
        out = torch.empty_like(x)
        d_gate, d_up = out.chunk(2, dim=-1)
        swish = gate * s
        torch.mul(grad, swish, out=d_up)
        # d(g·σ(αg)) = σ + α·g·σ·(1 − σ)
        slope = swish.mul_(1 - s).mul_(ctx.alpha).add_(s)
        torch.mul(up.add_(1).mul_(grad), slope, out=d_gate)
        d_gate.masked_fill_(raw_gate > ctx.limit, 0)
        d_up.masked_fill_(raw_up.abs() > ctx.limit, 0)
        return out, None, None


class MoE(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        c = self.config = config
        e, d, f = c.num_local_experts, c.hidden_size, c.intermediate_size
        self.norm = RMSNorm(d, c.rms_norm_eps)
        self.router = nn.Linear(d, e)
        self.gate_up = nn.Parameter(torch.empty(e, 2 * f, d))
        self.gate_up_bias = nn.Parameter(torch.zeros(e, 2 * f))
        self.down = nn.Parameter(torch.empty(e, d, f))
        self.down_bias = nn.Parameter(torch.zeros(e, d))

    def forward(self, x, weights):
        c = self.config
        k = c.num_experts_per_tok
        t = self.norm(x)
        logits = self.router(t)
        top = logits.topk(k, dim=-1)
        share = top.values.softmax(dim=-1)

        # Sort the N·k (token, expert) pairs by expert, so that each expert works on one contiguous slice.
        order = top.indices.flatten().argsort(stable=True)
        counts = torch.bincount(top.indices.flatten(), minlength=c.num_local_experts)
        token = order // k
        slices = t.index_select(0, token).split(counts.tolist())
        gate_up, down = weights if weights else (self.gate_up, self.down)
        # The rows are gate 0, up 0, gate 1, up 1, …: regroup to gates, then ups.
        w1, b1 = (torch.cat([t[:, 0::2], t[:, 1::2]], dim=1) for t in (gate_up, self.gate_up_bias))
        experts = zip(slices, w1.unbind(), b1.unbind())
        h = SwiGLU.apply(torch.cat([torch.addmm(b, s, w.T) for s, w, b in experts]), c.swiglu_limit)
        experts = zip(h.split(counts.tolist()), down.unbind(), self.down_bias.unbind())
        y = torch.cat([torch.addmm(b, s, w.T) for s, w, b in experts])
        y = y * share.flatten().index_select(0, order)[:, None]
        x = x.index_add(0, token, y)

        # Switch Transformer's balance loss: 1 when the experts are used evenly.
        used = counts.float() / counts.sum()
        balance = c.num_local_experts * (used * logits.softmax(-1).mean(0)).sum()
        return x, balance


class Block(nn.Module):
    def __init__(self, config: Config, layer: int):
        super().__init__()
        self.attn = Attention(config, layer)
        self.mlp = MoE(config)


class Transformer(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        c = self.config = config
        self.embedding = nn.Embedding(c.vocab_size, c.hidden_size)
        self.blocks = nn.ModuleList(Block(c, layer) for layer in range(c.num_hidden_layers))
        self.norm = RMSNorm(c.hidden_size, c.rms_norm_eps)
        self.unembedding = nn.Linear(c.hidden_size, c.vocab_size, bias=False)
        cos, sin = rope_tables(c, c.initial_context_length * int(c.rope_scaling_factor))
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self.init()

    @torch.no_grad()
    def init(self):
        depth = (2 * self.config.num_hidden_layers) ** -0.5
        for name, p in self.named_parameters():
            if p.dim() >= 2:
                residual = name.endswith(("attn.out.weight", "mlp.down"))
                nn.init.normal_(p, std=p.shape[-1] ** -0.5 * (depth if residual else 1.0))
            elif name.endswith("bias"):
                p.zero_()
        nn.init.normal_(self.embedding.weight, std=0.5)
        nn.init.normal_(self.unembedding.weight, std=0.02)

    def quantized_experts(self):
        """The expert matrices as MXFP4 would store them, one pair a layer; compute once a step, pass to `forward`."""
        return [(fake_quantize(b.mlp.gate_up), fake_quantize(b.mlp.down)) for b in self.blocks]

    def forward(self, tokens, layout: Layout, past=None, experts=None, wanted=None):
        """tokens [N]. Returns logits of the wanted positions (default all), keys and values, balance loss.

        past: for each layer the keys and values of the shared prefix, or its `Cache`."""
        x = self.embedding(tokens)
        if past and isinstance(past[0], Cache):
            position = past[0].lengths
        else:
            position = layout.columns + (len(past[0][0]) if past else 0)
        rope = self.cos[position], self.sin[position]
        cache, balance = [], 0.0
        for i, block in enumerate(self.blocks):
            x, kv = block.attn(x, rope, layout, past[i] if past else None)
            cache.append(kv)
            if wanted is not None and i == len(self.blocks) - 1:
                x = x[wanted]  # from here on nothing mixes tokens
            x, b = block.mlp(x, experts[i] if experts else None)
            balance = balance + b / len(self.blocks)
        return self.unembedding(self.norm(x)), cache, balance
