"""How far a score could have come out otherwise, had other pictures been drawn."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt
from statistics import NormalDist

import numpy as np

from imgtrain.metrics.confusion import Floats, Ints, balanced_accuracy, macro_f1

_CELLS_AT_ONCE = 2_000_000  # 16 MB of int64


def _sums_along(draws: Ints, group: Ints, groups: int) -> Ints:
    """Add the columns of ``draws`` (R, K) that share a ``group`` (K,): shape (R, groups)."""
    order = np.argsort(group, kind="stable")
    present, starts = np.unique(group[order], return_index=True)
    sums = np.zeros((draws.shape[0], groups), dtype=np.int64)
    sums[:, present] = np.add.reduceat(draws[:, order], starts, axis=1)
    return sums


def _resampled(matrix: Ints, resamples: int, seed: int) -> Iterator[tuple[Ints, Ints, Ints]]:
    """Hits, support and predictions per class, shape (R, C) each, some resamples at a time."""
    rows, columns = np.nonzero(matrix)
    cells = matrix[rows, columns]
    total = int(cells.sum())
    rng = np.random.default_rng(seed)
    at_once = max(1, _CELLS_AT_ONCE // max(len(cells), len(matrix)))
    for start in range(0, resamples, at_once):
        draws = rng.multinomial(total, cells / total, size=min(at_once, resamples - start))
        hits = draws * (rows == columns)
        classes = len(matrix)
        yield (
            _sums_along(hits, rows, classes),
            _sums_along(draws, rows, classes),
            _sums_along(draws, columns, classes),
        )


def wilson_interval(hits: int, count: int, *, level: float = 0.95) -> tuple[float, float]:
    """Score interval of a proportion.

    Unlike the bootstrap it says something where no mistake was seen (Wilson 1927, "Probable
    inference, the law of succession, and statistical inference"; recommended by Brown, Cai &
    DasGupta 2001, "Interval estimation for a binomial proportion").

    Args:
        hits: How many were right, in [0, count].
        count: How many there were, at least 1.
        level: Coverage, in (0, 1).

    Returns:
        The lower and the upper end, in [0, 1].
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    share, weight = hits / count, z * z / count
    centre = (share + weight / 2) / (1 + weight)
    half = z * sqrt(share * (1 - share) / count + weight / (4 * count)) / (1 + weight)
    low = 0.0 if hits == 0 else centre - half
    high = 1.0 if hits == count else centre + half
    return low, high


def intervals(
    matrix: Ints, *, seed: int = 0, resamples: int = 1000, level: float = 0.95
) -> dict[str, tuple[float, float] | None]:
    """Intervals of the headline scores: Wilson's for top1, bootstrap for the others.

    Where no mistake was seen (or nothing was right), resampling always gives the same score and
    knows no interval: None.

    Args:
        matrix: Shape (C, C), from `confusion_matrix`, with at least one picture.
        seed: Seed of the resampling; the same seed gives the same interval.
        resamples: How often to draw.
        level: Coverage, in (0, 1).
    """
    hits, count = int(matrix.trace()), int(matrix.sum())
    drawn = bootstrap_intervals(matrix, seed=seed, resamples=resamples, level=level)
    found: dict[str, tuple[float, float] | None] = {
        name: ends if ends[0] < ends[1] else None for name, ends in drawn.items()
    }
    found["top1"] = wilson_interval(hits, count, level=level)
    return found


def bootstrap_intervals(
    matrix: Ints, *, seed: int = 0, resamples: int = 1000, level: float = 0.95
) -> dict[str, tuple[float, float]]:
    """Percentile bootstrap intervals of top1, balanced accuracy and macro F1.

    The bootstrap draws N pictures with replacement and scores them anew (Efron 1979,
    "Bootstrap methods: another look at the jackknife"; percentile interval: Efron & Tibshirani
    1993, "An Introduction to the Bootstrap"). A picture matters to these three scores only
    through its cell of the confusion matrix, and drawing N pictures makes the cells' counts
    Multinomial(N, cells / N): so the cells are drawn at once, which has the same distribution
    and costs the same for a thousand pictures as for a million.

    Args:
        matrix: Shape (C, C), from `confusion_matrix`, with at least one picture.
        seed: Seed of the resampling; the same seed gives the same interval.
        resamples: How often to draw.
        level: Share of resamples inside the interval, in (0, 1).

    Returns:
        The lower and the upper end, in [0, 1], by the name of the metric.
    """
    scores: dict[str, list[Floats]] = {"top1": [], "balanced_accuracy": [], "macro_f1": []}
    for hits, support, predicted in _resampled(matrix, resamples, seed):
        scores["top1"].append(hits.sum(axis=1) / support.sum(axis=1))
        scores["balanced_accuracy"].append(balanced_accuracy(hits, support))
        scores["macro_f1"].append(macro_f1(hits, support, predicted))
    ends = [(1 - level) / 2, (1 + level) / 2]
    return {
        name: (float(low), float(high))
        for name, (low, high) in (
            (name, np.quantile(np.concatenate(parts), ends)) for name, parts in scores.items()
        )
    }
