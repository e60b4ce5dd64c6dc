"""Steps per second of imgtrain at steady state, as a fraction of a hand-written minimal loop's.

All train the same network on the same machine with the same batch, precision and layout, taking
turns within one process, so that a noisy machine disturbs them alike; a ratio is the median of the
turns' ratios, with the interval that holds the true median with 95 % (order statistics). CPU
seconds are those of all threads together, the loader's included; "thread" is the one that trains.

Four loops are written by hand:

- "by hand" has one batch of floats at rest: forward, loss, backward, step;
- "alike" normalises a batch of bytes at rest, and clips;
- "loading" takes other pictures and their labels for each step, from memory, mirrors half of them
  and moves all of them the same way;
- "counting" moves each picture its own way, as imgtrain does, and counts losses and right answers
  on the device, as most loops do.

imgtrain does what "counting" does, and beside it counts right answers by class and among the first
five, keeps a copy of the running means for the case that memory runs out, leaves out what cannot be
read, asks at each step whether to stop or save, and draws from streams that a resumed run draws
from again.

    python tests/benchmarks/step_rate.py --model resnet18 --size 128 --turns 6 --steps 8
    python tests/benchmarks/step_rate.py --model tiny --size 32 --turns 40 --steps 20
    python tests/benchmarks/step_rate.py --model resnet18 --size 32 --turns 60 --only ema,told
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from imgtrain import console
from imgtrain.engine.checkpoint import Checkpoints
from imgtrain.engine.loop import Watch, _look, _train_epoch
from imgtrain.engine.memory import Guard, guarded_step
from imgtrain.engine.model import build
from imgtrain.engine.state import TrainState
from imgtrain.listeners.progress import progress
from imgtrain.plugins import register_model
from imgtrain.preparing import Prepared, prepare_alone
from imgtrain.settings.schema import Settings


@register_model("tiny", size=32)
def tiny(*, classes: int, channels: int, size: int) -> torch.nn.Module:  # any size does
    """Four layers: small enough that what surrounds them shows."""
    return torch.nn.Sequential(
        torch.nn.Conv2d(channels, 16, 3, stride=2, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(16, 32, 3, stride=2, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(32, 64, 3, stride=2, padding=1),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(64, classes),
    )


def make_pictures(folder: Path, count: int, size: int) -> None:
    """Two classes of soft colours: JPEG of 400 x 300 pixels, or PNG of a small size itself."""
    rng = np.random.default_rng(0)
    photos = size > 64  # from here on imgtrain crops
    shape, suffix = ((400, 300), "jpg") if photos else ((size, size), "png")
    for i in range(count):
        small = rng.integers(0, 255, (6, 8, 3)).astype(np.uint8)
        picture = Image.fromarray(small).resize(shape, Image.Resampling.BICUBIC)
        path = folder / "ab"[i % 2] / f"{i:04d}.{suffix}"
        path.parent.mkdir(exist_ok=True)
        picture.save(path)


def prepared(folder: Path, args: argparse.Namespace, stack: ExitStack, *, ema: bool) -> Prepared:
    """A training as ``imgtrain train`` prepares it, its pictures decoded into the cache."""
    settings = Settings.model_validate(
        {
            "data": {
                "root": str(folder),
                "image_size": args.size,
                "cache": args.cache,
                "on_leak": "off",
            },
            "model": {"name": args.model, "pretrained": False},
            "train": {"batch_size": args.batch, "epochs": 1000, "ema": ema},
            "hardware": {
                "precision": args.precision,
                "device": args.device,
                "threads": args.threads,
            },
        }
    )
    ready = prepare_alone(settings, stack)
    for i in range(len(ready.index.source)):
        ready.state.loader.pictures.get(i)
    return ready


def bare_epoch(state: TrainState) -> Callable[[], None]:
    """A function that trains an epoch and says nothing."""

    def run() -> None:
        state.net.train()
        batches, guard = state.training_batches(), Guard(state)
        while state.progress.step < state.plan.steps_per_epoch:
            guarded_step(state, batches, guard)
        finish(state)

    return run


def told_epoch(state: TrainState, stack: ExitStack) -> Callable[[], None]:
    """The same as the command does it: looked at, told to the display, asked whether to stop."""
    listen = stack.enter_context(progress())
    nowhere = Checkpoints(Path(os.devnull), every=0, keep=1)

    def run() -> None:
        for event in _train_epoch(state, nowhere, Watch(1e9, lambda: False)):
            listen(event)
        finish(state)

    return run


def finish(state: TrainState) -> None:
    """Wait for the device, and stand at the beginning of the next epoch."""
    state.tally.read()
    state.progress.epoch, state.progress.step = state.progress.epoch + 1, 0


def parts(
    plain: Prepared, averaged: Prepared, stack: ExitStack, step: float
) -> dict[str, list[float]]:
    """What is done beside forward, backward and the optimizer: ms, its share, the share's interval.

    Thread seconds, each part by itself, the median of many: what it costs where a difference of
    whole steps drowns in noise. ``look`` is what the display costs, which asks every 0.25 s.
    """
    state, ema = plain.state, averaged.state.ema
    assert ema is not None
    batch = next(state.training_batches())
    logits = torch.randn(len(batch.targets), state.tally.classes)
    losses = torch.rand(len(batch.targets))
    guard, watch = Guard(state), Watch(1e9, lambda: False)
    listen = stack.enter_context(progress())
    weights = [p for group in state.optimizer.param_groups for p in group["params"]]
    state.net(state.normalise(batch.pixels)).sum().backward()
    state.progress.step = 1
    work: dict[str, Callable[[], object]] = {
        "ema": lambda: ema.update(averaged.state.model),
        "normalise": lambda: state.normalise(batch.pixels),
        "tally": lambda: state.tally.add(logits, batch.targets, losses, batch.mask),
        "guard": guard.remember,
        "clip": lambda: torch.nn.utils.clip_grad_norm_(weights, 1.0),
        "watch": lambda: (watch.wants_look(), watch.verdict(state)),
        "look": lambda: listen(_look(state, watch)),
    }
    spent: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(60):
        for name, run in work.items():
            begun = time.thread_time()
            run()
            spent[name].append(time.thread_time() - begun)
    found = {}
    for name, times in spent.items():
        per, ordered = 0.25 if name == "look" else step, sorted(times)
        low = rank_of_limit(len(times))
        middle = statistics.median(times)
        shares = (middle, ordered[low], ordered[-1 - low])
        found[name] = [round(1000 * middle, 4), *(round(t / per, 5) for t in shares)]
    return found


def shuffled(
    state: TrainState, batch: int, *, alone: bool
) -> Callable[[], tuple[torch.Tensor, torch.Tensor]]:
    """A function that gives other pictures and labels each time, moved and half of them mirrored.

    Where each is moved ``alone``, what is beyond the edge is the edge, else the other side.
    """
    loader = state.loader
    rows = state.train.train
    views = [np.array(state.train_view(loader.pictures.get(int(i)), np.full(8, 0.5))) for i in rows]
    everything, labels = torch.from_numpy(np.stack(views)), torch.from_numpy(loader.labels[rows])
    size = everything.shape[1]
    margin = max(1, size // 8)
    padded = torch.from_numpy(
        np.pad(np.stack(views), [(0, 0), (margin, margin), (margin, margin), (0, 0)], mode="edge")
    )

    def together(which: torch.Tensor) -> torch.Tensor:
        down, right = torch.randint(-margin, margin + 1, (2,)).tolist()
        return torch.roll(everything[which], (down, right), (1, 2))

    def one_by_one(which: torch.Tensor) -> torch.Tensor:
        down, right = torch.randint(0, 2 * margin + 1, (2, batch, 1)) + torch.arange(size)
        return padded[which[:, None, None], down[:, :, None], right[:, None, :]]

    def take() -> tuple[torch.Tensor, torch.Tensor]:
        which = torch.randint(0, len(everything), (batch,))
        moved = one_by_one(which) if alone else together(which)
        mirrors = torch.rand(batch, 1, 1, 1) < 0.5  # half
        return torch.where(mirrors, moved, moved.flip(2)), labels[which]

    return take


def epoch_by_hand(ready: Prepared, batch: int, *, kind: str = "") -> Callable[[], None]:
    """The minimal loop: forward, loss, backward, step.

    ``kind`` is "" for a batch of floats at rest, ``alike`` for one of bytes, normalised, and a
    clipped gradient, ``loading`` for other bytes at each step, ``counting`` for sums, too.
    """
    state, preprocess = ready.state, ready.recipe.preprocess
    layout = torch.channels_last if state.compute.channels_last else torch.contiguous_format
    device = state.compute.torch_device
    model = build(ready.recipe).to(device, memory_format=layout)
    shape = (batch, preprocess.channels, preprocess.size, preprocess.size)
    inputs = torch.randn(shape, device=device).contiguous(memory_format=layout)
    targets = torch.randint(0, 2, (batch,), device=device)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    pixels = torch.randint(0, 256, (batch, *shape[2:], shape[1]), dtype=torch.uint8, device=device)
    loads, counts = kind in {"loading", "counting"}, kind == "counting"
    take = shuffled(state, batch, alone=counts) if loads else lambda: (pixels, targets)

    def run() -> None:
        nonlocal inputs, targets
        total, right = torch.zeros((), device=device), torch.zeros((), device=device)
        for _ in range(state.plan.steps_per_epoch):
            if kind:
                taken, targets = (part.to(device) for part in take())
                inputs = state.normalise(taken)
            with state.compute.autocast():
                logits = model(inputs)
            loss = torch.nn.functional.cross_entropy(logits.float(), targets, label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            if kind:
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            if counts:
                total += loss.detach()
                right += (logits.detach().argmax(dim=1) == targets).sum()
        (total + right + loss).item()

    return run


@dataclass(slots=True)
class Times:
    """Seconds of each turn: on the clock, of all threads, of the one that trains."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    thread: list[float] = field(default_factory=list)

    def add(self, run: Callable[[], None]) -> None:
        """One turn."""
        clocks = (time.perf_counter, time.process_time, time.thread_time)
        begun = [clock() for clock in clocks]
        run()
        for kept, clock, start in zip(
            (self.wall, self.cpu, self.thread), clocks, begun, strict=True
        ):
            kept.append(clock() - start)


