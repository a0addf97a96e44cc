"""The gpt-oss architecture, trainable, in forward order. It computes what gpt_oss/torch/model.py of openai/gpt-oss
computes, in float32, plus two things that make it cheap to train on a CPU:

- a batch shares one prefix (the system message), whose keys and values are computed once;
- the tokens of a batch are *packed* in one row [N, hidden] without padding; only attention sees [batch, time].

B sequences, N tokens in all, P prefix tokens, H query heads, G key/value heads, D head size, E experts.
"""

import math
from dataclasses import dataclass

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


@dataclass
class Layout:
    """Where the packed tokens sit: token n is at [row[n], column[n]] of the padded [B, T]."""

    rows: torch.Tensor
    columns: torch.Tensor
    batch: int
    time: int

    @staticmethod
    def of(lengths: list[int]) -> "Layout":
        rows = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
        columns = torch.cat([torch.arange(n) for n in lengths])
        return Layout(rows, columns, len(lengths), max(lengths))


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
    """q [B, H, T, D], k and v [B, H, S, D], sinks [H], mask [T, S]. Each head has one more key, the sink, with a
    learned score and no value. Here it is a real key [0 … 0 1] that meets a query lengthened by its score, so that
    PyTorch's fused attention can be used as it is."""
    b, h, t, d = q.shape
    pad = 8  # one more element would do; a multiple of 8 is faster
    scale = d**-0.5
    lane = torch.zeros(pad)
    lane[0] = 1.0
    q = torch.cat([q, (sinks / scale)[None, :, None, None] * lane.expand(b, h, t, pad)], dim=-1)
    k = torch.cat([F.pad(k, (0, pad)), F.pad(lane, (d, 0)).expand(b, h, 1, d + pad)], dim=2)
    v = F.pad(v, (0, pad, 0, 1))
    mask = F.pad(mask, (0, 1), value=True)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)[..., :d]


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

    def forward(self, x, rope, layout: Layout, past):
        """past: keys and values [S, G, D] of a shared prefix or [B, S, G, D]; also returns the new ones."""
        c = self.config
        q, k, v = self.qkv(self.norm(x)).split(self.sizes, dim=-1)
        q, k, v = (t.view(len(x), -1, c.head_dim) for t in (q, k, v))
        q, k = rotate(q, *rope), rotate(k, *rope)

        index = (layout.rows, layout.columns)
        padded = lambda t: t.new_zeros(layout.batch, layout.time, *t.shape[1:]).index_put(index, t)
        q, k, v = padded(q), padded(k), padded(v)
        if past is not None:
            k, v = (torch.cat([p.expand(layout.batch, *p.shape[-3:]), t], dim=1) for p, t in zip(past, (k, v)))
        length = k.shape[1] - layout.time
        group = c.num_attention_heads // c.num_key_value_heads
        heads = lambda t: t.transpose(1, 2).repeat_interleave(group, dim=1)  # query head h uses key head h // group
        mask = attention_mask(layout.time, length, self.window)
        y = attend(q.transpose(1, 2), heads(k), heads(v), self.sinks, mask)  # [B, H, T, D]
        y = y.transpose(1, 2)[index].flatten(-2)
        return x + self.out(y), (k, v)


def swiglu(x, limit: float, alpha: float = 1.702):
    """x [..., 2·ffn], gate and up interleaved. The gate is clamped from above only."""
    gate, up = x[..., 0::2], x[..., 1::2]
    gate = gate.clamp(max=limit)
    up = up.clamp(-limit, limit)
    return gate * torch.sigmoid(alpha * gate) * (up + 1)


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
        experts = zip(slices, gate_up, self.gate_up_bias, down, self.down_bias)
        y = torch.cat([
            torch.addmm(b2, swiglu(torch.addmm(b1, s, w1.T), c.swiglu_limit), w2.T) for s, w1, b1, w2, b2 in experts
        ])
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
        """tokens [N]. Returns logits of the wanted positions (default all), keys and values, balance loss."""
        x = self.embedding(tokens)
        start = 0 if past is None else past[0][0].shape[-3]
        position = layout.columns + start
        rope = self.cos[position], self.sin[position]
        cache, balance = [], 0.0
        for i, block in enumerate(self.blocks):
            x, kv = block.attn(x, rope, layout, past[i] if past else None)
            cache.append(kv)
            if wanted is not None and i == len(self.blocks) - 1:
                x = x[wanted]  # nothing later mixes tokens
            x, b = block.mlp(x, experts[i] if experts else None)
            balance = balance + b / len(self.blocks)
        return self.unembedding(self.norm(x)), cache, balance
