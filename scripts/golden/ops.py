"""Op-level vectors, each computed by calling the reference packages' own functions → golden/ops/.

    python ops.py [--out ../../golden/ops]

A suffix names how a result was computed: .f64 (everything double), .f32, .bf16_openai, .bf16_hf (stored as BF16).
Inputs are bf16 values unless the tensor's description says otherwise, so one input serves every dtype.
"""

import argparse
import math
import os
import tempfile

import gguf
import numpy as np
import torch
import transformers
from fractions import Fraction
from mpmath import mp, mpf
from transformers.integrations import mxfp4 as hf_mxfp4
from transformers.models.gpt_oss import modeling_gpt_oss as hf

import gpt_oss.torch.model as openai
import gpt_oss.torch.weights as openai_weights
import tensors
from load import everything_double
from record import Watch

F64, F32, BF16 = torch.float64, torch.float32, torch.bfloat16
SETS = {}


def golden_set(description):
    def register(fn):
        SETS[fn.__name__.replace("_", "-")] = (description, fn)
        return fn

    return register


def bf16(x):
    return torch.as_tensor(np.asarray(x), dtype=F64).to(BF16)


def rng(seed):
    return np.random.Generator(np.random.PCG64(seed))


# ------------------------------------------------------------------------------------------------------------- linear


@golden_set("y = x·Wᵀ + b by torch's linear. bf16: float32 accumulation, ONE rounding after the bias. *.no_bias: W alone.")
def linear():
    g, out = rng(10), {}
    for t, k, n in ((1, 64, 12), (5, 90, 33), (3, 2880, 7)):
        x, w, b = bf16(g.normal(0, 1, (t, k))), bf16(g.normal(0, k**-0.5, (n, k))), bf16(g.normal(0, 2, n))
        name = f"t{t}k{k}n{n}"
        out |= {f"{name}.x": x, f"{name}.w": w, f"{name}.b": b}
        for label, dtype in (("f64", F64), ("f32", F32), ("bf16_openai", BF16)):
            args = [v.to(dtype) for v in (x, w, b)]
            out[f"{name}.{label}"] = torch.nn.functional.linear(*args)
            out[f"{name}.no_bias.{label}"] = torch.nn.functional.linear(*args[:2])
    return out, {}


# ----------------------------------------------------------------------------------------------------------- RMSNorm


