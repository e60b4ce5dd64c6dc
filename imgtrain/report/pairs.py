"""Two or more runs against each other: over common folds, and on the same test pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from imgtrain.errors import ImgtrainError
from imgtrain.metrics.comparison import (
    FEW,
    LEVEL,
    Ends,
    bootstrap_difference,
    holm,
    mcnemar,
    resampled_t_test,
)
from imgtrain.report.contenders import Contender, check_pair

METRICS = {
    "top1": "top-1",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "log_loss": "log loss",
}
"""What folds are compared by; of the log loss less is better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """One score of two runs, and how sure it is that they differ.

    Args:
        where: ``folds`` or ``test``.
        metric: A key of ``METRICS``.
        count: Folds, or test pictures.
        first: Of the one run; over folds the mean.
        second: Of the other.
        difference: First minus second.
        interval: Where the difference could lie, at 95 %; None where that is unknown.
        p: How likely it is by chance alone; None where that is unknown.
        adjusted: The same, adjusted for as many pairs as were compared (Holm).
        test: What was computed.
        alone: Test pictures that only the first recognises, and only the second.
    """

    where: str
    metric: str
    count: int
    first: float
    second: float
    difference: float
    interval: Ends | None
    p: float | None
    adjusted: float | None
    test: str
    alone: tuple[int, int] | None = None

    @property
    def is_sure(self) -> bool:
        """Whether chance alone is no good explanation (below 5 %, adjusted)."""
        return self.adjusted is not None and self.adjusted < 1 - LEVEL

    @property
    def leads(self) -> int:
        """0 where the first run is better, 1 where the second one is, -1 where neither."""
        gap = -self.difference if self.metric == "log_loss" else self.difference
        return -1 if gap == 0 else int(gap < 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two runs, by their place in the list.

    Args:
        places: Of the first and the second.
        gaps: What was compared.
        reason: Why nothing could be; empty where something was.
    """

    places: tuple[int, int]
    gaps: tuple[Gap, ...]
    reason: str = ""


def compare(contenders: Sequence[Contender], *, strict: bool = True) -> list[Pair]:
    """Every pair, with the probabilities adjusted for their number.

    Args:
        contenders: At least two.
        strict: Whether a pair that cannot be compared is an error; else it has a reason.

    Raises:
        ImgtrainError: The first reason, if ``strict``.
    """
    pairs = []
    for i, k in combinations(range(len(contenders)), 2):
        try:
            check_pair(contenders[i], contenders[k])
        except ImgtrainError as error:
            if strict:
                raise
            pairs.append(Pair(places=(i, k), gaps=(), reason=error.message))
            continue
        gaps = (*_over_folds(contenders[i], contenders[k]), *_on_test(contenders[i], contenders[k]))
        pairs.append(Pair(places=(i, k), gaps=gaps))
    return _adjusted(pairs)


def _over_folds(first: Contender, second: Contender) -> Iterable[Gap]:
    """The corrected resampled t test, metric by metric."""
    mine, theirs = first.folds, second.folds
    if not mine or not theirs:
        return
    order = sorted(mine)
    sizes = [(row.get("n_train") or 0, row.get("n_val") or 0) for row in mine.values()]
    ratio = sum(val for _, val in sizes) / max(1, sum(train for train, _ in sizes))
    for metric in METRICS:
        scores = [[_score(rows[fold], metric) for fold in order] for rows in (mine, theirs)]
        known = np.array(scores, dtype=np.float64)
        if not np.isfinite(known).all():
            continue
        found = resampled_t_test(known[0] - known[1], ratio=ratio)
        yield Gap(
            where="folds",
            metric=metric,
            count=len(order),
            first=float(known[0].mean()),
            second=float(known[1].mean()),
            difference=found.mean,
            interval=found.interval,
            p=found.p,
            adjusted=found.p,
            test="corrected resampled t test",
        )


def _score(row: Any, metric: str) -> float:
    value = row.get("val", {}).get(metric)
    return float(value) if isinstance(value, int | float) else float("nan")


def _on_test(first: Contender, second: Contender) -> Iterable[Gap]:
    """McNemar's test and the paired bootstrap of top-1."""
    if not first.answers or not second.answers:
        return
    right = np.array(
        [
            [each.answers[path][0] == each.answers[path][1] for path in first.answers]
            for each in (first, second)
        ]
    )
    count, alone = (
        right.shape[1],
        (int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())),
    )
    p = mcnemar(*alone)
    tops = right.mean(axis=1)
    yield Gap(
        where="test",
        metric="top1",
        count=count,
        first=float(tops[0]),
        second=float(tops[1]),
        difference=(alone[0] - alone[1]) / count,
        interval=bootstrap_difference(*alone, count),
        p=p,
        adjusted=p,
        test="McNemar, exact" if sum(alone) < FEW else "McNemar, chi-squared",
        alone=alone,
    )


def _adjusted(pairs: Sequence[Pair]) -> list[Pair]:
    """Holm's correction over the pairs, for each score by itself."""
    kinds = {(gap.where, gap.metric) for pair in pairs for gap in pair.gaps}
    found: dict[tuple[int, int], float | None] = {}
    for kind in kinds:
        own = [
            (i, k)
            for i, pair in enumerate(pairs)
            for k, gap in enumerate(pair.gaps)
            if (gap.where, gap.metric) == kind
        ]
        values = holm([pairs[i].gaps[k].p for i, k in own])
        found |= dict(zip(own, values, strict=True))
    return [
        replace(
            pair,
            gaps=tuple(replace(gap, adjusted=found[i, k]) for k, gap in enumerate(pair.gaps)),
        )
        for i, pair in enumerate(pairs)
    ]
