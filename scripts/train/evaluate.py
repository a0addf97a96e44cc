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

import web
from conversations import TOOL_SKILLS, Conversation, any_problem, conversation, setting_of, test_conversations
from export import load
from generate import Answer, expected, generate, solve
from harmony import GOLDEN, Harmony, Message
from model import Layout
from skills import EFFORTS, SKILLS, Call, held_out, problem
from tools import PLAIN, multiplication

LABELS = {
    "add2": "addition, 2 digits", "add3": "addition, 3 digits", "sub2": "subtraction, 2 digits",
    "sub3": "subtraction, 3 digits", "compare": "comparing two numbers", "sort": "sorting 3–6 numbers",
    "count": "counting a letter", "reverse": "reversing a word", "length": "length of a word",
    "repeat": "repeating words", "list": "words as a JSON list", "talk": "who it is, greetings, thanks", "other": "declining other requests",
    "call: function": "function calls: the right function", "call: schema": "… arguments that fit its schema",
    "call: arguments": "… the right arguments", "call": "… and the right answer after the reply",
    "python: call": "Python: the right code", "python": "… and the right answer", "multiply": "multiplying with Python, the answer",
    "json": "JSON of a given schema", "browse: search": "browsing: the right query", "browse: open": "… the right page opened",
    "browse": "… and the right answer with its citation", "web": "the same on golden/web, all 128 questions",
    "functions, talk": "small talk and declining, with functions", "functions, plain": "numbers and words, with functions",
    "python, talk": "small talk and declining, with Python", "browser, talk": "small talk, with the browser",
}  # fmt: skip
PLAIN_ROWS = list(SKILLS)
TOOL_ROWS = list(LABELS)[len(SKILLS) : -4]
OTHER_ROWS = list(LABELS)[-4:]
TURNS = [*SKILLS, *TOOL_SKILLS]  # rows that have an analysis of their own


def fits(value, schema: dict) -> bool:
    """As far as the schemas here go."""
    kinds = {"string": str, "number": (int, float), "integer": int, "boolean": bool, "array": list, "object": dict}
    kind = schema["type"]
    if not isinstance(value, kinds[kind]) or (kind in ("number", "integer") and isinstance(value, bool)):
        return False
    if "enum" in schema:
        return value in schema["enum"]
    if kind == "array":
        return all(fits(v, schema["items"]) for v in value)
    if kind == "object":
        known = schema["properties"]
        return all(k in known and fits(v, known[k]) for k, v in value.items()) and set(schema.get("required", [])) <= set(value)
    return True


def grade(c: Conversation, a: Answer) -> dict[str, bool]:
    """What was right, by row."""
    skill, wanted = c.last.skill, expected(c)
    calls = [m for m in a.messages if m[0] != "<|channel|>analysis"]
    same = [m == w for m, w in zip(calls, wanted)] + [False] * len(wanted)
    if skill == "call":
        header, text = calls[0] if calls else ("", "")
        right = header == wanted[0][0]
        schema = next(f.schema for f in c.setting.functions if f"functions.{f.name}" == c.last.calls[0].recipient)
        try:
            fit = fits(json.loads(text), schema or {"type": "object", "properties": {}})
        except json.JSONDecodeError:
            fit = False
        return {"call: function": right, "call: schema": right and fit, "call: arguments": same[0], "call": a.right}
    if skill == "python":
        return {"python: call": same[0], "python": a.right}
    if skill == "browse":
        return {"browse: search": same[0], "browse: open": same[0] and same[1], "browse": a.right}
    return {skill: a.right}


class Browser:
    """Plays the browser on a web for one conversation: what SimpleBrowserTool would show."""

    def __init__(self, pages: list[web.Page]):
        self.pages, self.shown = pages, []

    def reply(self, recipient: str, arguments: str) -> str:
        try:
            given = json.loads(arguments)
            if recipient == "browser.search":
                self.shown.append(web.search(self.pages, given["query"]))
                return web.results_page(len(self.shown) - 1, given["query"], self.shown[-1])
            p = self.shown[given["cursor"]][given["id"]]
            self.shown.append([])
            return web.display(len(self.shown) - 1, p.title, p.url, web.page_lines(p))
        except (ValueError, KeyError, IndexError, TypeError) as error:
            return f"Error: {type(error).__name__}"


def web_questions() -> list[Conversation]:
    pages, rng = web.fixed_web(), random.Random(1)
    setting = web.browser_setting(rng)
    return [
        Conversation(setting, [], web.browse(rng, pages, None, p, f, q.format(e=p.title)))
        for p in pages for f in p.facts for q in f.questions[:1]
    ]  # fmt: skip