@golden_set(
    "RMSNorm, eps 1e-5. rows of x: two normal, large, tiny (mean square below eps), zero, one outlier, float32-subnormal"
    " range, and 3e19, whose square overflows float32 (result 0 there, finite in f64). w: weight."
)
def rms_norm():
    g, out = rng(1), {}
    for h in (64, 90, 2880):
        rows = [g.normal(0, 1, h), g.normal(0, 30, h), g.normal(0, 1e4, h), g.normal(0, 1e-4, h)]
        if h < 2880:
            one = np.zeros(h)
            one[h // 2] = -1000.0
            rows += [np.zeros(h), one, g.normal(0, 1e-39, h), g.choice([-3e19, 3e19], h)]
        x, w = bf16(np.stack(rows)), bf16(g.normal(1, 0.3, h))
        ours, theirs = openai.RMSNorm(h), hf.GptOssRMSNorm(h, 1e-5)
        ours.scale.data, theirs.weight.data = w.float(), w
        out |= {f"h{h}.x": x, f"h{h}.w": w, f"h{h}.bf16_openai": ours(x), f"h{h}.bf16_hf": theirs(x)}
        out[f"h{h}.f32"] = ours(x.float())
        with everything_double(F64):
            out[f"h{h}.f64"] = ours.double()(x.double())
            assert torch.equal(theirs.double()(x.double()), out[f"h{h}.f64"])
        assert torch.equal(theirs.float()(x.float()), out[f"h{h}.f32"])
    return {k: v.detach() for k, v in out.items()}, {}


# -------------------------------------------------------------------------------------------------------------- YaRN

POSITIONS = [0, 1, 2, 127, 128, 4095, 4096, 4097, 131071]
YARN = {  # head_dim, base, original context, factor, truncate
    "20b": (64, 150000.0, 4096, 32.0, False),
    "20b-truncate": (64, 150000.0, 4096, 32.0, True),
    "small": (16, 10000.0, 256, 32.0, False),
    "factor1": (64, 150000.0, 4096, 1.0, False),
}


def yarn_hf(head_dim, base, context, factor, truncate):
    rope = {"rope_type": "yarn", "rope_theta": base, "factor": factor, "beta_fast": 32.0, "beta_slow": 1.0,
            "truncate": truncate, "original_max_position_embeddings": context}
    config = transformers.GptOssConfig(head_dim=head_dim, max_position_embeddings=round(context * factor), rope_parameters=rope)
    table = hf.GptOssRotaryEmbedding(config)
    return table.inv_freq, table.attention_scaling, table


def yarn_openai(head_dim, base, context, factor):
    return openai.RotaryEmbedding(head_dim, base, F32, initial_context_length=context, scaling_factor=factor)


@golden_set(
    "YaRN: inv_freq [d/2], concentration [1] (F64), cos and sin [positions, d/2] with the concentration in them, for"
    " gpt-oss-20b (truncate false, and true as transformers does it), a small model, and factor 1 (OpenAI's code: no YaRN"
    " then). .f32: as the packages compute it, float32 powers included, so a correctly rounded pow differs in the last bit"
    " of a few entries. bf16 dialects use the .f32 table rounded to bf16."
)
def yarn():
    out, notes = {"positions": torch.tensor(POSITIONS, dtype=torch.int32)}, {}
    for name, (d, base, context, factor, truncate) in YARN.items():
        for label, dtype in (("f32", F32), ("f64", F64)):
            with everything_double(dtype):
                at = torch.tensor([POSITIONS])
                if name != "factor1":
                    inv, concentration, table = yarn_hf(d, base, context, factor, truncate)
                    cos, sin = (t[0] for t in table(torch.zeros(1, dtype=dtype), at))
                if not truncate:
                    rope = yarn_openai(d, base, context, factor)
                    concentration2, inv2 = rope._compute_concentration_and_inv_freq()
                    cos2, sin2 = rope._compute_cos_sin(131072)
                    cos2, sin2 = cos2[POSITIONS], sin2[POSITIONS]
                    if name == "factor1":
                        inv, concentration, cos, sin = inv2, concentration2, cos2, sin2
                    # Only the float64 run shows that HF's and OpenAI's expressions for low and high round differently.
                    limit = 0 if dtype == F32 else 1e-13
                    for a, b in ((inv, inv2), (cos, cos2), (sin, sin2)):
                        assert a.dtype == b.dtype == dtype and tensors.distance(a, b) <= limit, (name, label, tensors.distance(a, b))
                    assert concentration == concentration2
            out |= {f"{name}.inv_freq.{label}": inv, f"{name}.cos.{label}": cos, f"{name}.sin.{label}": sin}
        out[f"{name}.concentration"] = torch.tensor([concentration], dtype=F64)
        notes[name] = dict(head_dim=d, base=base, original_context=context, factor=factor, beta_fast=32.0, beta_slow=1.0, truncate=truncate)
    return out, {"parameters": notes}


@golden_set("RoPE rotation (half-split) of x [9, 3, d] at the positions of set yarn, with its tables 20b and small.")
def rope():
    g, out = rng(2), {}
    for name in ("20b", "small"):
        d, base, context, factor, truncate = YARN[name]
        x = bf16(g.normal(0, 2, (len(POSITIONS), 3, d)))
        out[f"{name}.x"] = x
        for label, dtype in (("f64", F64), ("f32", F32), ("bf16_openai", BF16)):
            with everything_double(dtype):
                _, _, table = yarn_hf(d, base, context, factor, truncate)
                cos, sin = (t[0] for t in table(torch.zeros(1, dtype=dtype), torch.tensor([POSITIONS])))
                wide = [t.to(dtype) for t in yarn_openai(d, base, context, factor)._compute_cos_sin(131072)]
                y = openai._apply_rotary_emb(x.to(dtype), *(t[POSITIONS] for t in wide))
                y2 = hf._apply_rotary_emb(x.to(dtype), cos[:, None], sin[:, None])
                assert tensors.distance(y2, y) <= (1e-11 if dtype == F64 else 0)
            out[f"{name}.{label}"] = y
            if dtype == BF16:
                out[f"{name}.bf16_hf"] = y2
    return out, {}


# --------------------------------------------------------------------------------------------------------- attention


@golden_set(
    "Attention with sinks: q [T, heads, d], k, v [T, kv heads, d], sinks [heads] → weights [heads, T, T], sink [heads, T],"
    " context [T, heads·d]. w: window, 0 for none. T = 20 covers every shorter length, the model being causal. Head 2 has a"
    " sink of 30 that takes nearly all, head 3 one of −30 that takes nothing. d = 24: the scale 1/√d is no power of two."
)
def attention():
    g, out = rng(3), {}
    t, heads, kv = 20, 4, 2
    sinks = bf16([1.5, -0.75, 30.0, -30.0])
    for d in (16, 24):
        q, k, v = (bf16(g.normal(0, s, (t, n, d))) for s, n in ((2.5, heads), (1, kv), (1, kv)))
        out |= {f"d{d}.q": q, f"d{d}.k": k, f"d{d}.v": v, f"d{d}.sinks": sinks}
        for window in (0, 1, 8, 19, 20, 32) if d == 16 else (0, 8):
            for label, dtype in (("f64", F64), ("f32", F32), ("bf16_openai", BF16)):
                seen = {}

                def call(name, args, y):
                    if name == "softmax":
                        seen["p"] = y

                with Watch(call):
                    context = openai.sdpa(*(a.to(dtype) for a in (q.reshape(t, kv, -1, d), k, v, sinks)), 1 / math.sqrt(d), window)
                p = seen["p"].reshape(heads, t, t + 1)
                result = {"weights": p[..., :-1], "sink": p[..., -1], "context": context}
                with Watch(call):
                    context = attention_hf(q, k, v, sinks, d, window, dtype)
                p = seen["p"][0]
                result_hf = {"weights": p[..., :-1], "sink": p[..., -1], "context": context}
                for point, value in result.items():
                    assert dtype == BF16 or tensors.distance(result_hf[point], value) < (1e-14 if dtype == F64 else 1e-6)
                    out[f"d{d}.w{window}.{point}.{label}"] = value
                    if dtype == BF16:
                        out[f"d{d}.w{window}.{point}.bf16_hf"] = result_hf[point]
    return out, {}


def attention_hf(q, k, v, sinks, d, window, dtype):
    t, heads = q.shape[:2]
    module = type("Module", (), dict(num_key_value_groups=heads // k.shape[1], training=False, sinks=sinks.to(dtype)))
    i, j = torch.arange(t)[:, None], torch.arange(t)[None]
    hidden = (j > i) | ((j <= i - window) if window else False)
    mask = torch.zeros(t, t, dtype=dtype).masked_fill(hidden, torch.finfo(dtype).min)[None, None]
    q, k, v = (a.to(dtype).transpose(0, 1)[None] for a in (q, k, v))
    return hf.eager_attention_forward(module, q, k, v, mask, d**-0.5)[0].reshape(t, -1)


# ------------------------------------------------------------------------------------------------------------- router


@golden_set(
    "Router: logits [T, E] (bf16 values) → ids by our rule (value descending, then index ascending; −0 equals +0), softmax"
    " over the chosen. topk_ids: what torch.topk returned, which orders ties otherwise; weights are the same either way."
)
def router():
    g, out, differ = rng(4), {}, {}
    for experts, k in ((8, 4), (32, 4), (128, 4), (3, 2), (5, 1)):
        x = g.normal(0, 2, (24, experts))
        x[8:16] = np.round(x[8:16])  # many exact ties
        x[16:18] = 0.0
        x[17, ::2] = -0.0
        x[18] = np.arange(experts)
        x[19] = -np.arange(experts)
        x[20] = 1.0
        x[20, experts // 2] = 2.0
        x[21, :] = 300.0
        x[21, -1] = 302.0  # one bf16 step above
        x[22] = g.normal(0, 1e4, experts)
        x[23] = g.normal(0, 1e-4, experts)
        x = bf16(x)
        ids = torch.argsort(-x.double(), dim=-1, stable=True)[:, :k]
        top = torch.topk(x, k, dim=-1, sorted=True)
        values = x.gather(1, ids)
        assert torch.equal(values, top.values)
        name = f"e{experts}k{k}"
        out |= {f"{name}.logits": x, f"{name}.ids": ids.int(), f"{name}.topk_ids": top.indices.int()}
        for label, dtype in (("f64", F64), ("f32", F32), ("bf16_openai", BF16)):
            out[f"{name}.weights.{label}"] = torch.softmax(values.to(dtype), dim=1)
        differ[name] = (ids != top.indices).any(1).nonzero().flatten().tolist()
    return out, {"rows_where_torch_topk_orders_or_chooses_otherwise": differ}


# ------------------------------------------------------------------------------------------------------------- SwiGLU


@golden_set(
    "Clamped SwiGLU, limit 7, alpha 1.702. x [n, 2]: every pair (gate, up) of edge values: ±0, ±7 and its neighbours, ±inf,"
    " NaN, huge, subnormal, where exp over- or underflows. .f32_in: float32 edges → f32, f64; .bf16_in: bf16 edges → bf16."
    " torch's clamp passes NaN on, and gate = −inf gives −inf·sigmoid(−inf) = −inf·0 = NaN."
)
def swiglu():
    def edges(dtype):
        up = torch.nextafter(torch.tensor(7.0, dtype=dtype), torch.tensor(8.0, dtype=dtype))
        down = torch.nextafter(torch.tensor(7.0, dtype=dtype), torch.tensor(0.0, dtype=dtype))
        tiny = float(torch.finfo(dtype).smallest_normal)
        least = 2.0**-149 if dtype == F32 else 2.0**-133
        half = [0.0, 7.0, float(up), float(down), math.inf, 1e30, float(torch.finfo(dtype).max), tiny, least, 3 * least,
                0.5, 1.0, 3.0, 20.0, 51.5, 61.0, 88.0, 104.0]
        one = torch.tensor([s * v for v in half for s in (1, -1)] + [math.nan], dtype=F64).to(dtype)
        return torch.cartesian_prod(one, one)

    out = {}
    x = edges(F32)
    out["f32_in"] = x
    out["f32"], out["f64"] = openai.swiglu(x)[:, 0], openai.swiglu(x.double())[:, 0]
    x = edges(BF16)
    out["bf16_in"] = x
    out["bf16_openai"] = openai.swiglu(x)[:, 0]
    module = type("Experts", (), dict(limit=7.0, alpha=1.702))
    out["bf16_hf"] = hf.GptOssExperts._apply_gate(module, x)[:, 0]
    same = (out["bf16_hf"] == out["bf16_openai"]) | (out["bf16_hf"].isnan() & out["bf16_openai"].isnan())
    return out, {"bf16_openai_equals_bf16_hf": bool(same.all())}


# -------------------------------------------------------------------------------------------------------------- MXFP4


@golden_set(
    "MXFP4 through OpenAI's weights.py. table.f32/.f64 [256 scales, 16 codes]: the value of each code under each scale byte."
    " A byte is two codes, LOW nibble first; all 256×256 byte/scale pairs were decoded by the package to make and to check"
    " the table (f32: its bf16 output widened; f64: its code run in double). Scale 255 gives ±inf and 0·inf = NaN there; the"
    " standard reserves it for NaN. example.*: a tensor in checkpoint layout, dequantised by OpenAI [E, rows, cols] and by"
    " transformers (transposed: [E, cols, rows])."
)
def mxfp4():
    scale, byte = torch.meshgrid(torch.arange(256), torch.arange(256), indexing="ij")
    blocks = byte.to(torch.uint8).reshape(1, 256, 16, 16)  # per scale: 16 blocks of 16 bytes = the 256 bytes
    scales = scale[:, ::16].to(torch.uint8).reshape(1, 256, 16)
    out = {}
    for label, dtype in (("f32", BF16), ("f64", F64)):
        with np.errstate(all="ignore"):
            values = openai_dequantise(blocks, scales, dtype).reshape(256, 256, 2)
        codes = torch.arange(16)
        table = values[:, codes, 0]  # byte c has c as its low nibble
        want = torch.stack([table[:, byte[0] & 15], table[:, byte[0] >> 4]], dim=-1)
        assert torch.equal(values.nan_to_num(1e9), want.nan_to_num(1e9)) and torch.equal(values.isnan(), want.isnan())
        theirs = hf_mxfp4.convert_moe_packed_tensors(blocks, scales, dtype=dtype).transpose(1, 2).reshape(256, 256, 2)
        assert torch.equal(values.nan_to_num(1e9), theirs.nan_to_num(1e9))
        out[f"table.{label}"] = table.to(F32 if label == "f32" else F64)
    exact = np.ldexp(np.array(openai_weights.FP4_VALUES), np.arange(255)[:, None] - 127)
    assert (out["table.f64"][:255].numpy() == exact).all()
    g = rng(5)
    blocks = torch.from_numpy(g.integers(0, 256, (2, 6, 2, 16), dtype=np.uint8))
    scales = torch.from_numpy(g.integers(118, 134, (2, 6, 2), dtype=np.uint8))
    out |= {"example.blocks": blocks, "example.scales": scales, "example.openai": openai_dequantise(blocks, scales, BF16)}
    out["example.hf"] = hf_mxfp4.convert_moe_packed_tensors(blocks, scales)
    return out, {}


def openai_dequantise(blocks, scales, dtype):
    with tempfile.TemporaryDirectory() as folder:
        tensors.save(f"{folder}/x.safetensors", {"b": blocks, "s": scales})
        checkpoint = openai_weights.Checkpoint(folder, torch.device("cpu"))
        return checkpoint._get_mxfp4_tensor("b", "s", dtype=dtype)


@golden_set(
    "GGUF blocks through the gguf package. mxfp4.bytes [256, 17]: one block under each scale byte (random codes) → mxfp4.f32"
    " [256, 32]; qs[j] holds element j low, element j+16 high. Scale 255 differs from set mxfp4: ggml halves the scale before"
    " it multiplies, so its small codes stay finite. q8_0.bytes [64, 34] → q8_0.f32: random, zero, ±127/−128, f16-subnormal scale."
)
def gguf_blocks():
    g = rng(6)
    packed = np.concatenate([np.arange(256, dtype=np.uint8)[:, None], g.integers(0, 256, (256, 16), dtype=np.uint8)], axis=1)
    kind = gguf.GGMLQuantizationType
    with np.errstate(all="ignore"):
        out = {"mxfp4.bytes": packed, "mxfp4.f32": gguf.quants.dequantize(packed, kind.MXFP4)}
    d = np.abs(g.normal(0, 0.02, 64)).astype(np.float16)
    d[0], d[1], d[2], d[3] = 0.0, 6e-8, 3e-6, 65504.0
    q = g.integers(-128, 128, (64, 32)).astype(np.int8)
    q[4], q[5] = 127, -128
    packed = np.concatenate([d.view(np.uint8).reshape(64, 2), q.view(np.uint8)], axis=1)
    out |= {"q8_0.bytes": packed, "q8_0.f32": gguf.quants.dequantize(packed, kind.Q8_0)}
    return out, {}


@golden_set(
    "Q8_0 quantisation by the gguf package (ggml's quantize_row_q8_0_ref): DTYPE.x [rows, cols] → DTYPE.bytes [rows, cols/32·34]."
    " f32: normal, large, of f16-subnormal and of vanishing scale, a zero block, negative zeros, a scale just below 65520, ties"
    " (k + ½ under a scale of 1). bf16 and f16: values of these types."
)
def q8_0_quantise():
    g, out = rng(8), {}
    rows = [g.normal(0, 0.02, 64), g.normal(0, 1e4, 64), g.normal(0, 3e-5, 64), g.normal(0, 1e-12, 64), g.normal(0, 1, 64)]
    rows += [np.concatenate([np.zeros(32), np.full(32, -0.0)]), np.full(64, 8321039.5)]
    rows += [np.concatenate([np.arange(-126, 130, 8) + 0.5, [-127.0, *np.arange(31) - 15.5]])]
    rows[4][7], rows[6][1::2] = 1e3, -1.0
    rows[7][31] = 127.0
    x = np.stack(rows).astype(np.float32)
    for label, values in (("f32", x), ("bf16", bf16(x[:5]).float().numpy()), ("f16", x[[0, 4]].astype(np.float16).astype(np.float32))):
        out |= {f"{label}.x": values, f"{label}.bytes": gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q8_0)}
    return out, {}


@golden_set(
    "Products with quantised weights, as torch computes them from the dequantised ones. q8_0.bytes [n, k/32·34] by the gguf"
    " package: y = x·Wᵀ + b. mxfp4.blocks [E, n, k/32, 16], mxfp4.scales through OpenAI's weights.py: y[t, j] = W[e]·x[t] + b[e]"
    " with e = ids[t, j]; bf16: rounded ahead of the bias and after it. rows of x: normal, large, with an outlier, small, zero."
    " .int16 and .int8: numpy's float32 and integers, step by step as these dialects say."
)
def quantised_linear():
    g, out = rng(9), {}
    t, k, n, experts = 5, 96, 11, 3
    x = g.normal(0, 1, (t, k)) * np.array([1, 3, 1, 0.3, 0])[:, None]
    x[2, 40] = 20
    x, b = bf16(x), bf16(g.normal(0, 1, n))
    packed = gguf.quants.quantize(g.normal(0, k**-0.5, (n, k)).astype(np.float32), gguf.GGMLQuantizationType.Q8_0)
    w = torch.from_numpy(gguf.quants.dequantize(packed, gguf.GGMLQuantizationType.Q8_0))
    out |= {"x": x, "q8_0.bytes": packed, "q8_0.b": b}
    blocks = torch.from_numpy(g.integers(0, 256, (experts, n, k // 32, 16), dtype=np.uint8))
    scales = torch.from_numpy(g.integers(121, 126, (experts, n, k // 32), dtype=np.uint8))
    ids, biases = torch.tensor([[0, 2], [1, 0], [2, 1], [1, 2], [0, 1]]), bf16(g.normal(0, 1, (experts, n)))
    out |= {"mxfp4.blocks": blocks, "mxfp4.scales": scales, "mxfp4.ids": ids.int(), "mxfp4.b": biases}
    for label, dtype in (("f64", F64), ("f32", F32), ("bf16_openai", BF16)):
        out[f"q8_0.{label}"] = torch.nn.functional.linear(x.to(dtype), w.to(dtype), b.to(dtype))
        chosen = openai_dequantise(blocks, scales, dtype)[ids]
        out[f"mxfp4.{label}"] = torch.einsum("tjnk,tk->tjn", chosen, x.to(dtype)) + biases.to(dtype)[ids]
    packed = packed.reshape(n, k // 32, 34)
    int8s, half = packed[..., 2:].view(np.int8), packed[..., :2].copy().view(np.float16)[..., 0].astype(np.float32)
    doubled = np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12])
    nibbles = doubled[np.stack([blocks & 15, blocks >> 4], axis=-1).reshape(experts, n, k // 32, 32)]
    powers = (scales.numpy().astype(np.uint32) << 23).view(np.float32)
    rows, b, biases = x.float().numpy(), b.float().numpy(), biases.float().numpy()
    for label, largest in (("int16", 32639), ("int8", 127)):
        out[f"q8_0.{label}"] = np.stack([integer_product(v, int8s, half, 1, largest) + b for v in rows])
        out[f"mxfp4.{label}"] = np.stack([
            [integer_product(v, nibbles[e], powers[e], 0.5, largest) + biases[e] for e in row] for v, row in zip(rows, ids)
        ])
    return out, {}


def integer_product(x, w, scales, unit, largest):
    """x [k] float32, w [n, k/32, 32] integers, scales [n, k/32] float32 → [n]; the largest |x| of 32 becomes ±largest."""
    blocks, f = x.reshape(-1, 32), np.float32
    peak = abs(blocks).max(axis=1)
    with np.errstate(all="ignore"):
        inverse = f(largest) / peak
        lowest = -128 if largest == 127 else -32768
        q = np.clip(np.nan_to_num(np.rint(blocks * inverse[:, None]), nan=0), lowest, largest)
    sums = (w.astype(np.int64) * q.astype(np.int64)).sum(axis=2)
    values = sums.astype(f) * (scales * (f(unit) * (peak / f(largest))))
    total = np.zeros(len(w), f)
    for i in range(len(blocks)):
        total = total + values[:, i]
    assert total.dtype == f
    return total


@golden_set(
    "expf of Cephes in numpy's float32, step by step as the dialects int16 and int8 say: x (F32) → y. The edges of overflow and of"
    " underflow to 0, ±0, ±inf, NaN, subnormal arguments, multiples of ln 2 and halves of them, and ordinary arguments."
)
def exp_float32():
    g, f = rng(11), np.float32
    halves = np.arange(-125, 127) * (math.log(2) / 2)
    edges = [s * float(v) for v in (0, 1e-45, 1e-38, 1e-8, 100, math.inf) for s in (1, -1)] + [math.nan]
    for v in (88.37626, -87.33654):
        edges += [float(np.nextafter(f(v), f(v) + s)) for s in (-1, 0, 1)]
    x = np.concatenate([edges, halves, g.uniform(-87.33, 88.37, 300), g.normal(0, 3, 300), g.normal(0, 1e-3, 50)]).astype(f)
    return {"x": x, "y": cephes_expf(x)}, {}


def cephes_expf(x):
    f = np.float32
    inside = np.where((x >= f(-87.33654)) & (x <= f(88.37626)), x, f(0))
    n = np.rint(inside * f(math.log2(math.e)))
    r = (inside - n * f(0.693359375)) - n * f(-2.12194440e-4)
    y = np.full_like(r, 1.9875691500e-4)
    for c in (1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1):
        y = y * r + f(c)
    y = (y * (r * r) + r) + f(1)
    y = y * ((n.astype(np.int32) + 127) << 23).view(f)
    y = np.where(x > f(88.37626), f(math.inf), np.where(x < f(-87.33654), f(0), np.where(np.isnan(x), x, y)))
    assert x.dtype == r.dtype == n.dtype == y.dtype == f
    return y


@golden_set(
    "Attention with sinks as the dialects int16 and int8 define it, in numpy's float32: q [T, heads, d], k, v [T, kv heads, d],"
    " sinks [heads] → context.wW [T, heads·d] and sink.wW [heads, T] for windows W, 0 for none. T = 70 spans three blocks of 32."
)
def attention_float32():
    g, f = rng(12), np.float32
    t, heads, kv, d = 70, 4, 2, 24
    q, k, v = (bf16(g.normal(0, s, (t, n, d))) for s, n in ((2.5, heads), (1, kv), (1, kv)))
    sinks = bf16([1.5, -0.75, 30.0, -30.0])
    out = {"q": q, "k": k, "v": v, "sinks": sinks}
    q, k, v, sinks = (a.float().numpy() for a in (q, k, v, sinks))
    for window in (0, 40):
        context, shares = np.zeros((t, heads, d), f), np.zeros((heads, t), f)
        for i, h in np.ndindex(t, heads):
            at = np.arange(max(0, i - window + 1) if window else 0, i + 1)
            keys, values = k[at, h * kv // heads], v[at, h * kv // heads]
            score = np.zeros(len(at), f)
            for j in range(d):
                score = score + q[i, h, j] * keys[:, j]
            score = score * f(1 / math.sqrt(d))
            peak = max(score.max(), sinks[h])
            power, sink = cephes_expf(score - peak), cephes_expf(sinks[h : h + 1] - peak)
            a, b, c, e = (sum(map(float, power[at % 4 == part])) for part in range(4))  # in double
            total = f(((a + b) + (c + e)) + float(sink[0]))
            shares[h, i] = sink[0] / total
            for block in np.unique(at >> 5):
                part = np.zeros(d, f)
                for p in np.flatnonzero(at >> 5 == block):
                    part = part + (power[p] / total) * values[p]
                context[i, h] += part
        out |= {f"context.w{window}": context.reshape(t, -1), f"sink.w{window}": shares}
    return out, {}


# -------------------------------------------------------------------------------------------------- elementary functions


def correctly_rounded(value):
    """mpf → the nearest double (ties to even), subnormal results and overflow included."""
    if not mp.isfinite(value):
        return float(value)
    sign, man, exp, _ = value._mpf_
    exact = Fraction(man) * Fraction(2) ** exp
    try:
        return float(-exact if sign else exact)  # integer / integer division rounds correctly in Python
    except OverflowError:
        return -math.inf if sign else math.inf


def f32s(x):
    return np.asarray(x, np.float64).astype(np.float32).astype(np.float64)


@golden_set(
    "exp, log, sin, cos, pow by mpmath at 300 bits: FN.x (pow: .x and .e, x^e) and FN.y, the correctly rounded double. Most"
    " arguments are float32 values, the rest doubles. Covers float32's and double's edges of overflow and underflow,"
    " subnormal arguments and results, and angles up to 131072, among them those nearest to multiples of π/2."
)
def math_functions():
    mp.prec = 300
    g = rng(7)
    near = lambda v, n=4: [float(np.nextafter(np.float32(v), np.float32(s * np.inf))) if i else float(np.float32(v)) for i in range(2) for s in (1, -1)][:n]

    x = {}
    x["exp"] = np.concatenate([
        f32s(g.uniform(-104, 89, 900)), f32s(g.normal(0, 3, 500)), f32s(g.normal(0, 1e-3, 200)), g.uniform(-746, 710, 500), g.normal(0, 2, 300),
        [0.0, -0.0, *near(88.72283935546875), *near(-87.33654), *near(-103.97208), *near(-103.27893), 709.782712893384, 709.7827128933841,
         -708.3964185322641, -745.1332191019411, -745.1332191019412, -1000.0, 1000.0, math.log(2), math.log(2) / 2, 5e-324, 1e-45],
    ])
    x["log"] = np.concatenate([
        f32s(np.exp(g.uniform(-87, 88, 700))), f32s(1 + g.normal(0, 1e-3, 300)), f32s(1 + g.choice([-1, 1], 60) * 2.0 ** -g.integers(1, 24, 60)),
        f32s(2.0 ** g.integers(-149, 128, 100)), np.exp(g.uniform(-740, 709, 300)), g.integers(1, 2**22, 200) * 2.0**-149, 5e-324 * g.integers(1, 2**40, 100),
        [1.0, 2.0, 10.0, 32.0, 4096.0, 150000.0, 2 * math.pi, 3.4028234663852886e38, 1.7976931348623157e308, 5e-324, 1e-45, *near(1.0)],
    ])
    hard = []  # float32 angles closest to k·π/2
    for k in np.concatenate([np.arange(1, 200), g.integers(200, 83443, 400)]):
        hard += near(float(k) * math.pi / 2, 3)
    inv = yarn_hf(*YARN["20b"])[0].numpy()
    angles = np.float32(g.integers(0, 131072, 1200)) * g.choice(inv, 1200)
    x["sin"] = x["cos"] = np.concatenate([
        angles.astype(np.float64), np.array(hard), f32s(g.uniform(-131072, 131072, 500)), f32s(g.uniform(-7, 7, 400)), f32s(g.normal(0, 1e-3, 100)),
        [0.0, -0.0, 1e-45, 5e-324, 131071.0, 131072.0, math.pi, math.pi / 2, math.pi / 4, *near(math.pi / 4), 1e-8],
    ])
    bases = np.concatenate([np.full(32, 150000.0), np.full(32, 10000.0), np.full(32, 1e6), f32s(np.exp(g.uniform(-10, 14, 900))), f32s(1 + g.normal(0, 1e-3, 200)), np.exp(g.uniform(-300, 300, 200))])
    exponents = np.concatenate([np.arange(32) / 32, np.arange(32) / 32, np.arange(32) / 32, f32s(g.uniform(-3, 3, 900)), f32s(g.uniform(-3000, 3000, 200)), g.uniform(-2.5, 2.5, 200)])
    extra = [(2.0, -149.0), (2.0, -150.0), (2.0, -1074.0), (2.0, -1075.0), (2.0, 127.0), (2.0, 1023.0), (2.0, 1024.0), (10.0, 38.0), (10.0, 39.0), (7.5, 0.0), (1.0, 1e30), (0.1, -0.1), (150000.0, 0.984375)]
    x["pow"] = np.concatenate([bases, [a for a, _ in extra]])
    e = np.concatenate([exponents, [b for _, b in extra]])

    out = {"pow.e": e}
    for name, arguments in x.items():
        if name == "pow":
            y = [correctly_rounded(mp.power(mpf(float(a)), mpf(float(b)))) for a, b in zip(arguments, e)]
        else:
            y = [float(a) if name == "sin" and a == 0 else correctly_rounded(getattr(mp, name)(mpf(float(a)))) for a in arguments]
        out |= {f"{name}.x": arguments, f"{name}.y": np.array(y)}
    return out, {"points": {k: len(v) for k, v in x.items()}}


# ---------------------------------------------------------------------------------------------------------------- main


def make(out):
    versions = {"torch": torch.__version__, "transformers": transformers.__version__, "gpt-oss": "0.0.9", "gguf": "0.19.0", "mpmath": "1.3.0", "numpy": np.__version__}
    manifest = {"command": "python scripts/golden/ops.py", "versions": versions, "suffixes": "f64: everything double; f32; bf16_openai and bf16_hf: as the package rounds, stored as BF16", "files": {}}
    for name, (description, fn) in SETS.items():
        with torch.inference_mode():
            values, notes = fn()
        path = f"{out}/{name}.safetensors"
        tensors.save(path, values)
        manifest["files"][f"{name}.safetensors"] = {"description": description, "bytes": os.path.getsize(path), "sha256": tensors.sha256(path), **notes}
        print(f"{os.path.getsize(path):8d}  {path}")
    tensors.write_json(f"{out}/manifest.json", manifest)


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../golden/ops"))
    torch.set_num_threads(1)
    make(os.path.normpath(p.parse_args().out))
