"""What pruning and short trials save in a search, and what they lose: thirty trials, on digits.

All studies draw from the same space with the same seed. The first, thirty full trainings, is what
the others are held against: trials of full length with a pruner, then short ones with a pruner, of
which the best is retrained at full length. Costs are CPU seconds of whole commands and epochs that
were trained; the loss is the difference of the best validation scores.

    python tests/benchmarks/tune_cost.py --trials 30 --epochs 12 --short 6
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

SPACE = ("optim.lr=1e-4..1e-1,log", "optim.weight_decay=1e-3..1,log", "loss.label_smoothing=0..0.2")


def say(text: str) -> None:
    """Print at once."""
    print(text, flush=True)  # noqa: T201  # a script's result


def searched(pruner: str, trials: int, epochs: int, flags: list[str]) -> dict[str, float]:
    """One study: CPU seconds, epochs, best value in %, how many were pruned."""
    with tempfile.TemporaryDirectory() as folder:
        space = [word for each in SPACE for word in ("--space", each)]
        words = ["tune", "--trials", str(trials), "--tune-epochs", str(epochs), "--pruner", pruner]
        before = os.times()
        done = subprocess.run(
            [sys.executable, "-m", "imgtrain", *words, *space, *flags, "-o", folder, "--json"],
            capture_output=True,
            text=True,
            check=False,
        )
        after = os.times()
        if done.returncode:
            raise SystemExit(done.stderr)
        found = json.loads(done.stdout)
        with (Path(found["run"]) / "trials.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    used = after.children_user + after.children_system
    best = next(iter(found["best"]["values"].values()))
    trained = sum(int(row["epochs"]) for row in rows)
    if found["retrained"] is not None:
        best = found["retrained"]["metrics"]["val"]["top1"]
        trained += int(flags[flags.index("--epochs") + 1])
    return {
        "cpu": used - before.children_user - before.children_system,
        "wall": after.elapsed - before.elapsed,
        "epochs": trained,
        "best": 100 * best,
        "pruned": found["trials"]["pruned"],
    }


def tell(name: str, found: dict[str, float], whole: dict[str, float]) -> None:
    """A study held against the first."""
    shares = ", ".join(
        f"{100 * found[key] / whole[key]:.0f} % of the {words}"
        for key, words in (("cpu", "CPU seconds"), ("wall", "wall clock"), ("epochs", "epochs"))
    )
    say(f"{name}: {found}\n  {shares}; best {found['best'] - whole['best']:+.2f} points")


def main() -> None:
    """All studies, and what lies between them."""
    ask = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    ask.add_argument("--trials", type=int, default=30)
    ask.add_argument("--epochs", type=int, default=12, help="of a full training")
    ask.add_argument("--short", type=int, default=6, help="of a short trial")
    ask.add_argument("--pruners", default="median,hyperband")
    own, flags = ask.parse_known_args()
    flags = [flag for flag in flags if flag != "--"]
    flags = flags or ["--model", "test_resnet", "--no-pretrained", "--monitor", "val_top1"]
    whole = searched("none", own.trials, own.epochs, flags)
    tell("full length", whole, whole)
    retrain = [*flags, "--epochs", str(own.epochs), "--retrain"]
    for pruner in own.pruners.split(","):
        tell(pruner, searched(pruner, own.trials, own.epochs, flags), whole)
        found = searched(pruner, own.trials, own.short, retrain)
        tell(f"{pruner}, {own.short} epochs, best retrained", found, whole)


if __name__ == "__main__":
    main()
