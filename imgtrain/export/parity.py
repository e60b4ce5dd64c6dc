"""Whether a file answers as its run does, and how long each takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray

from imgtrain.ensemble import Scorer
from imgtrain.errors import GateError
from imgtrain.loading.loader import Batch
from imgtrain.metrics.combining import Rule, combine

Probs = NDArray[np.float32] | NDArray[np.float64]
Run = Callable[[NDArray[np.uint8]], Probs]

MOST = 1e-4
"""By so much a probability may differ."""

_SECONDS = 0.25
"""For so long one way of computing is measured: once at least, beside a first time to warm up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """How alike two ways of computing the same are.

    Args:
        pictures: On so many.
        ties: So many of which have two likeliest classes within the tolerance: these may differ.
        max_difference: Of any probability.
        agreement: Share of the others for which both name the same class.
    """

    pictures: int
    ties: int
    max_difference: float
    agreement: float

    @classmethod
    def of(cls, expected: Probs, found: Probs) -> Parity:
        """Compare rows of probabilities, (N, C) each; N at least 1."""
        first, second = np.sort(expected, axis=1)[:, :-3:-1].T
        clear = first - second > 2 * MOST
        same = expected.argmax(axis=1) == found.argmax(axis=1)
        difference = np.abs(expected.astype(np.float64) - found).max()
        return cls(
            pictures=len(expected),
            ties=int((~clear).sum()),
            max_difference=float(difference) if np.isfinite(difference) else 1.0,
            agreement=float(same[clear].mean()) if clear.any() else 1.0,
        )

    @property
    def holds(self) -> bool:
        """Whether this is the same model."""
        return self.max_difference <= MOST and self.agreement == 1

    def check(self, name: str) -> None:
        """Refuse a file that is another model than its run.

        Raises:
            GateError: With the figures.
        """
        if not self.holds:
            raise GateError(
                f"{name} does not answer as the run does: {self} (allowed: {MOST:g} and 100 %)",
                "nothing was written; another --format may fare better",
            )

    def __str__(self) -> str:
        """``probabilities differ by at most 2.1e-07, the same class for 100 % of 60 pictures``."""
        ties = f" ({self.ties} ties aside)" if self.ties else ""
        return (
            f"probabilities differ by at most {self.max_difference:.2g}, the same class for "
            f"{100 * self.agreement:.4g} % of {self.pictures} pictures{ties}"
        )

    def to_dict(self) -> dict[str, float]:
        """For ``export.json``."""
        return asdict(self)


def as_run(members: Sequence[Scorer], how: str) -> Run:
    """What runs answer to pixels, by the engine's own way."""
    weights = np.array([member.weight for member in members], np.float64)

    def run(pixels: NDArray[np.uint8]) -> Probs:
        count = len(pixels)
        batch = Batch(
            pixels=torch.from_numpy(pixels),
            targets=torch.zeros(count, dtype=torch.int64),
            mask=torch.ones(count, dtype=torch.bool),
            count=count,
            pictures=np.arange(count),
        )
        classes = members[0].recipe.classes
        probs = [member.probabilities([batch], classes)[1] for member in members]
        if len(probs) == 1:
            return probs[0]
        rule: Rule = "logits" if how == "logits" else "mean"
        return combine(np.stack(probs).astype(np.float64), rule, weights)

    return run


def milliseconds(runs: Sequence[Run], pixels: NDArray[np.uint8]) -> list[float]:
    """Median time of each for these pixels; they take turns, so that all meet the same load."""
    for run in runs:
        run(pixels)
    times: list[list[float]] = [[] for _ in runs]
    ends = time.perf_counter() + _SECONDS * len(runs)
    while not times[0] or time.perf_counter() < ends:
        for run, taken in zip(runs, times, strict=True):
            begun = time.perf_counter()
            run(pixels)
            taken.append(1000 * (time.perf_counter() - begun))
    return [median(taken) for taken in times]
