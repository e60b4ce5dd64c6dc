"""What each class counts in the loss, from the number of its training pictures or as given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from imgtrain.errors import SettingsError, nearest

BETA = 0.999
"""Of effective numbers: between 0.9 and 0.9999 in the paper; fits classes of 10 to 10,000."""

Floats = NDArray[np.float64]


def inverse_weights(counts: NDArray[np.int64]) -> Floats:
    """``total / (classes x count)``: the mean over all pictures is 1.

    The same as scikit-learn's ``balanced``: classes without pictures are left out, and count 1.
    """
    there = counts > 0
    return _filled(there, counts.sum() / (there.sum() * counts[there]))


def effective_weights(counts: NDArray[np.int64], *, beta: float = BETA) -> Floats:
    """Inverse effective numbers, ``(1 - beta) / (1 - beta^count)``, made to add up to the classes.

    Cui et al. 2019 (arXiv:1901.05555, equation 2 and section 4): the more pictures a class has,
    the less another one adds. Classes without pictures are left out, and count 1.
    """
    there = counts > 0
    raw = (1 - beta) / (1 - beta ** counts[there])
    return _filled(there, raw * (len(raw) / raw.sum()))


def _filled(there: NDArray[np.bool_], weights: Floats) -> Floats:
    """1 for classes that are not there."""
    filled = np.ones(len(there))
    filled[there] = weights
    return filled


def given_weights(given: Sequence[float] | Mapping[str, float], classes: Sequence[str]) -> Floats:
    """``--class-weights``: in the order of the classes, or by name (others count 1).

    Raises:
        SettingsError: If their number is not that of the classes, or a name is none of them.
    """
    if not isinstance(given, Mapping):
        if len(given) != len(classes):
            raise SettingsError(
                f"--class-weights has {len(given)} numbers, the data has {len(classes)} classes",
                f"one for each of {', '.join(classes[:10])}{', ...' * (len(classes) > 10)}, "  # noqa: PLR2004  # enough to see the order
                "or NAME=WEIGHT pairs",
            )
        return np.array(given, np.float64)
    weights = np.ones(len(classes))
    for name, weight in given.items():
        if name not in classes:
            raise SettingsError(
                f"--class-weights names {name!r}, which is no class{nearest(name, classes)}",
                "write NAME=WEIGHT, with the names of the class folders",
            )
        weights[classes.index(name)] = weight
    return weights
