"""Batched greedy decoding with a key/value cache, and tools that are played from a script."""

from dataclasses import dataclass

import torch

from conversations import Conversation
from harmony import Harmony, Message, tool_channel, turn
from model import Cache, Layout, Transformer
from skills import Call


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


@dataclass
class Answer:
    messages: list[tuple[str, str]]  # what the assistant wrote: headers and contents
    right: bool  # the calls and the final message, to the letter
    thought: int  # tokens of analysis


def expected(c: Conversation) -> list[tuple[str, str]]:
    """The calls and the answer, as the assistant is to write them."""
    headers = []
    for m in turn(c.last, "low"):
        if m.author == "assistant" and (m.recipient or m.channel == "final"):
            to = f" to={m.recipient}" if m.recipient else ""
            kind = f" {m.content_type}" if m.content_type else ""
            headers.append((f"<|channel|>{m.channel}{to}{kind}", m.content))
    return headers


def from_script(c: Conversation, stage: int, header: str, content: str) -> Call | None:
    """The problem's own reply, if the call is the expected one."""
    wanted = expected(c)
    return c.last.calls[stage] if stage < len(wanted) - 1 and wanted[stage] == (header, content) else None


def solve(model, harmony: Harmony, cs: list[Conversation], effort: str, date="2025-06-28", limit=320, experts=None,
          batch=128, play=from_script) -> list[Answer]:  # fmt: skip
    """Lets the model answer; `play` is the tools: it returns the call with its reply, or None, which ends the turn. All
    conversations have the same system message."""
    out = []
    for i in range(0, len(cs), batch):
        out += solve_batch(model, harmony, cs[i : i + batch], effort, date, limit, experts, play)
    return out


def solve_batch(model, harmony: Harmony, cs, effort, date, limit, experts, play) -> list[Answer]:
    answers = [Answer([], False, 0) for _ in cs]
    prompts = [harmony.developer(c.setting) + harmony.prompt(c) for c in cs]
    prefix = harmony.system(effort, date, cs[0].setting)
    alive = list(range(len(cs)))
    for stage in range(4):
        outputs = generate(model, prefix, [prompts[i] for i in alive], harmony.stop, limit, experts) if alive else []
        going = []
        for i, ids in zip(alive, outputs):
            c, answer = cs[i], answers[i]
            messages = harmony.parse(ids)
            answer.messages += messages
            answer.thought += sum(len(harmony.text(text)) for header, text in messages if header == "<|channel|>analysis")
            answer.right = messages[-1] == expected(c)[-1]
            call = play(c, stage, *messages[-1])
            if call:
                reply = Message(call.recipient, call.reply, tool_channel(call.recipient), "assistant")
                prompts[i] = prompts[i] + ids + [harmony.call] + harmony.render(reply)
                prompts[i] += [harmony.start, *harmony.word("assistant")]
                going.append(i)
        alive = going
    return answers
