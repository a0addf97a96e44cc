"""The PyTorch side of check-pytorch.ts: reads jobs from stdin, one JSON object a line, and answers each with one line.

One process serves all seeds: importing torch and transformers takes longer than running models of this size.
"""

import contextlib
import json
import os
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden"))

import numpy as np
import torch

import capture
import checkpoint
import load
import tensors

NEW_TOKENS = 16


def draw(seed):
    """A random shape, and whether its experts are MXFP4 (multiples of 32) or bf16 (any size)."""
    g = np.random.Generator(np.random.Philox(key=[seed, 0]))
    between = lambda low, high: int(g.integers(low, high + 1))
    pick = lambda *list: list[between(0, len(list) - 1)]
    mxfp4, truncate = between(1, 3) > 1, between(1, 5) == 1
    width = lambda: 32 * between(1, 5) if mxfp4 else between(17, 150)
    kv_heads, experts = between(1, 3), between(3, 32)
    while True:
        shape = checkpoint.Shape(
            num_hidden_layers=between(1, 4), num_experts=experts, experts_per_token=between(1, min(4, experts)),
            vocab_size=between(7, 301), hidden_size=width(), intermediate_size=width(), head_dim=2 * between(3, 42),
            num_attention_heads=kv_heads * between(1, 4), num_key_value_heads=kv_heads,
            sliding_window=pick(1, 2, between(3, 60), between(60, 127), 128, between(129, 200)),
            initial_context_length=pick(between(28, 128), between(202, 290), between(400, 4400)),
            rope_theta=pick(500.0, 1234.5, 10000.0, 150000.0), rope_scaling_factor=pick(1.0, 2.5, 8.0, 32.0),
            rope_ntk_alpha=pick(1.0, 1.0, 0.5), rope_ntk_beta=pick(32.0, 32.0, 4.0), truncate=truncate,
        )
        low, high = shape.yarn_range()
        if (max(low, 0) < high) if truncate else (0 < low < high < shape.head_dim / 2 - 1):  # OpenAI's code demands the latter
            break
    longest = min(300, round(shape.initial_context_length * shape.rope_scaling_factor) - NEW_TOKENS)
    tokens = min(longest, pick(1, 2, between(3, 40), between(100, 300), between(100, 300), 300))
    return shape, mxfp4, g.integers(0, shape.vocab_size, tokens).tolist()


def case(seed, out):
    """Draws a shape and a prompt, and writes the checkpoint in every layout that can hold it."""
    s, mxfp4, ids = draw(seed)
    values = checkpoint.draw(s, seed, "mxfp4" if mxfp4 else "bf16")
    layouts = [("hf", True, 1), ("hf-sharded", True, 3)] if mxfp4 else []
    layouts += [("dequantised", False, 1), ("dequantised-sharded", False, 2)]
    for name, quantised, shards in layouts:
        checkpoint.write_hf(f"{out}/{name}", s, values, quantised, shards)
    names = [name for name, *_ in layouts]
    if mxfp4 and not s.truncate:
        checkpoint.write_original(f"{out}/original", s, values)
        names.append("original")
        if (s.rope_ntk_beta, s.rope_ntk_alpha) == (32, 1):  # llama.cpp's defaults, which its files leave out
            for dense in ("F32", "BF16"):
                checkpoint.write_gguf(f"{out}/{dense}.gguf", s, values, dense)
                names.append(f"{dense}.gguf")
    # and as transformers saves it, experts dequantised, in either dtype
    model = load.load_transformers(f"{out}/{names[0]}", torch.float32 if seed % 2 else torch.bfloat16)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(f"{out}/saved", max_shard_size="20KB" if seed % 4 < 2 else "1GB")
    title = (
        f"{s.num_hidden_layers} × {s.hidden_size}/{s.intermediate_size}, heads {s.num_attention_heads}/{s.num_key_value_heads} "
        f"of {s.head_dim}, {s.experts_per_token} of {s.num_experts}, window {s.sliding_window}, vocab {s.vocab_size}, context "
        f"{s.initial_context_length} × {s.rope_scaling_factor:g}{' truncated' * s.truncate}{'' if mxfp4 else ', bf16'}; {len(ids)} tokens"
    )
    sources = ["transformers"] if s.truncate else ["openai", "transformers"]  # OpenAI's code never truncates
    return {"base": names[0], "others": names[1:] + ["saved"], "sources": sources, "ids": ids, "title": title}


def trace(model, ids, source, dtype, out):
    t = capture.capture(model, ids, source, dtype)
    tensors.save(out, capture.stored(t, ids, torch.float64 if dtype == "float64" else torch.float32))


def greedy(model, ids):
    """Continuation by transformers' generate in float32, and each step's margin between its best two logits."""
    m = load.load_transformers(model, torch.float32)
    m.generation_config.eos_token_id = None
    options = {"do_sample": False, "use_cache": False, "pad_token_id": 1, "output_logits": True, "return_dict_in_generate": True}
    out = m.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)), max_new_tokens=NEW_TOKENS, **options)
    best = [step[0].topk(2).values.tolist() for step in out.logits]
    return {"ids": out.sequences[0, len(ids) :].tolist(), "margins": [a - b for a, b in best]}


torch.set_num_threads(1)
for line in sys.stdin:
    job = json.loads(line)
    try:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            answer = {"case": case, "trace": trace, "greedy": greedy}[job.pop("do")](**job)
        print(json.dumps({"answer": answer}), flush=True)
    except Exception as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
