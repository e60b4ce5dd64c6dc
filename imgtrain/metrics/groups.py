"""Scores of parts of the pictures, and of the same pictures made worse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from imgtrain.metrics.calibration import log_loss
from imgtrain.metrics.confusion import Floats, Ints, confusion_matrix, macro_f1
from imgtrain.metrics.intervals import wilson_interval


def macro_f1_of(labels: Ints, predicted: Ints, classes: int) -> float:
    """Mean F1 over the classes that occur among labels, (N,), or predictions, (N,)."""
    matrix = confusion_matrix(labels, predicted, classes)
    return float(macro_f1(matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)))


def score_slice(labels: Ints, probs: Floats) -> dict[str, Any]:
    """The scores of some pictures, at least one.

    Args:
        labels: Shape (N,), right classes.
        probs: Shape (N, C).

    Returns:
        ``n``, ``top1`` with its 95 % ``interval`` (Wilson's), ``macro_f1`` and ``log_loss``.
    """
    predicted = probs.argmax(axis=1)
    hits = int((predicted == labels).sum())
    return {
        "n": len(labels),
        "top1": hits / len(labels),
        "interval": list(wilson_interval(hits, len(labels))),
        "macro_f1": macro_f1_of(labels, predicted, probs.shape[1]),
        "log_loss": log_loss(labels, probs),
    }


def score_slices(labels: Ints, probs: Floats, values: Sequence[str]) -> list[dict[str, Any]]:
    """``score_slice`` of the pictures of each value, (N,), in the order of the values' names."""
    column = np.array(values, np.object_)
    found = []
    for value in sorted(set(values)):
        rows = column == value
        found.append({"value": value, **score_slice(labels[rows], probs[rows])})
    return found


def robustness(clean_top1: float, rows: Sequence[dict[str, Any]]) -> dict[str, float | None]:
    """What corruptions cost: their mean top-1 over all kinds and severities, and the share lost.

    Args:
        clean_top1: On the pictures as they are.
        rows: Each with a ``top1``, as many severities of each kind.
    """
    mean = float(np.mean([row["top1"] for row in rows]))
    return {
        "clean_top1": clean_top1,
        "mean_top1": mean,
        "relative_drop": 1 - mean / clean_top1 if clean_top1 else None,
    }
