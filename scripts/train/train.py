"""Trains the small gpt-oss checkpoint on generated Harmony conversations, on a CPU, for a given time.

Two (or more) processes of one thread each share the parameters; each computes the gradient of its own micro-batch, the
first one averages and steps. That beats one process with two threads: small operations need no synchronisation.

    python train.py --out ../../train-run --minutes 75
"""

import argparse
import datetime
import json
import math
import multiprocessing
import os
import random
import time
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F

from conversations import KINDS, TOOL_SKILLS, conversation, setting_of, test_conversations
from export import load
from generate import solve
from harmony import GOLDEN, Harmony, random_date
from model import Config, Layout, Transformer
from muon import Muon
from skills import EFFORTS, SKILLS

NAMES = [*SKILLS, *TOOL_SKILLS]
CELLS = [(s, e) for e in EFFORTS for s in NAMES]


class Part(NamedTuple):
    """Examples behind one prefix: packed tokens, positions that predict, their targets and cells."""

    prefix: torch.Tensor
    tokens: torch.Tensor
    wanted: torch.Tensor
    targets: torch.Tensor
    cells: torch.Tensor
    layout: Layout


def make_part(rng: random.Random, harmony: Harmony, kind: str, effort: str, count: int) -> Part:
    setting = setting_of(rng, kind)
    examples = []
    for _ in range(count):
        c = conversation(rng, kind, setting)
        prompt = harmony.prompt(c)
        if c.setting is not setting:  # instructions of its own
            prompt = harmony.developer(c.setting) + prompt
        completion, learn = harmony.completion(c, effort)
        skill = c.last.skill if c.last.skill in NAMES else "python"
        examples.append((prompt, completion, learn, CELLS.index((skill, effort))))
    examples.sort(key=lambda e: len(e[0]) + len(e[1]))
    tokens, wanted, targets, cells = [], [], [], []
    for prompt, completion, learn, cell in examples:
        first = len(tokens) + len(prompt) - 1
        tokens += prompt + completion[:-1]
        wanted += [first + i for i, mine in enumerate(learn) if mine]
        targets += [t for t, mine in zip(completion, learn) if mine]
        cells += [cell] * sum(learn)
    layout = Layout([len(p) + len(c) - 1 for p, c, *_ in examples], group_size=5)
    prefix = harmony.system(effort, random_date(rng), setting) + harmony.developer(setting)
    return Part(*(torch.tensor(t) for t in (prefix, tokens, wanted, targets, cells)), layout)


def make_batch(rng: random.Random, harmony: Harmony, kind: str, effort: str) -> list[Part]:
    _, settings, counts = KINDS[kind]
    return [make_part(rng, harmony, kind, effort, counts[effort]) for _ in range(settings)]


def accuracy(model, harmony, skill, effort, count, seed, experts=None):
    cs = test_conversations(skill, count, seed)
    return sum(a.right for a in solve(model, harmony, cs, effort, experts=experts)) / count


class Shared:
    """What the processes share besides the parameters."""

    def __init__(self, workers: int, size: int):
        self.grads = torch.zeros(workers, size).share_memory_()
        self.stats = torch.zeros(workers, len(CELLS), 2).share_memory_()  # sum of loss, tokens
        self.tokens = torch.zeros(workers).share_memory_()
        self.balance = torch.zeros(workers).share_memory_()
        self.accuracy = torch.zeros(len(CELLS)).share_memory_()
        self.quantize = torch.zeros(1).share_memory_()
        self.todo = torch.zeros(2).share_memory_()  # evaluate now, stop now
        self.barrier = multiprocessing.Barrier(workers)