def special(row: str, count: int, seed: int) -> list[Conversation]:
    """Conversations of the rows that aren't a skill's own."""
    rng, out = random.Random(f"{seed} {row}"), []
    if row == "web":
        return web_questions()
    kind = {"functions": "call", "browser": "browse"}.get(row.split(",")[0], "python")
    while len(out) < count:
        setting = setting_of(rng, kind)
        setting.instructions = None
        if kind == "call":
            setting.python = False
        if row == "multiply":
            p = multiplication(rng)
            out += [Conversation(setting, [], p)] if held_out(p.key) and "failed" not in p.final else []
            continue
        p = any_problem(rng, setting, True) if kind != "call" else problem(rng, None, True)
        talk = p.skill in ("talk", "other")
        if p.calls or talk != row.endswith("talk"):
            continue
        out.append(Conversation(setting, [], p))
    return out


def measure_row(folder: Path, row: str, count: int, seed: int) -> dict:
    """(row, effort) -> (accuracy, mean analysis tokens)"""
    torch.set_num_threads(1)
    model, harmony, cells = load(folder), Harmony(folder), {}
    cs = test_conversations(row, count, seed) if row in TURNS else special(row, count, seed)
    for effort in EFFORTS:
        if row == "web":
            browsers = {id(c): Browser(web.fixed_web()) for c in cs}

            def play(c, stage, header, text):
                recipient = header.partition(" to=")[2].split(" ")[0]
                return Call(recipient, text, browsers[id(c)].reply(recipient, text), {}) if recipient.startswith("browser.") else None

            got = solve(model, harmony, cs, effort, limit=200, play=play)
            grades = [{"web": a.right} for a in got]
        else:
            got = solve(model, harmony, cs, effort, limit=200 if row not in SKILLS else 320)
            grades = [grade(c, a) if row in TURNS else {row: a.right} for c, a in zip(cs, got)]
        length = sum(a.thought for a in got) / len(got)
        for name in grades[0]:
            right = sum(g[name] for g in grades) / len(grades)
            cells[name, effort] = right, length
            print(f"{name:16} {effort:6} {right:6.1%}  analysis {length:5.1f} tokens", flush=True)
    return cells


def measure(args) -> dict:
    rows = args.rows.split(";") if args.rows else [*TURNS, "multiply", "web", *OTHER_ROWS]
    with multiprocessing.get_context("spawn").Pool(args.threads) as pool:
        jobs = [(args.folder, row, args.count, args.seed) for row in rows]
        return {k: v for part in pool.starmap(measure_row, jobs, chunksize=1) for k, v in part.items()}


def measure_chats(model, harmony: Harmony, count: int, seed: int) -> float:
    """Conversations with a developer message or earlier turns, medium effort, all skills that need no tools."""
    rng = random.Random(f"chats {seed}")
    cs = []
    while len(cs) < count:
        c = conversation(rng, "plain", PLAIN, test=True)
        if c.history or c.setting.instructions:
            cs.append(c)
    return sum(a.right for a in solve(model, harmony, cs, "medium")) / count


def measure_tool_chats(model, harmony: Harmony, count: int, seed: int) -> float:
    """Function calls behind an earlier turn, medium effort, rendered as openai-harmony does."""
    rng = random.Random(f"tool chats {seed}")
    cs = []
    while len(cs) < count:
        setting = setting_of(rng, "call", True)
        setting.python = False
        c = conversation(rng, "call", setting, "call", test=True)
        if c.history:
            c.again = False
            cs.append(c)
    return sum(a.right for a in solve(model, harmony, cs, "medium")) / count


def call_problems(count: int, seed: int) -> list[dict]:
    """The problems of the rows on function calls, for strict-calls.ts."""
    out = []
    for c in test_conversations("call", count, seed):
        call, functions = c.last.calls[0], c.setting.functions
        out.append({
            "functions": [{"name": f.name, "description": f.description, "parameters": f.schema} for f in functions],
            "instructions": c.setting.instructions, "prompt": c.last.prompt, "name": call.recipient.removeprefix("functions."),
            "arguments": call.arguments, "reply": call.reply, "answer": c.last.final,
        })  # fmt: skip
    return out


