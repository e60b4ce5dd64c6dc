"""Sets of classes that hold the right one as often as was promised (split conformal prediction).

The promise holds on average over pictures drawn like the calibration pictures, whatever the model
(Vovk et al. 2005; Angelopoulos and Bates 2021, arXiv:2107.07511, section 1). A picture conforms by
the probability of its right class, which gives the smallest sets on average (Sadinle et al. 2019,
arXiv:1609.00451).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from imgtrain.metrics.confusion import Floats, Ints

_ROUNDING = 1e-6
"""Relative: the same picture in another batch, and neighbours that vote, are still as likely."""


def conformity_scores(probs: NDArray[np.floating], labels: Ints) -> Floats:
    """How likely each calibration picture's right class was found, ascending.

    Args:
        probs: Shape (N, C).
        labels: Shape (N,), the right classes.

    Returns:
        Shape (N,), in [0, 1].
    """
    return np.sort(probs[np.arange(len(labels)), labels].astype(np.float64))


def least_probability(scores: Sequence[float] | Floats, coverage: float) -> float:
    """What a class's probability must reach to be in the set.

    Args:
        scores: Shape (N,), ascending; see ``conformity_scores``.
        coverage: Share of pictures whose set is to hold the right class, in (0, 1).

    Returns:
        In [0, 1]; 0, so that every class is in every set, where N pictures are too few to promise
        this coverage.

    Raises:
        ValueError: If ``coverage`` is not inside (0, 1).
    """
    if not 0 < coverage < 1:
        raise ValueError("coverage must be above 0 and below 1")
    rank = math.ceil((len(scores) + 1) * coverage)
    return 0.0 if rank > len(scores) else float(scores[len(scores) - rank]) * (1 - _ROUNDING)


def enough_for(coverage: float) -> int:
    """How many calibration pictures this coverage needs at least."""
    return math.ceil(coverage / (1 - coverage))


def prediction_sets(probs: NDArray[np.floating], least: float) -> NDArray[np.bool_]:
    """Which classes are in each picture's set: those likely enough, and always the likeliest.

    Args:
        probs: Shape (N, C).
        least: See ``least_probability``.

    Returns:
        Shape (N, C).
    """
    inside = probs >= least
    inside[np.arange(len(probs)), probs.argmax(axis=1)] = True
    return inside