def worker(rank: int, model: Transformer, shared: Shared, args, lead=None):
    """Steps until told to stop. `lead` runs in the first process between the gradients and the next step."""
    torch.set_num_threads(1)
    harmony = Harmony(args.tokenizer)
    rng = random.Random(f"{args.seed} {rank} {args.start_step}")
    grads, offset = shared.grads[rank], 0
    for p in model.parameters():
        p.grad = grads[offset : offset + p.numel()].view_as(p)
        offset += p.numel()
    turn = 0
    while True:
        effort = EFFORTS[(turn + rank) % 3]
        kind = rng.choices(list(KINDS), [k[0] for k in KINDS.values()])[0]
        turn += 1
        parts = make_batch(rng, harmony, kind, effort)
        shared.barrier.wait()  # the parameters are up to date
        if shared.todo[1]:
            return
        if shared.todo[0]:
            with torch.no_grad():
                experts = model.quantized_experts()
            for i, (skill, effort) in enumerate(CELLS):
                if i % args.workers == rank:
                    count = args.eval_count if skill in TOOL_SKILLS else args.eval_count // 2
                    shared.accuracy[i] = accuracy(model, harmony, skill, effort, count, 1, experts)
            shared.barrier.wait()
            if rank == 0:
                lead.report()
            shared.barrier.wait()
        grads.zero_()
        experts = model.quantized_experts() if shared.quantize[0] else None
        count, total = sum(len(p.targets) for p in parts), 0.0
        for p in parts:
            _, past, _ = model(p.prefix, Layout([len(p.prefix)]), experts=experts)
            logits, _, balance = model(p.tokens, p.layout, past=past, experts=experts, wanted=p.wanted)
            losses = F.cross_entropy(logits, p.targets, reduction="none")
            total = total + losses.sum() / count + args.balance / len(parts) * balance
            shared.stats[rank, :, 0].index_add_(0, p.cells, losses.detach())
            shared.stats[rank, :, 1].index_add_(0, p.cells, torch.ones_like(losses))
            shared.tokens[rank] += len(p.prefix) + len(p.tokens)
        total.backward()
        shared.balance[rank] = balance.detach()
        shared.barrier.wait()  # all gradients are there
        if rank == 0:
            lead.step()


class Lead:
    """Optimiser, schedule, log and checkpoints."""

    def __init__(self, model: Transformer, shared: Shared, args):
        self.model, self.shared, self.args = model, shared, args
        hidden, matrices, others = [], [], []  # matrices within layers; embedding, unembedding and routers; biases and norms
        for name, p in model.named_parameters():
            inside = name.startswith("blocks.") and "router" not in name
            (others if p.dim() < 2 else hidden if inside else matrices).append(p)
        groups = [{"params": matrices, "weight_decay": args.weight_decay}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=args.lr, betas=(0.9, 0.98), fused=True)
        self.muon = Muon(hidden, lr=args.lr, weight_decay=args.weight_decay)
        self.steps, self.elapsed = args.start_step, args.start_seconds
        self.examples = 0
        self.began = time.time() - self.elapsed
        self.last_log = self.last_save = time.time()
        self.next_eval = self.began + self.elapsed + args.first_eval * 60
        self.log_file = open(args.out / "log.txt", "a")

    def log(self, text: str):
        print(text, flush=True)
        print(text, file=self.log_file, flush=True)

    def step(self):
        args, shared = self.args, self.shared
        self.elapsed = time.time() - self.began
        begin = args.start_seconds if args.fresh_schedule else 0.0
        progress = min(1.0, (self.elapsed - begin) / (args.seconds - begin))
        # Warm-up by steps, then a cosine over the wall clock, down to a hundredth.
        warm = self.steps + 1 - (args.start_step if args.fresh_schedule else 0)
        lr = args.lr * min(1.0, warm / args.warmup) * (0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2)
        for group in [*self.optimizer.param_groups, *self.muon.param_groups]:
            group["lr"] = lr
        total = shared.grads[0]
        for other in shared.grads[1:]:
            total += other
        total /= args.workers
        norm = float(total.norm())
        if norm > args.clip:
            total *= args.clip / norm
        if math.isfinite(norm):
            self.optimizer.step()
            self.muon.step()
        self.steps += 1
        shared.quantize[0] = float(progress >= args.quantize_from)
        now = time.time()
        if self.steps % args.log_every == 0:
            stats = shared.stats.sum(0)
            shared.stats.zero_()
            mean = lambda keep: float(sum(stats[i, 0] for i in keep) / max(1, sum(stats[i, 1] for i in keep)))
            by_skill = " ".join(f"{s} {mean([i for i, c in enumerate(CELLS) if c[0] == s]):.4f}" for s in NAMES)
            speed = float(stats[:, 1].sum()) / (now - self.last_log)
            speed_all = float(shared.tokens.sum()) / (now - self.last_log)
            shared.tokens.zero_()
            self.last_log = now
            self.log(
                f"{self.elapsed / 60:5.1f} min step {self.steps} loss {mean(range(len(CELLS))):.4f} norm {norm:.2f} "
                f"lr {lr:.1e} balance {float(shared.balance.mean()):.2f} {speed:.0f} target tok/s of {speed_all:.0f} | {by_skill}"
            )
        if now - self.last_save > 180:
            self.save()
        shared.todo[1] = float(progress >= 1)
        shared.todo[0] = float(now > self.next_eval and progress < 0.97)
        if shared.todo[0]:
            self.next_eval = now + args.eval_every * 60

    def report(self):
        values = dict(zip(CELLS, self.shared.accuracy.tolist()))
        for effort in EFFORTS:
            row = " ".join(f"{s} {values[s, effort]:.2f}" for s in NAMES)
            self.log(f"{self.elapsed / 60:5.1f} min held-out {effort:6} | {row}")

    def save(self, name="latest.pt"):
        self.last_save = time.time()
        args = {k: str(v) if isinstance(v, Path) else v for k, v in vars(self.args).items()}
        state = {
            "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "muon": self.muon.state_dict(), "steps": self.steps,
            "seconds": self.elapsed, "config": asdict(self.model.config), "args": args,
        }  # fmt: skip
        torch.save(state, self.args.out / "partial.pt")
        os.replace(self.args.out / "partial.pt", self.args.out / name)