def tables(cells: dict, chats: tuple[float, float], count: int, seed: int) -> str:
    head = "| {} | low | medium | high |\n|---|---|---|---|\n"
    cell = lambda s, e, i: f"{cells[s, e][0]:.1%}" if i == 0 else f"{cells[s, e][1]:.0f}"
    rows = lambda names, i: "".join(f"| {LABELS[s]} | " + " | ".join(cell(s, e, i) for e in EFFORTS) + " |\n" for s in names)
    mean = lambda e, i: sum(cells[s, e][i] for s in SKILLS) / len(SKILLS)
    average = lambda i, text: "| **mean** | " + " | ".join(text.format(mean(e, i)) for e in EFFORTS) + " |\n"
    return (
        f"Exact final answers on held-out problems, {count} a cell, greedy (seed {seed}), without tools:\n\n"
        f"{head.format('skill')}{rows(PLAIN_ROWS, 0)}{average(0, '**{:.1%}**')}\n"
        f"With a developer message or earlier turns, all of these mixed, medium effort: {chats[0]:.1%} of {count}.\n\n"
        f"With tools, whose replies are played from a script; calls and answers are right if they are so to the letter:\n\n"
        f"{head.format('skill')}{rows(TOOL_ROWS, 0)}\n"
        f"A function call and its answer behind an earlier turn, medium effort: {chats[1]:.1%} of {count}.\n\n"
        f"Other requests while tools are on offer:\n\n{head.format('request')}{rows(OTHER_ROWS, 0)}\n"
        f"Mean length of the analysis, in tokens, over a whole turn:\n\n{head.format('skill')}{rows(TURNS, 1)}"
    )


def write_card(folder: Path, text: str):
    card = folder / "README.md"
    start, end = "<!-- evaluate.py: begin -->", "<!-- evaluate.py: end -->"
    pattern = re.compile(re.escape(start) + ".*" + re.escape(end), re.DOTALL)
    card.write_text(pattern.sub(lambda _: f"{start}\n{text}{end}", card.read_text()))


@torch.no_grad()
def compare_with_transformers(folder: Path, model, harmony: Harmony, count: int = 8):
    from transformers import AutoTokenizer, GptOssForCausalLM, Mxfp4Config

    theirs = GptOssForCausalLM.from_pretrained(
        folder, quantization_config=Mxfp4Config(dequantize=True), dtype=torch.float32, attn_implementation="eager"
    ).eval()
    fast = AutoTokenizer.from_pretrained(folder)
    stop = harmony.stop
    worst = 0.0
    for i in range(count):
        effort = EFFORTS[i % 3]
        c = test_conversations([*list(SKILLS)[:4], *TOOL_SKILLS][i % 8], 1, i)[0]
        prefix = harmony.system(effort, "2025-06-28", c.setting) + harmony.developer(c.setting)
        prompt = harmony.prompt(c)
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
              f"greedy text {'same' if mine == their else 'DIFFERENT'}: {harmony.parse(mine)[-1]}")  # fmt: skip
        assert mine == their
    assert worst < 2e-3, worst


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=GOLDEN)
    parser.add_argument("--count", type=int, default=200, help="problems a cell")
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rows", help="only these rows, separated by semicolons")
    parser.add_argument("--write", action="store_true", help="put the tables into the model card")
    parser.add_argument("--transformers", action="store_true", help="only compare with transformers")
    parser.add_argument("--calls", type=Path, help="only write the problems of function calls to this file")
    parser.add_argument("--ask", help="only answer this question, at each effort")
    args = parser.parse_args()
    if args.calls:
        return args.calls.write_text(json.dumps(call_problems(args.count, args.seed)))
    torch.set_num_threads(args.threads)
    model, harmony = load(args.folder), Harmony(args.folder)
    if args.transformers:
        return compare_with_transformers(args.folder, model, harmony)
    if args.ask:
        prompt = harmony.render(Message("user", args.ask)) + [harmony.start, *harmony.word("assistant")]
        for effort in EFFORTS:
            ids = generate(model, harmony.system(effort, "2025-06-28"), [prompt], harmony.stop, 400)[0]
            print(f"[{effort}]", *(f"{header}: {text}" for header, text in harmony.parse(ids)), "", sep="\n")
        return
    steps = json.loads((args.folder / "manifest.json").read_text())["training"]["steps"]
    print(f"checkpoint of {steps} steps")
    cells = measure(args)
    if args.rows:
        return
    chats = tuple(f(model, harmony, args.count, args.seed) for f in (measure_chats, measure_tool_chats))
    text = tables(cells, chats, args.count, args.seed)
    print(text)
    if args.write:
        write_card(args.folder, text)


if __name__ == "__main__":
    main()
