"""What a training tells those who watch it: frozen numbers, never the model.

``fit`` yields these; the caller's ``for`` loop hands them to its listeners.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Number = int | float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """Training begins or goes on.

    ``epoch`` (from 1) and ``step`` (steps of that epoch already done) tell where;
    ``history`` holds one row for each epoch that is already finished.
    """

    epochs: int
    steps_per_epoch: int
    epoch: int
    step: int
    history: tuple[Mapping[str, Number], ...]
    monitor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEnded:
    """Some steps were done since the last event of this kind.

    ``step`` counts from 1 within the epoch, ``global_step`` over the whole training;
    ``train_loss`` and ``train_top1`` are means over the epoch so far; ``epochs`` are now planned.
    """

    epoch: int
    step: int
    global_step: int
    lr: float
    train_loss: float
    train_top1: float
    images_per_second: float
    memory_mb: float
    epochs: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluating:
    """``batch`` of ``batches`` of the part were scored."""

    part: str
    batch: int
    batches: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochEnded:
    """An epoch is finished and on disk; ``row`` is its line of ``history.csv``."""

    epoch: int
    epochs: int
    row: Mapping[str, Number]
    is_best: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded:
    """Training is over: ``reason`` is ``finished``, ``patience``, ``target`` or ``signal``."""

    reason: str
    epoch: int
    best_epoch: int | None
    best_value: float | None


Event = RunStarted | StepEnded | Evaluating | EpochEnded | RunEnded
