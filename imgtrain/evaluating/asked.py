"""What is evaluated, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imgtrain.evaluating.goals import Goal
from imgtrain.settings.schema import HardwareSettings

Run = str | Path
"""The name or folder of a run, or its weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is evaluated, and what of it.

    Args:
        runs: Runs, cross-validations or files of weights; several are one model, none the newest.
        output: Folder that holds the runs.
        data: Labelled pictures; the run's own, if not given.
        split: The part; ``test`` if not given.
        ensemble: How several models are combined.
        tta: Views that are averaged.
        calibrate: Whether a temperature is fitted and stored first.
        goal: What a threshold is to reach.
        corrupt: Whether corrupted pictures are scored, too.
        slices: Columns that scores are told apart by; all with few values, if there are none.
        to: Where the evaluation goes, if not into the run.
        hardware: Where it computes, and how.
    """

    runs: tuple[Run, ...] = ()
    output: Path = Path("runs")
    data: str | None = None
    split: str | None = None
    ensemble: str | None = None
    tta: str | None = None
    calibrate: bool = False
    goal: Goal | None = None
    corrupt: bool = False
    slices: tuple[str, ...] = ()
    to: Path | None = None
    hardware: HardwareSettings = field(default_factory=HardwareSettings)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Where an evaluation lies, and the content of its ``metrics.json``."""

    folder: Path
    metrics: Mapping[str, Any]
