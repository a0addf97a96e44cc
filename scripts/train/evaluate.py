"""Measures the exported checkpoint: exact answers on held-out problems, and how long its analysis is.

Everything is read from the files in the folder: MXFP4 experts dequantised, bfloat16 weights, float32 compute, greedy
decoding. The tables go into the model card, between its markers.

    python evaluate.py --count 200 --write
    python evaluate.py --transformers        # compare logits and greedy text with transformers' GptOssForCausalLM
"""

import argparse
import json
import multiprocessing
import random
import re
from pathlib import Path

import torch

from export import load
from generate import answers, generate, test_conversations
from harmony import GOLDEN, Harmony
from model import Layout
from skills import EFFORTS, SKILLS, conversation

LABELS = {
    "add2": "addition, 2 digits", "add3": "addition, 3 digits", "sub2": "subtraction, 2 digits",
    "sub3": "subtraction, 3 digits", "compare": "comparing two numbers", "sort": "sorting 3–6 numbers",
    "count": "counting a letter", "reverse": "reversing a word", "length": "length of a word",
    "repeat": "repeating words", "talk": "who it is, greetings, thanks", "other": "declining other requests",
}  # fmt: skip


def measure_skill(folder: Path, skill: str, count: int, seed: int) -> dict:
    """(skill, effort) -> (accuracy, mean analysis tokens)"""
    torch.set_num_threads(1)
    model, harmony, cells = load(folder), Harmony(folder), {}
    cs = test_conversations(skill, count, seed)
    for effort in EFFORTS:
        got = answers(model, harmony, cs, effort)
        right = sum(final == c.last.final for c, (_, final, _) in zip(cs, got))
        length = sum(len(harmony.text(analysis)) for analysis, _, _ in got)
        cells[skill, effort] = right / count, length / count
        print(f"{skill:8} {effort:6} {right / count:6.1%}  analysis {length / count:5.1f} tokens", flush=True)
    return cells


def measure(args) -> dict:
    with multiprocessing.get_context("spawn").Pool(args.threads) as pool:
        jobs = [(args.folder, skill, args.count, args.seed) for skill in SKILLS]
        return {k: v for part in pool.starmap(measure_skill, jobs, chunksize=1) for k, v in part.items()}


def measure_chats(model, harmony: Harmony, count: int, seed: int) -> float:
    """Conversations with a developer message or earlier turns, medium effort, all skills."""
    rng = random.Random(f"chats {seed}")
    cs = []
    while len(cs) < count:
        c = conversation(rng, test=True)
        if c.history or c.instructions:
            cs.append(c)
    got = answers(model, harmony, cs, "medium")
    return sum(final == c.last.final for c, (_, final, _) in zip(cs, got)) / count


def tables(cells: dict, chats: float, count: int, seed: int) -> str:
    head = "| skill | low | medium | high |\n|---|---|---|---|\n"
    cell = lambda s, e, i: f"{cells[s, e][0]:.1%}" if i == 0 else f"{cells[s, e][1]:.0f}"
    rows = lambda i: "".join(f"| {LABELS[s]} | " + " | ".join(cell(s, e, i) for e in EFFORTS) + " |\n" for s in SKILLS)
    mean = lambda e, i: sum(cells[s, e][i] for s in SKILLS) / len(SKILLS)
    return (
        f"Exact final answers on held-out problems, {count} a cell, greedy (seed {seed}):\n\n{head}{rows(0)}"
        f"| **mean** | " + " | ".join(f"**{mean(e, 0):.1%}**" for e in EFFORTS) + " |\n\n"
        f"With a developer message or earlier turns, all skills mixed, medium effort: {chats:.1%} of {count}.\n\n"
        f"Mean length of the analysis, in tokens:\n\n{head}{rows(1)}"
        f"| **mean** | " + " | ".join(f"**{mean(e, 1):.0f}**" for e in EFFORTS) + " |\n"
    )


def write_card(folder: Path, text: str):
    card = folder / "README.md"
    start, end = "<!-- evaluate.py: begin -->", "<!-- evaluate.py: end -->"
    pattern = re.compile(re.escape(start) + ".*" + re.escape(end), re.DOTALL)
    card.write_text(pattern.sub(lambda _: f"{start}\n{text}{end}", card.read_text()))


@torch.no_grad()
def compare_with_transformers(folder: Path, model, harmony: Harmony, count: int = 6):
    from transformers import AutoTokenizer, GptOssForCausalLM, Mxfp4Config

    theirs = GptOssForCausalLM.from_pretrained(
        folder, quantization_config=Mxfp4Config(dequantize=True), dtype=torch.float32, attn_implementation="eager"
    ).eval()
    fast = AutoTokenizer.from_pretrained(folder)
    stop = {harmony.return_, harmony.endoftext, harmony.call}
    rng = random.Random(5)
    worst = 0.0
    for i in range(count):
        effort = EFFORTS[i % 3]
        c = conversation(rng, list(SKILLS)[i % len(SKILLS)], test=True)
        prefix, prompt = harmony.system(effort, "2025-06-28"), harmony.prompt(c)
        assert fast.encode(c.last.prompt, add_special_tokens=False) == harmony.text(c.last.prompt)
        mine = generate(model, prefix, [prompt], stop, 320)[0]
        ids = torch.tensor([prefix + prompt])
        their = theirs.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=len(mine) + 1)
        their = [t for t in their[0, ids.shape[1] :].tolist() if t not in stop]
        full = torch.tensor(prefix + prompt + mine)
        logits = model(full, Layout([len(full)]))[0]
        difference = float((logits - theirs(full[None]).logits[0]).abs().max())
        worst = max(worst, difference)
        print(f"{len(full):4} tokens, largest logit {float(logits.abs().max()):.1f}, difference {difference:.1e}, "
              f"greedy text {'same' if mine == their else 'DIFFERENT'}: {harmony.parse(mine)[1]}")  # fmt: skip
        assert mine == their
    assert worst < 2e-3, worst


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=GOLDEN)
    parser.add_argument("--count", type=int, default=200, help="problems a cell")
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--write", action="store_true", help="put the tables into the model card")
    parser.add_argument("--transformers", action="store_true", help="only compare with transformers")
    parser.add_argument("--ask", help="only answer this question, at each effort")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model, harmony = load(args.folder), Harmony(args.folder)
    if args.transformers:
        return compare_with_transformers(args.folder, model, harmony)
    if args.ask:
        prompt = harmony.render("user", args.ask) + [harmony.start, *harmony.word("assistant")]
        for effort in EFFORTS:
            ids = generate(model, harmony.system(effort, "2025-06-28"), [prompt], {harmony.return_}, 400)[0]
            analysis, final = harmony.parse(ids)
            print(f"[{effort}]\n{analysis}\n=> {final}\n")
        return
    steps = json.loads((args.folder / "manifest.json").read_text())["training"]["steps"]
    print(f"checkpoint of {steps} steps")
    cells = measure(args)
    chats = measure_chats(model, harmony, args.count, args.seed)
    text = tables(cells, chats, args.count, args.seed)
    print(text)
    if args.write:
        write_card(args.folder, text)


if __name__ == "__main__":
    main()
