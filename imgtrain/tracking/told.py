"""What a tracker is told: frozen values, the same for every tracker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from imgtrain.settings.schema import TrackSettings

Value = str | int | float | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracked:
    """What is tracked: a run, a cross-validation with its folds, a search with its trials.

    Args:
        folder: The run's.
        name: Its name; of a part with the name of the whole in front, as in ``photos-cv/fold_1``.
        job: ``train``, ``cv``, ``fold``, ``tune``, ``trial`` or ``retrain``.
        group: The folder of the whole that it is part of, or its own where it has parts; None else.
        settings: Whom to tell, and how.
        output: The folder that holds the runs.
        offline: Whether no socket may be opened.
        known: What the tracker remembered of this run, an identifier above all; empty at first.
        above: What it remembered of the run that this one is part of.
        remember: Keeps a mapping for JSON with the run: it is ``known`` when the run goes on.
    """

    folder: Path
    name: str
    job: str
    group: Path | None
    settings: TrackSettings
    output: Path
    offline: bool
    known: Mapping[str, Any]
    above: Mapping[str, Any]
    remember: Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Parameters:
    """Settings as decided, and what else a run is made of, by dotted key."""

    values: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Began:
    """Training begins, or goes on after so many ``steps``."""

    steps: int


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers after so many steps of the training: running ones, an epoch's, or the final scores.

    Names begin with what they tell of: ``step/train_loss``, ``epoch/val_top1``, ``test/top1``.
    """

    of: Literal["step", "epoch", "end"]
    step: int
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG or JPEG file's content, under a name with slashes."""

    name: str
    caption: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """Files of the run that are worth keeping elsewhere, by size, and pictures to look at."""

    files: tuple[Path, ...] = ()
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True, slots=True)
class Ended:
    """The run is over, and how.

    Args:
        state: ``finished``, ``failed``, ``interrupted`` or ``pruned``.
        exit_code: What the command ends with because of it.
        error: In words, where it failed.
        parts: Of a whole: what the tracker remembered of its parts.
    """

    state: str
    exit_code: int = 0
    error: str = ""
    parts: tuple[Mapping[str, Any], ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing more for now: a tracker that gathers sends what it has, or raises."""


Told = Parameters | Began | Numbers | Outcome | Ended | Pause
"""What the function of a tracker hears, in this order; ``Pause`` in between."""

Hears = Callable[[Told], None]
