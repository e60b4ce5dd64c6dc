"""What several folds say together: mean, spread, and how far the mean may be off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, isclose, sqrt

import numpy as np

LEVEL = 0.95

Ends = tuple[float, float]

_UNBOUNDED = ("log_loss",)
"""Not a fraction: it may be above 1."""


@dataclass(frozen=True, slots=True)
class Spread:
    """One metric over J folds.

    Args:
        mean: Of the folds' values.
        std: With J - 1 in the denominator; None of a single fold.
        corrected: 95 % interval of the mean that allows for the training parts' overlap; None of
            values that are all the same, which know no interval.
        plain: The same as if the folds were independent: narrower than it should be.
    """

    mean: float
    std: float | None
    corrected: Ends | None
    plain: Ends | None


def spread(values: Sequence[float], *, ratio: float) -> Spread:
    """Mean, standard deviation and t intervals of one metric over J folds.

    The plain interval is Student's, mean +- t(J - 1) std sqrt(1 / J). Folds share most of what they
    learn from, so their values hang together and it is too narrow. The corrected one puts
    1 / J + ratio in place of 1 / J (Nadeau & Bengio 2003, "Inference for the generalization error",
    Machine Learning 52, the corrected resampled t-test).

    Args:
        values: One a fold.
        ratio: Pictures that a fold validates over pictures that it learns from.

    Raises:
        ValueError: If there is no value.
    """
    if not values:
        raise ValueError("there is no fold")
    number = len(values)
    mean = float(np.mean(values))
    if number == 1:
        return Spread(mean, None, None, None)
    from scipy.stats import t

    std = float(np.std(values, ddof=1))
    if isclose(std, 0.0, abs_tol=1e-12):
        return Spread(mean, std, None, None)
    reach = float(t.ppf((1 + LEVEL) / 2, number - 1)) * std
    wide, narrow = reach * sqrt(1 / number + ratio), reach * sqrt(1 / number)
    return Spread(mean, std, (mean - wide, mean + wide), (mean - narrow, mean + narrow))


def over_folds(
    scores: Sequence[Mapping[str, object]], *, ratio: float
) -> dict[str, dict[str, object]]:
    """``mean``, ``std``, ``intervals`` and ``intervals_uncorrected`` by metric, for JSON.

    A metric that some fold does not define, and what is no number, is left out. Ends of intervals
    are cut to what the metric can be.

    Args:
        scores: One object of ``metrics.json`` a fold.
        ratio: As for `spread`.
    """
    found: dict[str, dict[str, object]] = {
        key: {} for key in ("mean", "std", "intervals", "intervals_uncorrected")
    }
    for name in scores[0]:
        values = [each.get(name) for each in scores]
        numbers = [float(v) for v in values if isinstance(v, int | float)]
        if name == "n" or len(numbers) < len(scores):
            continue
        one = spread(numbers, ratio=ratio)
        found["mean"][name], found["std"][name] = one.mean, one.std
        found["intervals"][name] = _cut(one.corrected, name)
        found["intervals_uncorrected"][name] = _cut(one.plain, name)
    return found


def _cut(ends: Ends | None, name: str) -> list[float] | None:
    if ends is None:
        return None
    high = inf if name in _UNBOUNDED else 1.0
    return [max(0.0, ends[0]), min(high, ends[1])]
