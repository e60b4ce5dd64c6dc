"""From which confidence on answers are good enough, and how many of them are left.

Answers that are less sure are rejected: what is left is right more often (selective
classification; El-Yaniv and Wiener 2010, "On the foundations of noise-free selective
classification"; Geifman and El-Yaniv 2017, arXiv:1705.08500).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from imgtrain.metrics.confusion import Floats
from imgtrain.metrics.intervals import wilson_interval

Bools = NDArray[np.bool_]
Aim = Literal["precision", "recall"]

_DIGITS = 1e6
"""Thresholds have six digits, as probabilities have in tables."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a threshold does to pictures.

    Args:
        n: How many pictures there are.
        accepted: How many reach the threshold.
        hits: How many of these are right.
        wanted: How many could be right at best.
    """

    n: int
    accepted: int
    hits: int
    wanted: int

    @property
    def precision(self) -> float | None:
        """Share of the accepted that are right; None if there are none."""
        return self.hits / self.accepted if self.accepted else None

    @property
    def recall(self) -> float | None:
        """Share of what is wanted that is accepted and right; None if nothing is."""
        return self.hits / self.wanted if self.wanted else None

    def to_dict(self) -> dict[str, object]:
        """For ``metrics.json``: intervals are Wilson's."""
        return {
            "n": self.n,
            "accepted": self.accepted,
            "coverage": self.accepted / self.n if self.n else None,
            "precision": self.precision,
            "precision_interval": _interval(self.hits, self.accepted),
            "recall": self.recall,
            "recall_interval": _interval(self.hits, self.wanted),
        }


def _interval(hits: int, count: int) -> list[float] | None:
    return list(wilson_interval(hits, count)) if count else None


def accepted(scores: Floats, right: Bools, threshold: float, *, wanted: int) -> Accepted:
    """Count what reaches a threshold.

    Args:
        scores: Shape (N,), how sure each answer is.
        right: Shape (N,), whether it is right.
        threshold: What is to be reached.
        wanted: How many could be right at best: all N answers, or the pictures of one class.
    """
    taken = scores >= threshold
    return Accepted(len(scores), int(taken.sum()), int((taken & right).sum()), wanted)


def choose_threshold(
    scores: Floats, right: Bools, aim: Aim, target: float, *, wanted: int
) -> float | None:
    """The threshold that reaches the target and gives away the least.

    For precision it is the smallest that reaches it: the most answers are kept. For recall it is
    the largest: what is accepted is right the most often. Six digits, rounded down, so that the
    number as written accepts what it was chosen on.

    Args:
        scores: Shape (N,), how sure each answer is, in [0, 1].
        right: Shape (N,), whether it is right.
        aim: What is to be reached.
        target: In (0, 1].
        wanted: How many could be right at best; see ``accepted``.

    Returns:
        In [0, 1]; None where no threshold reaches the target.
    """
    if not len(scores):
        return None
    rounded = np.floor(scores * _DIGITS)
    order = np.argsort(-rounded, kind="stable")
    last = np.append(np.diff(rounded[order]) != 0, True)  # of those with equal scores
    taken = (np.arange(len(scores)) + 1)[last]
    hits = np.cumsum(right[order])[last]
    reached = (hits / taken if aim == "precision" else hits / max(wanted, 1)) >= target
    if not reached.any():
        return None
    places = np.flatnonzero(reached)
    place = places[-1] if aim == "precision" else places[0]
    return float(rounded[order][last][place] / _DIGITS)


def best_reached(scores: Floats, right: Bools, aim: Aim, *, wanted: int) -> float:
    """How far any threshold comes, where none reaches the target."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(right[order])
    if aim == "recall":
        return float(hits[-1] / max(wanted, 1))
    last = np.append(np.diff(scores[order]) != 0, True)
    return float((hits / (np.arange(len(scores)) + 1))[last].max())