def ratio(over: Times, under: Times) -> dict[str, list[float]]:
    """Median of the turns' ratios, and where the true median lies with 95 %."""
    found = {}
    for kind in ("wall", "cpu", "thread"):
        turns = sorted(
            a / b for a, b in zip(getattr(over, kind), getattr(under, kind), strict=True)
        )
        low = rank_of_limit(len(turns))
        inside = (statistics.median(turns), turns[low], turns[-1 - low])
        found[kind] = [round(value, 4) for value in inside]
    return found


def rank_of_limit(count: int) -> int:
    """From 0: the smallest value of a 95 % interval for the median (the sign test's)."""
    tail, rank = 0.5**count, 0
    while tail + math.comb(count, rank + 1) * 0.5**count <= 0.025:  # half of 5 %
        rank += 1
        tail += math.comb(count, rank) * 0.5**count
    return rank


PAIRS = {
    "imgtrain_of_by_hand": ("by hand", "imgtrain"),
    "imgtrain_of_alike": ("alike", "imgtrain"),
    "imgtrain_of_loading": ("loading", "imgtrain"),
    "imgtrain_of_counting": ("counting", "imgtrain"),
    "told_more_than_imgtrain": ("told", "imgtrain"),
    "ema_more_than_imgtrain": ("ema", "imgtrain"),
}
"""Whose time is divided by whose."""


