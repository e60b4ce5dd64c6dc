"""Whether two models differ, or chance alone could have made the difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isclose, sqrt

import numpy as np

from imgtrain.metrics.confusion import Floats

Ends = tuple[float, float]

FEW = 25
"""Fewer pictures on which two models disagree are counted exactly."""

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Difference:
    """A mean difference over J trainings.

    Args:
        mean: Of the J differences.
        interval: Where it could lie, at 95 %; None of a single training, and of differences that
            are the same everywhere.
        p: How likely one as large would be without any difference; None where that is unknown.
    """

    mean: float
    interval: Ends | None
    p: float | None


def resampled_t_test(differences: Floats, *, ratio: float) -> Difference:
    """Student's t test of paired differences over folds, corrected for their common pictures.

    Folds (and repeats) learn from parts that overlap, so their differences hang together, and
    their variance says too little of that of their mean: it is multiplied by 1 / J + ``ratio``
    instead of 1 / J (Nadeau & Bengio 2003, "Inference for the generalization error", Machine
    Learning 52). With J - 1 degrees of freedom. A ``ratio`` of 0 is the uncorrected test, which
    finds differences where there are none.

    Args:
        differences: Shape (J,), one for each training, at least one.
        ratio: Pictures that a training was scored on over pictures that it learned from.
    """
    count, mean = len(differences), float(differences.mean())
    if count == 1:
        return Difference(mean, None, None)
    error = float(differences.std(ddof=1)) * sqrt(1 / count + ratio)
    if isclose(error, 0.0, abs_tol=1e-12):  # the same difference everywhere
        return Difference(mean, None, 1.0 if isclose(mean, 0, abs_tol=1e-12) else None)
    from scipy.stats import t

    reach = float(t.ppf((1 + LEVEL) / 2, count - 1)) * error
    p = float(2 * t.sf(abs(mean) / error, count - 1))
    return Difference(mean, (mean - reach, mean + reach), p)


def mcnemar(only_first: int, only_second: int) -> float:
    """How likely two equally good models disagree so one-sidedly (McNemar 1947).

    Only pictures that one of them recognises and the other does not speak ("Note on the sampling
    error of the difference between correlated proportions or percentages"). Fewer than 25 are
    counted by the binomial distribution, two-sided; for more it is chi-squared with one degree of
    freedom, with the continuity correction of Edwards (1948), (|b - c| - 1)^2 / (b + c).

    Args:
        only_first: Pictures that only the first model recognises.
        only_second: Pictures that only the second model recognises.

    Returns:
        The probability, in [0, 1].
    """
    discordant = only_first + only_second
    if not discordant:
        return 1.0
    from scipy.stats import binom, chi2

    if discordant < FEW:
        return min(1.0, float(2 * binom.cdf(min(only_first, only_second), discordant, 0.5)))
    gap = max(0, abs(only_first - only_second) - 1)
    return float(chi2.sf(gap**2 / discordant, 1))


def bootstrap_difference(
    only_first: int, only_second: int, pictures: int, *, seed: int = 0, resamples: int = 10_000
) -> Ends | None:
    """Paired percentile bootstrap of the difference in top-1, at 95 % (Efron 1979).

    Pictures are drawn with replacement, each with both answers. One matters only through who
    recognises it, so the counts are drawn at once: multinomial.

    Args:
        only_first: Pictures that only the first model recognises.
        only_second: Pictures that only the second model recognises.
        pictures: All of them, at least 1.
        seed: Of the resampling; the same seed gives the same interval.
        resamples: How often to draw.

    Returns:
        Both ends, in [-1, 1]; None where the models never disagree, which knows no interval.
    """
    if not only_first + only_second:
        return None
    shares = np.array([only_first, only_second, pictures - only_first - only_second]) / pictures
    drawn = np.random.default_rng(seed).multinomial(pictures, shares, size=resamples)
    gaps = (drawn[:, 0] - drawn[:, 1]) / pictures
    low, high = np.quantile(gaps, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def holm(p: Sequence[float | None]) -> list[float | None]:
    """Probabilities of several tests, adjusted so that all of them together hold their level.

    The smallest of m is multiplied by m, the next by m - 1, and so on, none below the one before
    (Holm 1979, "A simple sequentially rejective multiple test procedure").

    Args:
        p: One a test; None where it is unknown, which is no test.

    Returns:
        As many, in the same order.
    """
    known = sorted((value, place) for place, value in enumerate(p) if value is not None)
    found: list[float | None] = [None] * len(p)
    largest = 0.0
    for rank, (value, place) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * value))
        found[place] = largest
    return found
