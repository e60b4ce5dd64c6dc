"""Which class was taken for which, and the metrics that need no more than that.

Arrays of counts may have leading axes, so that a thousand resamples are one call.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def confusion_matrix(labels: Ints, predicted: Ints, classes: int) -> Ints:
    """Count pictures by true and predicted class.

    Args:
        labels: Shape (N,), true classes in [0, classes).
        predicted: Shape (N,), predicted classes in [0, classes).
        classes: Number of classes.

    Returns:
        Shape (classes, classes); rows are true, columns predicted, as in scikit-learn.

    Raises:
        ValueError: If a class is out of range.
    """
    for name, found in (("labels", labels), ("predicted", predicted)):
        if found.size and (found.min() < 0 or found.max() >= classes):
            raise ValueError(f"{name} must lie in [0, {classes})")
    cells = np.bincount(labels * classes + predicted, minlength=classes * classes)
    return cells.reshape(classes, classes).astype(np.int64)


def ratio(part: npt.NDArray[np.number], whole: npt.NDArray[np.number]) -> Floats:
    """``part / whole``, and NaN where ``whole`` is 0; the same shape as both."""
    quotient: Floats = np.full(whole.shape, np.nan)
    np.divide(part, whole, out=quotient, where=whole > 0)
    return quotient


def f1(hits: Ints, support: Ints, predicted: Ints) -> Floats:
    """F1 per class: 2 hits / (support + predicted); NaN for a class that never occurs.

    Args:
        hits: Shape (..., C), pictures of the class that were recognised.
        support: Shape (..., C), pictures of the class.
        predicted: Shape (..., C), pictures taken for the class.

    Returns:
        Shape (..., C), in [0, 1] or NaN.
    """
    return ratio(2 * hits, support + predicted)


def macro_f1(hits: Ints, support: Ints, predicted: Ints) -> Floats:
    """Mean F1 over the classes that occur among labels or predictions, as scikit-learn has it.

    Args:
        hits: Shape (..., C).
        support: Shape (..., C).
        predicted: Shape (..., C).

    Returns:
        Shape (...), in [0, 1].
    """
    return np.asarray(np.nanmean(f1(hits, support, predicted), axis=-1))


def balanced_accuracy(hits: Ints, support: Ints) -> Floats:
    """Mean recall over the classes that have pictures (Brodersen et al. 2010), not adjusted.

    Args:
        hits: Shape (..., C).
        support: Shape (..., C).

    Returns:
        Shape (...), in [0, 1].
    """
    return np.asarray(np.nanmean(ratio(hits, support), axis=-1))
