"""ROC and precision-recall curves, exact, from the thresholds at which a positive is found.

Between two scores of positives both curves are straight, so only positives make points; ties
between positives and negatives become the sloped line that scikit-learn draws too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imgtrain.metrics.confusion import Floats, Ints


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of a curve, both axes in [0, 1], and the number that sums it up.

    For ROC ``x`` is the false positive rate, ``y`` the true positive rate and ``area`` the
    AUROC; for precision-recall they are recall, precision and average precision.
    """

    x: Floats
    y: Floats
    area: float

    def thinned(self, most: int = 200) -> Curve:
        """The same curve with at most ``most`` points, evenly spaced along its way."""
        if self.x.size <= most:
            return self
        way = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(self.x), np.diff(self.y)))])
        keep = np.unique(np.searchsorted(way, np.linspace(0.0, way[-1], most - 1)))
        keep = np.unique(np.append(keep, way.size - 1))
        return Curve(self.x[keep], self.y[keep], self.area)


@dataclass(frozen=True, slots=True)
class _Steps:
    """Counts at each distinct score of a positive, from the highest: shape (K,) each.

    ``hits`` are the positives at or above the score; ``above`` and ``at`` the negatives that
    lie strictly above it, and at or above it.
    """

    hits: Ints
    above: Ints
    at: Ints
    positives: int
    negatives: int


def _steps(positive: Floats, negative: Floats) -> _Steps:
    """Count; ``negative`` is sorted in place."""
    scores, counts = np.unique(positive, return_counts=True)
    scores, counts = scores[::-1], counts[::-1]
    negative.sort()
    return _Steps(
        hits=np.cumsum(counts),
        above=negative.size - np.searchsorted(negative, scores, side="right"),
        at=negative.size - np.searchsorted(negative, scores, side="left"),
        positives=positive.size,
        negatives=negative.size,
    )


def _interleave(first: npt.NDArray[np.number], second: npt.NDArray[np.number]) -> Floats:
    return np.stack([first, second], axis=1).reshape(-1).astype(np.float64)


def _roc(steps: _Steps) -> Curve | None:
    if not steps.positives or not steps.negatives:
        return None
    before = np.append(0, steps.hits[:-1])
    x = _interleave(steps.above, steps.at) / steps.negatives
    y = _interleave(before, steps.hits) / steps.positives
    x, y = np.concatenate([[0.0], x, [1.0]]), np.concatenate([[0.0], y, [1.0]])
    return Curve(x, y, float(np.diff(x) @ (y[1:] + y[:-1]) / 2))


def _pr(steps: _Steps) -> Curve | None:
    if not steps.positives:
        return None
    before = np.append(0, steps.hits[:-1])
    precision = steps.hits / (steps.hits + steps.at)
    average = float((steps.hits - before) @ precision / steps.positives)
    x = _interleave(before, steps.hits) / steps.positives
    shown = before + steps.above  # precision just before the next positive; 1 when nothing is shown
    falling = np.where(shown > 0, before / np.maximum(shown, 1), precision)
    return Curve(x, _interleave(falling, precision), average)


_TOGETHER = 64
"""Classes whose columns are laid side by side in memory at a time."""


def _every(labels: Ints, probs: Floats) -> tuple[list[_Steps], _Steps]:
    """Each class against the rest; and every (picture, class) pair as one yes-or-no question.

    Columns are looked at some at a time: the whole table is never copied.
    """
    own = probs[np.arange(labels.size), labels]
    scores, counts = np.unique(own, return_counts=True)
    scores, counts = scores[::-1], counts[::-1]
    above, at = np.zeros(scores.size, np.int64), np.zeros(scores.size, np.int64)
    steps: list[_Steps] = []
    for first in range(0, probs.shape[1], _TOGETHER):
        columns = np.ascontiguousarray(probs[:, first : first + _TOGETHER].T)
        others = []
        for index, column in enumerate(columns, start=first):
            mine = labels == index
            others.append(column[~mine])
            steps.append(_steps(column[mine], others[-1]))
        negative = np.concatenate(others)
        negative.sort()
        above += negative.size - np.searchsorted(negative, scores, side="right")
        at += negative.size - np.searchsorted(negative, scores, side="left")
    negatives = labels.size * (probs.shape[1] - 1)
    hits = np.cumsum(counts)
    return steps, _Steps(hits=hits, above=above, at=at, positives=labels.size, negatives=negatives)


@dataclass(frozen=True, slots=True)
class Curves:
    """ROC and precision-recall: one per class (None where undefined), and over all pairs."""

    roc: tuple[Curve | None, ...]
    roc_micro: Curve | None
    pr: tuple[Curve | None, ...]
    pr_micro: Curve | None

    @property
    def macro_auroc(self) -> float | None:
        """Mean over the classes that have both pictures and others; None without any."""
        return _mean_area(self.roc)

    @property
    def micro_auroc(self) -> float | None:
        """AUROC over all (picture, class) pairs."""
        return None if self.roc_micro is None else self.roc_micro.area

    @property
    def macro_average_precision(self) -> float | None:
        """Mean over the classes that have pictures; None without any."""
        return _mean_area(self.pr)

    @property
    def roc_macro(self) -> Curve | None:
        """Mean true positive rate of the classes at each false positive rate."""
        grid = np.linspace(0.0, 1.0, 201)
        known = [c for c in self.roc if c is not None]
        if not known:
            return None
        mean = np.mean([np.interp(grid, c.x, c.y) for c in known], axis=0)
        area = float(np.mean([c.area for c in known]))
        return Curve(np.append(0.0, grid), np.append(0.0, mean), area)

    @property
    def pr_macro(self) -> Curve | None:
        """Mean precision of the classes at each recall."""
        grid = np.linspace(0.0, 1.0, 201)
        known = [c for c in self.pr if c is not None]
        if not known:
            return None
        ends = [(c.x[1::2], c.y[1::2]) for c in known]  # the points at which a positive is found
        mean = np.mean([y[np.searchsorted(x, np.minimum(grid, x[-1]))] for x, y in ends], axis=0)
        return Curve(grid, mean, float(np.mean([c.area for c in known])))


def _mean_area(curves: Sequence[Curve | None]) -> float | None:
    areas = [curve.area for curve in curves if curve is not None]
    return float(np.mean(areas)) if areas else None


def curves(labels: Ints, probs: Floats) -> Curves:
    """Every class against the rest, and all of them together.

    AUROC is the area under the ROC curve by the trapezoidal rule, which counts a tie as half
    (Fawcett 2006, "An introduction to ROC analysis"). Average precision is the sum of precision
    times the gain in recall, without interpolation, as in scikit-learn.

    Args:
        labels: Shape (N,), in [0, C).
        probs: Shape (N, C), higher means more likely.
    """
    steps, micro = _every(labels, probs)
    return Curves(
        roc=tuple(map(_roc, steps)),
        roc_micro=_roc(micro),
        pr=tuple(map(_pr, steps)),
        pr_micro=_pr(micro),
    )
