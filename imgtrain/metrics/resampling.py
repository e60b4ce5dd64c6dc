"""Bootstrap intervals of scores that need the probabilities themselves."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from imgtrain.metrics.calibration import brier_each, log_loss_each
from imgtrain.metrics.confusion import Floats, Ints

Ends = tuple[float, float] | None

_WORK = 5e7
"""Pictures x classes x resamples for the AUROC: some seconds."""

_FEWEST = 100
"""Resamples below which an interval says nothing."""


def probability_intervals(
    labels: Ints,
    probs: Floats,
    *,
    seed: int = 0,
    resamples: int = 1000,
    level: float = 0.95,
    bins: int = 15,
) -> dict[str, Ends]:
    """Percentile bootstrap intervals of log loss, Brier score, ECE and macro AUROC.

    N pictures are drawn with replacement and scored anew (Efron & Tibshirani 1993, "An
    Introduction to the Bootstrap"). The ECE of a resample is larger than that of the pictures
    drawn from, as chance adds to every gap: its interval leans upwards.

    Args:
        labels: Shape (N,), in [0, C), at least one.
        probs: Shape (N, C), rows that add up to 1.
        seed: Of the resampling; the same seed gives the same intervals.
        resamples: How often to draw.
        level: Share of resamples inside the interval, in (0, 1).
        bins: Of the ECE.

    Returns:
        Lower and upper end by name; None where resampling always gives the same, and for the AUROC
        where it is undefined or the pictures times the classes are so many that it would take
        minutes.
    """
    means = np.stack([log_loss_each(labels, probs), brier_each(labels, probs)])
    confidence = probs.max(axis=1)
    edges = np.linspace(0.0, 1.0, bins + 1)
    places = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    gaps = confidence - (probs.argmax(axis=1) == labels)
    auroc = _Auroc(labels, probs)
    limit = min(resamples, int(_WORK / max(1, probs.size)))
    found: dict[str, list[float]] = {"log_loss": [], "brier": [], "ece": [], "macro_auroc": []}
    for number, drawn in enumerate(_draws(len(labels), resamples, seed)):
        log_loss, brier = means[:, drawn].mean(axis=1).tolist()
        sums = np.bincount(places[drawn], weights=gaps[drawn], minlength=bins)
        found["log_loss"].append(log_loss)
        found["brier"].append(brier)
        found["ece"].append(float(np.abs(sums).sum() / len(labels)))
        if number < limit and limit >= _FEWEST:
            found["macro_auroc"].append(auroc.of(drawn))
    return {name: _ends(values, level) for name, values in found.items()}


def _draws(count: int, resamples: int, seed: int) -> Iterator[Ints]:
    rng = np.random.default_rng(seed)
    for _ in range(resamples):
        yield rng.integers(0, count, count)


def _ends(values: list[float], level: float) -> Ends:
    known = [value for value in values if not np.isnan(value)]
    if len(known) < min(len(values), _FEWEST) or not known:
        return None
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return (float(low), float(high)) if low < high else None


class _Auroc:
    """Macro AUROC of resamples: pictures are ranked once, resamples only weight them."""

    def __init__(self, labels: Ints, probs: Floats) -> None:
        count, classes = probs.shape
        self._labels, self._classes = labels, classes
        self._order = np.argsort(probs, axis=0, kind="stable").T  # (C, N), ascending
        ranked = np.take_along_axis(probs.T, self._order, axis=1)
        self._others = labels[self._order] != np.arange(classes)[:, None]
        ranks = np.empty_like(self._order)
        np.put_along_axis(ranks, self._order, np.arange(count)[None, :], axis=1)
        own = ranks[labels, np.arange(count)]  # each picture's rank within its class's column
        starts = np.ones(ranked.shape, np.bool_)
        starts[:, 1:] = ranked[:, 1:] != ranked[:, :-1]
        first = np.maximum.accumulate(np.where(starts, np.arange(count), 0), axis=1)
        ends = np.append(starts[:, 1:], np.ones((classes, 1), np.bool_), axis=1)
        last = np.minimum.accumulate(np.where(ends, np.arange(count), count)[:, ::-1], axis=1)
        self._first, self._last = first[labels, own], last[:, ::-1][labels, own]

    def of(self, drawn: Ints) -> float:
        """Mean over the classes that have both pictures and others; NaN without any."""
        labels, count = self._labels, len(self._labels)
        weights = np.bincount(drawn, minlength=count).astype(np.float64)
        below = np.zeros((self._classes, count + 1))
        np.cumsum(weights[self._order] * self._others, axis=1, out=below[:, 1:])
        beaten = (below[labels, self._first] + below[labels, self._last + 1]) / 2
        pairs = np.bincount(labels, weights=weights * beaten, minlength=self._classes)
        own = np.bincount(labels, weights=weights, minlength=self._classes)
        known = (own > 0) & (below[:, -1] > 0)
        return float((pairs[known] / (own * below[:, -1])[known]).mean()) if known.any() else np.nan
