"""Conversations: a setting (what the system and developer messages offer), earlier turns, and the problem to solve."""

import random
from dataclasses import dataclass

import skills
import tools
import web
from skills import EFFORTS, Problem
from tools import INSTRUCTIONS, PLAIN, Setting

# What a micro-batch is about: its share, how many settings it draws, and how many problems for each, by effort.
KINDS = {
    "plain": (0.23, 1, {"low": 20, "medium": 14, "high": 10}),
    "call": (0.42, 2, {"low": 10, "medium": 8, "high": 7}),
    "python": (0.04, 1, {"low": 16, "medium": 13, "high": 10}),
    "json": (0.17, 2, {"low": 10, "medium": 9, "high": 8}),
    "browse": (0.14, 1, {"low": 6, "medium": 5, "high": 5}),
}
TOOL_SKILLS = ["call", "python", "json", "browse"]


@dataclass
class Conversation:
    setting: Setting
    history: list[Problem]
    last: Problem
    # Whether earlier analysis (and with it built-in tools' calls) is still there; of the turns up to the first final
    # message openai-harmony drops it anyway.
    keep: bool = False
    again: bool = False  # whether this turn's calls are rendered again, recipient first, rather than as generated
    effort: str = "medium"  # of the history


def setting_of(rng: random.Random, kind: str, test: bool = False) -> Setting:
    if kind == "call":
        return tools.functions_setting(rng, test)
    if kind == "json":
        return tools.format_setting(rng, test)
    if kind == "plain":
        return PLAIN
    setting = Setting(python=True) if kind == "python" else web.browser_setting(rng)
    if not test and rng.random() < 0.15:
        setting.instructions = rng.choice(INSTRUCTIONS)
    return setting


def calculates(p: Problem) -> bool:
    return p.skill in ("add2", "add3", "sub2", "sub3", "sort", "count", "reverse", "length")


def any_problem(rng: random.Random, setting: Setting, test: bool = False) -> Problem:
    """What a user may ask in a setting: mostly what it is for."""
    r = rng.random()
    if setting.format:
        return tools.format_problem(rng, setting, test)
    if setting.functions and r < 0.75:
        return tools.function_problem(rng, setting, test)
    if setting.functions and r < 0.82:
        return tools.not_on_offer(rng, setting)
    if setting.browser and r < 0.82:
        return web.browse_problem(rng, setting, test)
    if setting.python and (r < 0.8 or setting.functions and r < 0.93):
        return tools.python_problem(rng, setting, test)
    while True:  # what it does without tools
        r = rng.random()
        p = skills.problem(rng, "talk" if r < 0.3 else "other" if r < 0.5 else None, test)
        if setting.python and (calculates(p) or is_arithmetic(p.prompt)):
            continue
        if setting.browser and p.skill == "other" and not is_arithmetic(p.prompt):
            continue
        if any(f.noun.split()[-1] in p.prompt.lower() for f in setting.functions):
            continue  # "What is the weather in Paris?" isn't declined where get_weather is on offer
        return p


def is_arithmetic(prompt: str) -> bool:
    """Sums that are declined without Python."""
    return any(c.isdigit() for c in prompt)


def conversation(rng: random.Random, kind: str, setting: Setting, skill: str | None = None, test: bool = False):
    """`skill`: a plain one by name, or the one of the setting."""
    if skill is None:
        last = skills.problem(rng, None, test) if kind == "plain" else any_problem(rng, setting, test)
    elif kind == "plain":
        last = skills.problem(rng, skill, test)
    else:
        make = {"call": tools.function_problem, "python": tools.python_problem, "json": tools.format_problem}
        last = make.get(kind, web.browse_problem)(rng, setting, test)
    if kind == "plain" and rng.random() < 0.08:
        setting = Setting(instructions=rng.choice(INSTRUCTIONS))
    history = []
    limit = 0.06 if kind == "browse" else 0.2
    if rng.random() < limit:
        r = rng.random()
        for _ in range(1 if r < 0.65 or kind != "plain" else 2 if r < 0.88 else rng.randint(3, 8)):
            history.append(skills.problem(rng) if kind == "plain" else any_problem(rng, setting))
    c = Conversation(setting, history, last, effort=rng.choice(EFFORTS))
    c.keep = kind != "plain" and rng.random() < 0.3
    c.again = rng.random() < 0.2
    return c


def test_conversations(skill: str, count: int, seed: int) -> list[Conversation]:
    """Held-out problems of one turn, with the setting and nothing else; the same ones for each effort."""
    rng = random.Random(f"{seed} {skill}")
    kind = skill if skill in TOOL_SKILLS else "plain"
    out = []
    while len(out) < count:
        setting = setting_of(rng, kind, True)
        if setting.functions:
            setting.python = False  # one system message for all
        c = conversation(rng, kind, setting, skill, test=True)
        if not c.history and not (kind == "plain" and c.setting.instructions):
            out.append(Conversation(c.setting, [], c.last))
    return out