def measure(args: argparse.Namespace) -> dict[str, object]:
    """Take turns of one epoch each."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        os.environ["IMGTRAIN_CACHE"] = f"{name}/cache"
        console.silence()
        photos = Path(name) / "photos"
        photos.mkdir()
        make_pictures(photos, round(args.steps * args.batch / 0.8), args.size)
        ready, told, averaged = (
            prepared(photos, args, stack, ema=ema) for ema in (False, False, True)
        )
        work = {
            "by hand": epoch_by_hand(ready, args.batch),
            **{
                kind: epoch_by_hand(ready, args.batch, kind=kind)
                for kind in ("alike", "loading", "counting")
            },
            "imgtrain": bare_epoch(ready.state),
            "told": told_epoch(told.state, stack),
            "ema": bare_epoch(averaged.state),
        }
        chosen = {"imgtrain", *(args.only.split(",") if args.only else work)}
        work = {who: run for who, run in work.items() if who in chosen}
        times = {who: Times() for who in work}
        for run in work.values():
            run()
        for turn in range(args.turns):
            for who in sorted(work, key=lambda who: hash((turn, who))):
                times[who].add(work[who])
        step = statistics.median(times["imgtrain"].thread) / ready.state.plan.steps_per_epoch
        shares = parts(ready, averaged, stack, step)
        plan, steps = str(ready.state.compute), ready.state.plan.steps_per_epoch
    return {
        "model": args.model,
        "size": args.size,
        "batch": args.batch,
        "plan": plan,
        "load": os.getloadavg()[0],
        "ms_per_step": {
            kind: {
                who: round(1000 * statistics.median(getattr(t, kind)) / steps, 3)
                for who, t in times.items()
            }
            for kind in ("wall", "cpu", "thread")
        },
        "parts_ms_and_share": shares,
        **{
            name: ratio(times[over], times[under])
            for name, (over, under) in PAIRS.items()
            if over in work
        },
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", default="auto")
    parser.add_argument("--cache", default="ram")
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--steps", type=int, default=8, help="Steps of a turn, one epoch.")
    parser.add_argument("--only", help="Beside imgtrain: loops by name, with commas between.")
    print(json.dumps(measure(parser.parse_args()), indent=2))  # noqa: T201  # a script's result


if __name__ == "__main__":
    main()
