"""Steps per second of imgtrain at steady state, as a fraction of a hand-written minimal loop's.

Both train the same network on the same machine with the same batch, precision and layout, taking
turns within one process, so that a noisy machine disturbs both alike. imgtrain reads pictures from
its cache of decoded JPEG files, crops, flips, counts and clips; the loop trains on one batch that
lies ready.

    python tests/benchmarks/step_rate.py --size 128 --batch 64 --turns 6 --steps 8
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image

from imgtrain.data.index import Index, read_index
from imgtrain.data.split import make_split
from imgtrain.engine.device import plan_compute
from imgtrain.engine.state import TrainState
from imgtrain.engine.step import train_step
from imgtrain.engine.world import World
from imgtrain.loading.cache import open_store
from imgtrain.loading.loader import Loader, Pictures
from imgtrain.resolve import make_preprocess, make_recipe, resolve
from imgtrain.settings.schema import Settings
from imgtrain.training import assemble


def make_photos(folder: Path, count: int) -> None:
    """JPEG files of 400 x 300 pixels in two classes: soft colours with noise."""
    rng = np.random.default_rng(0)
    for i in range(count):
        small = rng.integers(0, 255, (6, 8, 3)).astype(np.uint8)
        picture = Image.fromarray(small).resize((400, 300), Image.Resampling.BICUBIC)
        path = folder / "ab"[i % 2] / f"{i:04d}.jpg"
        path.parent.mkdir(exist_ok=True)
        picture.save(path, quality=90)


@contextmanager
def imgtrain_state(folder: Path, args: argparse.Namespace) -> Iterator[TrainState]:
    """A training as ``imgtrain train`` assembles it, its pictures decoded into the cache."""
    settings = Settings.model_validate(
        {
            "data": {"root": str(folder), "image_size": args.size, "cache": "disk"},
            "model": {"name": args.model, "pretrained": False},
            "train": {"batch_size": args.batch, "epochs": 1000},
            "hardware": {"precision": args.precision},
        }
    )
    index: Index = read_index(settings.data.root)
    split, _ = make_split(index, settings.data.split_ratio, 0)
    resolved = resolve(settings, index, split)
    preprocess = make_preprocess(resolved.settings, natural=resolved.natural)
    compute = plan_compute(settings.hardware, image_size=args.size)
    torch.set_num_threads(compute.threads)
    store = open_store(index.source, index.root, preprocess, kind="disk", gigabytes=1)
    pictures = Pictures(index.source, preprocess, store, on_bad="error")
    for i in range(len(index.source)):
        pictures.get(i)
    loader = Loader(pictures, index.labels, compute.torch_device, threads=os.cpu_count() or 1)
    recipe = make_recipe(resolved.settings, index.classes, preprocess)
    state, _ = assemble(
        resolved, split, recipe=recipe, compute=compute, loader=loader, world=World(), begins=True
    )
    try:
        yield state
    finally:
        loader.close()


def imgtrain_steps(state: TrainState) -> Callable[[int], None]:
    """A function that does so many steps, over as many epochs as it takes."""
    batches = state.training_batches()
    state.net.train()

    def run(steps: int) -> None:
        nonlocal batches
        for _ in range(steps):
            if state.progress.step == state.plan.steps_per_epoch:
                state.progress.epoch, state.progress.step = state.progress.epoch + 1, 0
                batches = state.training_batches()
            train_step(state, batches)
        state.tally.read()

    return run


def hand_steps(state: TrainState, args: argparse.Namespace) -> Callable[[int], None]:
    """The minimal loop: forward, loss, backward, step, on a batch that lies ready."""
    layout = torch.channels_last if state.compute.channels_last else torch.contiguous_format
    device = state.compute.torch_device
    model = timm.create_model(args.model, num_classes=2).to(device, memory_format=layout)
    inputs = torch.randn(args.batch, 3, args.size, args.size, device=device)
    inputs = inputs.contiguous(memory_format=layout)
    targets = torch.randint(0, 2, (args.batch,), device=device)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)

    def run(steps: int) -> None:
        for _ in range(steps):
            with state.compute.autocast():
                loss = torch.nn.functional.cross_entropy(
                    model(inputs), targets, label_smoothing=0.1
                )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        loss.item()

    return run


def measure(args: argparse.Namespace) -> dict[str, object]:
    """Take turns; the ratio is that of the medians."""
    times: dict[str, list[float]] = {"imgtrain": [], "by hand": []}
    with tempfile.TemporaryDirectory() as name:
        os.environ["IMGTRAIN_CACHE"] = f"{name}/cache"
        photos = Path(name) / "photos"
        photos.mkdir()
        make_photos(photos, args.pictures)
        with imgtrain_state(photos, args) as state:
            work = {"imgtrain": imgtrain_steps(state), "by hand": hand_steps(state, args)}
            for run in work.values():
                run(2)
            for _ in range(args.turns):
                for who, run in work.items():
                    begun = time.perf_counter()
                    run(args.steps)
                    times[who].append((time.perf_counter() - begun) / args.steps)
            plan = str(state.compute)
    seconds = {who: statistics.median(found) for who, found in times.items()}
    return {
        "model": args.model,
        "size": args.size,
        "batch": args.batch,
        "plan": plan,
        "seconds_per_step": {who: round(s, 4) for who, s in seconds.items()},
        "ratio": round(seconds["by hand"] / seconds["imgtrain"], 3),
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--pictures", type=int, default=960)
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--steps", type=int, default=8)
    print(json.dumps(measure(parser.parse_args()), indent=2))  # noqa: T201  # a script's result


if __name__ == "__main__":
    main()
