"""Accuracy over a grid of learning rates: what the defaults of ``--lr auto`` rest on.

Trains small nets on real pictures with imgtrain's own steps, for each optimizer, batch, rate and
seed, and adds a row to a file after each; rows that are there already are not trained again.

    python tests/benchmarks/default_rates.py --task digits --output rates.csv
    python tests/benchmarks/default_rates.py --task signs --data signs --output rates.csv
    python tests/benchmarks/default_rates.py --task tuned --data signs --weights RUN --output ...
    python tests/benchmarks/default_rates.py --output rates.csv --table

``--table`` shows, for each task, optimizer and batch, the top-1 at each multiple of today's
default, the mean over seeds.
"""

from __future__ import annotations

import argparse
import csv
import math
import statistics
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import Any

from imgtrain import console
from imgtrain.engine.infer import count_part
from imgtrain.engine.optim import default_lr
from imgtrain.engine.state import TrainState
from imgtrain.engine.step import train_step
from imgtrain.engine.tally import Tally
from imgtrain.preparing import prepare_alone
from imgtrain.settings.layers import from_flat

OPTIMIZERS = ("sgd", "adam", "adamw", "lamb", "lion", "muon")
COLUMNS = ("task", "model", "epochs", "optimizer", "batch", "weight_decay", "lr", "seed", "top1")
TASKS: dict[str, dict[str, object]] = {
    "digits": {"data.root": "digits", "model.name": "test_resnet", "train.epochs": 6},
    "signs": {"data.image_size": 24, "model.name": "test_resnet", "train.epochs": 8},
    "tuned": {
        "data.image_size": 48,
        "model.name": "resnet10t",
        "model.stem": "standard",
        "train.epochs": 3,
    },
}
"""From scratch, from scratch, and from another run's weights."""


def settings_of(args: argparse.Namespace, optimizer: str, batch: int) -> dict[str, object]:
    """Everything but rate and seed, by dotted key."""
    flat = TASKS[args.task] | {
        "data.split_ratio": [0.7, 0.3, 0.0],
        "data.on_leak": "off",
        "data.workers": 1,
        "model.pretrained": False,
        "optim.name": optimizer,
        "train.batch_size": batch,
        "hardware.threads": 1,
        "hardware.device": args.device,
    }
    if args.task != "digits":
        flat["data.root"] = args.data
    if args.task == "tuned":
        flat["model.weights"] = args.weights
    if args.model is not None:
        flat["model.name"] = args.model
    if args.epochs is not None:
        flat["train.epochs"] = args.epochs
    if args.weight_decay is not None:
        flat["optim.weight_decay"] = args.weight_decay
    return flat


def train(flat: dict[str, object]) -> float:
    """Top-1 of the held-out part after the training; 0 where the loss was no number."""
    with ExitStack() as stack:
        state = prepare_alone(from_flat(flat), stack).state
        for epoch in range(1, state.plan.epochs + 1):
            state.progress.epoch, state.progress.step = epoch, 0
            state.net.train()
            state.tally.clear()
            batches = state.training_batches()
            while state.progress.step < state.plan.steps_per_epoch:
                train_step(state, batches)
            if not state.tally.read().is_finite:
                return 0.0
        return held_out(state)


def held_out(state: TrainState) -> float:
    """Top-1 of the validation part."""
    tally = Tally(state.tally.classes, state.compute.torch_device)
    for _ in count_part(
        state.scored, state.scoring_batches(state.val), tally, state.normalise, state.compute
    ):
        pass
    return tally.read().top1 or 0.0


def rows_of(path: Path) -> list[dict[str, str]]:
    """What was measured so far."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def wanted(args: argparse.Namespace) -> Iterator[tuple[str, int, float, int]]:
    """Optimizer, batch, rate and seed of each training."""
    for seed, batch, optimizer, factor in product(
        range(args.seeds), args.batches, args.optimizers, args.factors
    ):
        rate = default_lr(optimizer, effective=batch, pretrained=args.task == "tuned")
        yield optimizer, batch, float(f"{rate * factor:.4g}"), seed


def measure(args: argparse.Namespace) -> None:
    """Train what is missing in the file."""
    done = {tuple(row[key] for key in COLUMNS[:-1]) for row in rows_of(args.output)}
    for optimizer, batch, rate, seed in wanted(args):
        flat = settings_of(args, optimizer, batch)
        decay = str(flat.get("optim.weight_decay", "auto"))
        model, epochs = str(flat["model.name"]), str(flat["train.epochs"])
        key = (args.task, model, epochs, optimizer, str(batch), decay, f"{rate:g}", str(seed))
        if key in done:
            continue
        top1 = train(flat | {"optim.lr": rate, "train.seed": seed})
        is_new = not args.output.exists()
        with args.output.open("a", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerows([COLUMNS] if is_new else [])
            writer.writerow([*key, f"{top1:.4f}"])


def table(path: Path) -> Iterator[str]:
    """A line for each task, optimizer, batch and decay: rate, multiple of the default, top-1."""
    found: dict[tuple[str, ...], dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows_of(path):
        key = tuple(row[column] for column in COLUMNS[:6])
        found[key][float(row["lr"])].append(float(row["top1"]))
    for key, rates in sorted(found.items()):
        task, model, epochs, optimizer, batch, decay = key
        today = default_lr(optimizer, effective=int(batch), pretrained=task == "tuned")
        cells = [
            f"{rate:.2g} ({rate / today:.2g}x) {100 * statistics.mean(scores):.1f}"
            + (f" +-{100 * statistics.stdev(scores) / math.sqrt(len(scores)):.1f}"
               if len(scores) > 1 else "")
            for rate, scores in sorted(rates.items())
        ]  # fmt: skip
        name = f"{task:7}{model} {optimizer:6} {epochs} epochs, batch {batch}, decay {decay}"
        yield f"{name:58}{' | '.join(cells)}"


def numbers(kind: type) -> Any:
    """``1,2,3`` on the command line."""
    return lambda text: [kind(part) for part in text.split(",")]


def main() -> None:
    """Measure, or show."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", choices=TASKS)
    parser.add_argument("--data", default="signs")
    parser.add_argument("--weights")
    parser.add_argument("--optimizers", type=numbers(str), default=list(OPTIMIZERS))
    parser.add_argument("--batches", type=numbers(int), default=[64, 256])
    parser.add_argument("--factors", type=numbers(float), default=[0.1, 0.3, 1, 3, 10])
    parser.add_argument("--weight-decay", type=float)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--model")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--output", type=Path, default=Path("default_rates.csv"))
    args = parser.parse_args()
    console.set_verbosity(-1)
    if args.table:
        console.result("\n".join(table(args.output)))
    else:
        measure(args)


if __name__ == "__main__":
    main()
