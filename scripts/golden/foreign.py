"""Small traces as other programs write them → test/oracle/foreign/: what src/oracle/formats and names.ts are tested on.

    python foreign.py [--out ../../test/oracle/foreign]

numpy writes the arrays; expected.json says what they hold. The text follows common/debug.cpp of llama.cpp (b7938), and its form before.
"""

import argparse
import json
import os
import shutil

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))


def arrays(out):
    """One shape in every type, byte order and memory order that is read, and what is refused."""
    base = (np.arange(24, dtype=np.float64).reshape(2, 3, 4) - 11) / 4  # exact in all floats
    whole = (base * 4).astype(np.int64)
    kinds = {f"{kind}{order}": base.astype(f"{order}{kind}") for kind in ("f2", "f4", "f8") for order in "<>"}
    kinds |= {f"{kind}{order}": whole.astype(f"{order}{kind}") for kind in ("i2", "i4", "i8") for order in "<>"}
    kinds["i1"] = whole.astype("i1")
    kinds["bfloat16-as-u2"] = (base.astype("<f4").view("<u4") >> 16).astype("<u2")
    kinds["bfloat16-as-V2"] = kinds["bfloat16-as-u2"].view("V2")
    os.makedirs(f"{out}/npy")
    expected = {}
    for name, array in kinds.items():
        name = name.replace("<", "-little").replace(">", "-big")
        for order in "CF":
            np.save(f"{out}/npy/{name}-{order}.npy", np.asarray(array, order=order))
            expected[f"{name}-{order}"] = (whole if name[0] == "i" else base).flatten().tolist()
    np.save(f"{out}/npy/scalar.npy", np.float32(1.5))
    np.save(f"{out}/object.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(f"{out}/record.npy", np.zeros(2, dtype=[("a", "<f4"), ("b", "<i4")]))
    np.savez(f"{out}/stored.npz", **{"layers.0.attn.norm": base[0].astype("f4"), "ids": np.array([5, 6, 7])})
    np.savez_compressed(f"{out}/deflated.npz", **{"layers.0.attn.norm": base[0].astype("f4"), "ids": np.array([5, 6, 7])})
    return expected | {"scalar": [1.5], "npz": base[0].flatten().tolist()}


def printed(name, kind, op, array, new):
    """The text of one tensor; array has ggml's dimensions backwards, as numpy does."""
    ne = list(array.shape[::-1]) + [1] * (4 - array.ndim)
    a, n = array.reshape(ne[::-1]), 3
    head = "common_debug_cb_eval" if new else "ggml_debug"
    size = ", ".join(map(str, ne))
    indents = (["    ", "        ", "            "], "    ") if new else ([" " * 37, " " * 38, " " * 39], " " * 37)
    lines = [f"{head}: {name:>24} = ({kind}) {op:>10}(x{{{size}}}, }}) = {{{size}}}"]
    picks = lambda size: [*range(n), None, *range(size - n, size)] if size > 2 * n else range(size)
    for i3 in range(ne[3]):
        lines.append(indents[0][0] + "[")
        for i2 in picks(ne[2]):
            if i2 is None:
                lines.append(indents[0][1] + "..., ")
                continue
            lines.append(indents[0][1] + "[")
            for i1 in picks(ne[1]):
                if i1 is None:
                    lines.append(indents[0][2] + "..., ")
                    continue
                row = ""
                for i0 in picks(ne[0]):
                    row += ("   ..., " if new else "..., ") if i0 is None else f"{a[i3, i2, i1, i0]:12.4f}" + (", " if i0 < ne[0] - 1 else "")
                lines.append(indents[0][2] + "[" + row + ("  ],".replace("  ", "  " if new else "")))
            lines.append(indents[0][1] + "],")
        lines.append(indents[0][0] + "]")
        lines.append(f"{indents[1]}sum = {a[i3].astype(np.float32).sum():f}")
    return lines


def llama(out, new):
    """Two layers of 9 tokens, hidden 8, 2 heads of 4 (1 of keys), 2 of 4 experts of width 3; the last layer computes one token."""
    g = np.random.Generator(np.random.PCG64(7))
    draw = lambda *shape: g.standard_normal(shape).round(4)
    values, lines = {}, ["build: 1 (abc)", "llama_model_loader: loaded meta data", ""]

    def add(point, name, op, array, kind="f32", shown=None):
        values[point] = {"shape": list(array.shape), "data": array.flatten().tolist()}
        lines.extend(printed(name, kind, op, array if shown is None else shown, new))

    add("embedding", "embd" if new else "inp_embd", "GET_ROWS", draw(9, 8))
    for i in (0, 1):
        last = slice(8, 9) if i == 1 else slice(0, 9)
        lines.extend(printed(f"norm-{i}", "f32", "RMS_NORM", draw(9, 8), new))
        add(f"layers.{i}.attn.norm", f"attn_norm-{i}", "MUL", draw(9, 8))
        for name, heads in (("q", 2), ("k", 1), ("v", 1)):
            lines.extend(printed(f"{name.upper()}cur-{i}", "f32", "MUL_MAT", draw(9, heads * 4), new))
            add(f"layers.{i}.attn.{name}", f"{name.upper()}cur-{i}", "ADD", draw(9, heads * 4))
            if name != "v":
                add(f"layers.{i}.attn.{name}_rope", f"{name.upper()}cur-{i}", "ROPE", draw(9, heads, 4))
        weights = np.zeros((2, 9, 32))  # the cache is padded to 32
        weights[:, :, :9] = np.tril(draw(2, 9, 9))
        add(f"layers.{i}.attn.weights", f"kq_soft_max-{i}", "SOFT_MAX", weights[:, :, :9], shown=weights)
        add(f"layers.{i}.attn.context", f"kqv_out-{i}", "CONT", draw(9, 8))
        lines.extend(printed(f"attn_out-{i}", "f32", "ADD", draw(9, 8), new))
        for point, name, op, shape in (
            ("attn.residual", "ffn_inp", "ADD", (8,)), ("moe.norm", "attn_post_norm", "MUL", (8,)),
            ("moe.router_logits", "ffn_moe_probs", "ADD", (4,)), ("moe.swiglu", "ffn_moe_swiglu_oai", "SWIGLU_OAI", (2, 3)),
            ("moe.out", "ffn_moe_out", "ADD", (8,)), ("moe.residual", "l_out", "ADD", (8,)),
        ):
            array = draw(9, *shape)
            add(f"layers.{i}.{point}", f"{name}-{i}", op, array, shown=array[last])
        ids = g.integers(0, 4, (9, 2))
        add(f"layers.{i}.moe.expert_ids", f"ffn_moe_topk-{i}", "VIEW", ids, "i32", shown=ids[last])
        gate, up = draw(9, 2, 3), draw(9, 2, 3)
        add(f"layers.{i}.moe.gate_up", f"ffn_moe_gate_biased-{i}", "ADD_ID", np.stack([gate, up], -1).reshape(9, 2, 6), shown=gate[last])
        lines.extend(printed(f"ffn_moe_up_biased-{i}", "f32", "ADD_ID", up[last], new))
    logits = draw(9, 12)
    add("logits", "result_output", "MUL_MAT", logits, shown=logits[8:])
    lines.append("llama_perf_context_print: total time = 1 ms")
    file = f"llama-{'new' if new else 'old'}.txt"
    with open(f"{out}/{file}", "w") as f:
        f.write("\n".join(lines) + "\n")
    return values


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", default=os.path.join(HERE, "../../test/oracle/foreign"))
    out = os.path.normpath(p.parse_args().out)
    shutil.rmtree(out, ignore_errors=True)
    expected = {"arrays": arrays(out), "llama": llama(out, True)}
    assert llama(out, False) == expected["llama"]
    with open(f"{out}/expected.json", "w") as f:
        json.dump(expected, f)
