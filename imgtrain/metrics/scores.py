"""All scores of one part of the data, ready for ``metrics.json``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from imgtrain.metrics.calibration import expected_calibration_error, log_loss
from imgtrain.metrics.confusion import (
    Floats,
    Ints,
    balanced_accuracy,
    confusion_matrix,
    f1,
    macro_f1,
    ratio,
)
from imgtrain.metrics.curves import Curves, curves
from imgtrain.metrics.intervals import intervals


def top_k(labels: Ints, probs: Floats, k: int) -> float | None:
    """Share of pictures whose class is among the ``k`` most probable.

    Of equally probable classes the one with the lower index counts as more probable, as in
    ``argmax``.

    Args:
        labels: Shape (N,), in [0, C).
        probs: Shape (N, C).
        k: How many guesses, at least 1.

    Returns:
        A ratio in [0, 1]; None where ``k`` guesses would name every class.
    """
    if k >= probs.shape[1]:
        return None
    own = probs[np.arange(labels.size), labels][:, None]
    earlier = np.arange(probs.shape[1]) < labels[:, None]
    rank = ((probs > own) | ((probs == own) & earlier)).sum(axis=1)
    return float((rank < k).mean())


def _plain(values: Floats) -> list[float | None]:
    """JSON knows no NaN: what is undefined is None."""
    return [None if np.isnan(v) else float(v) for v in values]


def _per_class(matrix: Ints, drawn: Curves, classes: Sequence[str]) -> dict[str, dict[str, Any]]:
    hits, support, predicted = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    columns = zip(
        classes,
        _plain(ratio(hits, predicted)),
        _plain(ratio(hits, support)),
        _plain(f1(hits, support, predicted)),
        support.tolist(),
        (None if c is None else c.area for c in drawn.roc),
        (None if c is None else c.area for c in drawn.pr),
        strict=True,
    )
    names = ("precision", "recall", "f1", "support", "auroc", "average_precision")
    return {name: dict(zip(names, values, strict=True)) for name, *values in columns}


def score(
    labels: Ints,
    probs: Floats,
    classes: Sequence[str],
    *,
    seed: int = 0,
    drawn: Curves | None = None,
) -> dict[str, Any]:
    """Score a part of the data.

    Args:
        labels: Shape (N,), int64, in [0, C).
        probs: Shape (N, C), float64, rows that add up to 1.
        classes: The C names, in index order.
        seed: Seed of the bootstrap intervals.
        drawn: ``curves(labels, probs)`` where they are known already.

    Returns:
        The part's object of ``metrics.json``: plain numbers in [0, 1] (``log_loss`` and ``n``
        apart), and None for what is undefined, such as the AUROC of a class without pictures.
        Macro averages go over the classes for which the score is defined.

    Raises:
        ValueError: If there is no picture, or the shapes do not fit together.
    """
    if labels.size == 0 or probs.shape != (labels.size, len(classes)):
        raise ValueError(
            f"{labels.size} labels, probabilities of shape {probs.shape} and {len(classes)} classes"
        )
    predicted = probs.argmax(axis=1)
    matrix = confusion_matrix(labels, predicted, len(classes))
    hits, support, taken = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    drawn = curves(labels, probs) if drawn is None else drawn
    return {
        "n": labels.size,
        "top1": float(hits.sum() / labels.size),
        "top3": top_k(labels, probs, 3),
        "top5": top_k(labels, probs, 5),
        "balanced_accuracy": float(balanced_accuracy(hits, support)),
        "macro_f1": float(macro_f1(hits, support, taken)),
        "weighted_f1": float(np.nansum(f1(hits, support, taken) * support) / labels.size),
        "macro_auroc": drawn.macro_auroc,
        "micro_auroc": drawn.micro_auroc,
        "macro_average_precision": drawn.macro_average_precision,
        "log_loss": log_loss(labels, probs),
        "ece": expected_calibration_error(probs.max(axis=1), predicted == labels),
        "intervals": {
            name: None if ends is None else list(ends)
            for name, ends in intervals(matrix, seed=seed).items()
        },
        "per_class": _per_class(matrix, drawn, classes),
    }