def exported(folder: Path) -> dict:
    """Published weights as a checkpoint whose optimiser starts anew."""
    training = json.loads((folder / "manifest.json").read_text())["training"]
    seconds = training["wall_minutes"] * 60
    return {"model": load(folder).state_dict(), "optimizer": None, "steps": training["steps"], "seconds": seconds}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints and the log")
    parser.add_argument("--tokenizer", type=Path, default=GOLDEN, help="folder with tokenizer.json")
    parser.add_argument("--minutes", type=float, default=75)
    parser.add_argument("--until", help="stop at this time of day (UTC, HH:MM) instead of after --minutes")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--warmup", type=int, default=200, help="steps")
    parser.add_argument("--weight-decay", type=float, default=0.05)
    parser.add_argument("--clip", type=float, default=1.0)
    parser.add_argument("--balance", type=float, default=0.01, help="weight of the expert balance loss")
    parser.add_argument("--quantize-from", type=float, default=0.3, help="share of the time after which MXFP4 is on")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--eval-count", type=int, default=16)
    parser.add_argument("--eval-every", type=float, default=10, help="minutes")
    parser.add_argument("--first-eval", type=float, default=4, help="minutes")
    parser.add_argument("--log-every", type=int, default=100, help="steps")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fresh-schedule", action="store_true", help="a new warm-up and cosine from --resume on")
    parser.add_argument("--resume", type=Path, help="a checkpoint, or an exported folder, to go on from")
    args = parser.parse_args()

    args.out.mkdir(parents=True, exist_ok=True)
    args.start_step, args.start_seconds = 0, 0.0
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)
    model = Transformer(Config())
    if args.resume:
        saved = exported(args.resume) if args.resume.is_dir() else torch.load(args.resume, weights_only=False)
        model.load_state_dict(saved["model"])
        args.start_step, args.start_seconds = saved["steps"], saved["seconds"]
    model.share_memory()
    args.seconds = args.minutes * 60
    if args.until:
        now = datetime.datetime.now(datetime.timezone.utc)
        hour, minute = map(int, args.until.split(":"))
        left = (now.replace(hour=hour, minute=minute, second=0) - now).total_seconds()
        args.seconds = args.start_seconds + left % 86400

    shared = Shared(args.workers, sum(p.numel() for p in model.parameters()))
    lead = Lead(model, shared, args)
    if args.resume and saved["optimizer"]:
        lead.optimizer.load_state_dict(saved["optimizer"])
        lead.muon.load_state_dict(saved["muon"])
    lead.log(f"{sum(p.numel() for p in model.parameters())} parameters, {json.dumps(asdict(model.config))}")
    fork = multiprocessing.get_context("fork")
    others = [fork.Process(target=worker, args=(r, model, shared, args), daemon=True) for r in range(1, args.workers)]
    for p in others:
        p.start()
    worker(0, model, shared, args, lead)
    lead.save("final.pt")
    lead.log(f"{lead.elapsed / 60:5.1f} min, {lead.steps} steps: done")


if __name__ == "__main__":
    main()
