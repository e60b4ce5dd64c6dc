"""What trials are judged by: numbers, and which way is better."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from imgtrain.rundir import RunDir
from imgtrain.settings.schema import Settings

SCORES = {"val_top1": "top1", "val_macro_f1": "macro_f1", "val_loss": "log_loss"}
"""Names in ``metrics.json`` of what is monitored."""

_WARM_UP = 5
_ROUNDS = (20, 200)
"""At least and at most so many passes are timed."""

_ENOUGH = 2.0
"""Seconds of timing that are enough."""


@dataclass(frozen=True, slots=True)
class Goal:
    """One number of a trial: its column in ``trials.csv``, and whether more is better."""

    name: str
    maximize: bool

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        """As Optuna says it."""
        return "maximize" if self.maximize else "minimize"

    def is_better(self, one: float, other: float) -> bool:
        """Whether ``one`` beats ``other``."""
        return one > other if self.maximize else one < other

    def shown(self, value: float) -> str:
        """For people."""
        return f"{value:.4f}" if self.name.startswith(("val_", "cv_")) else f"{value:.3g}"


def goals_of(settings: Settings, monitor: str) -> tuple[Goal, ...]:
    """The goals of ``--objective``, that of ``--monitor`` first."""
    first = Goal(monitor, maximize=monitor != "val_loss")
    second = {
        "val+latency": Goal("latency_ms", maximize=False),
        "val+size": Goal("size_mb", maximize=False),
    }.get(settings.tune.objective)
    return (first,) if second is None else (first, second)


def values_of(
    run: Path, metrics: Mapping[str, Any], goals: Sequence[Goal], settings: Settings
) -> list[float]:
    """A finished trial's number for each goal.

    Raises:
        KeyError: If the trial has no validation part.
    """
    found = [float(metrics["val"][SCORES[goals[0].name]])]
    for goal in goals[1:]:
        measure = latency_ms if goal.name == "latency_ms" else size_mb
        found.append(measure(run, settings))
    return found


def size_mb(run: Path, _settings: Settings) -> float:
    """Megabytes (10^6 bytes) of the trained weights, as they lie on the disk."""
    return RunDir(run).weights.stat().st_size / 1e6


def latency_ms(run: Path, settings: Settings) -> float:
    """Milliseconds a picture of the trained network alone takes, one picture at a time.

    The median of many passes, in the arithmetic, layout and threads that training planned.
    """
    import torch

    from imgtrain.engine.device import apply, plan_compute
    from imgtrain.engine.weights import as_layout, read_model

    model, recipe = read_model(RunDir(run).weights)
    seen = recipe.preprocess
    compute = plan_compute(settings.hardware, image_size=seen.size)
    apply(compute)
    device = compute.torch_device
    network = as_layout(model, device=device, channels_last=compute.channels_last)
    picture = torch.zeros(1, seen.channels, seen.size, seen.size, device=device)
    if compute.channels_last:
        picture = picture.contiguous(memory_format=torch.channels_last)

    def once() -> float:
        begun = time.perf_counter()
        network(picture)
        if device.type == "cuda":
            torch.cuda.synchronize(device)  # waits for the device: that is what is measured
        return time.perf_counter() - begun

    with torch.inference_mode(), compute.autocast():
        for _ in range(_WARM_UP):
            once()
        times: list[float] = []
        least, most = _ROUNDS
        while len(times) < least or (sum(times) < _ENOUGH and len(times) < most):
            times.append(once())
    return 1000 * statistics.median(times)
