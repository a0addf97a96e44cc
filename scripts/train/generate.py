"""Batched greedy decoding with a key/value cache, and exact-match accuracy on generated problems."""

import random

import torch

from harmony import Harmony
from model import Cache, Layout, Transformer
from skills import Conversation, conversation


@torch.no_grad()
def generate(model: Transformer, prefix: list[int], prompts: list[list[int]], stop: set[int], limit: int, experts=None):
    """Continues each prompt, all behind the same prefix, up to a stop token (left out) or `limit` tokens."""
    _, past, _ = model(torch.tensor(prefix), Layout([len(prefix)]), experts=experts)
    layout = Layout([len(p) for p in prompts])
    last = torch.tensor([len(p) for p in prompts]).cumsum(0) - 1
    tokens = torch.tensor([t for p in prompts for t in p])
    logits, new, _ = model(tokens, layout, past=past, experts=experts, wanted=last)
    caches = [Cache(old, layout, kv, limit) for old, kv in zip(past, new)]
    outputs = [[] for _ in prompts]
    alive = list(range(len(prompts)))
    for _ in range(limit):
        ids = logits.argmax(-1)
        going = [i for i, t in enumerate(ids.tolist()) if t not in stop]
        for i in going:
            outputs[alive[i]].append(int(ids[i]))
        if not going:
            break
        if len(going) < len(alive):
            rows = torch.tensor(going)
            alive, ids = [alive[i] for i in going], ids[rows]
            for cache in caches:
                cache.keep(rows)
        logits, _, _ = model(ids, None, past=caches, experts=experts)
    return outputs


def test_conversations(skill: str, count: int, seed: int, single_turn: bool = True) -> list[Conversation]:
    """Held-out problems; the same ones for each effort."""
    rng = random.Random(f"{seed} {skill}")
    out = []
    while len(out) < count:
        c = conversation(rng, skill, test=True)
        if not single_turn or not (c.history or c.instructions):
            out.append(c)
    return out


def answers(model, harmony: Harmony, conversations, effort: str, date="2025-06-28", limit=320, experts=None, batch=256):
    """(analysis ids, final text, completion ids) for each conversation."""
    stop = {harmony.return_, harmony.endoftext, harmony.call}
    out = []
    for i in range(0, len(conversations), batch):
        prompts = [harmony.prompt(c) for c in conversations[i : i + batch]]
        for ids in generate(model, harmony.system(effort, date), prompts, stop, limit, experts):
            analysis, final = harmony.parse(ids)
            out.append((analysis, final, ids))
    return out
