"""Whether probabilities mean what they say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imgtrain.metrics.confusion import Floats, Ints, ratio


@dataclass(frozen=True, slots=True)
class Reliability:
    """How sure and how right the model was, by interval of confidence.

    ``edges`` has shape (B + 1,); ``counts``, ``confidence`` and ``accuracy`` have shape (B,),
    the means being NaN in an empty interval.
    """

    edges: Floats
    counts: Ints
    confidence: Floats
    accuracy: Floats


def reliability(
    confidence: Floats, correct: npt.NDArray[np.bool_], *, bins: int = 15
) -> Reliability:
    """Group pictures by confidence into equal intervals of (0, 1], closed above.

    Args:
        confidence: Shape (N,), largest probability per picture, in [0, 1].
        correct: Shape (N,), whether the picture was recognised.
        bins: Number of intervals, at least 1.
    """
    edges = np.linspace(0.0, 1.0, bins + 1)
    where = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    counts = np.bincount(where, minlength=bins).astype(np.int64)
    return Reliability(
        edges=edges,
        counts=counts,
        confidence=ratio(np.bincount(where, weights=confidence, minlength=bins), counts),
        accuracy=ratio(np.bincount(where, weights=correct, minlength=bins), counts),
    )


def expected_calibration_error(
    confidence: Floats, correct: npt.NDArray[np.bool_], *, bins: int = 15
) -> float:
    """Average gap between how sure the model is and how often it is right.

    Pictures are grouped by confidence into ``bins`` equal intervals; each group's gap counts
    by its share of the pictures (Guo et al. 2017, "On Calibration of Modern Neural Networks",
    arXiv:1706.04599).

    Args:
        confidence: Shape (N,), largest probability per picture, in [0, 1].
        correct: Shape (N,), whether the picture was recognised.
        bins: Number of intervals, at least 1.

    Returns:
        A ratio in [0, 1]; 0 is perfect.
    """
    groups = reliability(confidence, correct, bins=bins)
    gaps = np.abs(groups.accuracy - groups.confidence)
    return float(np.nansum(gaps * groups.counts) / confidence.size)


def log_loss(labels: Ints, probs: Floats) -> float:
    """Mean of -ln(probability of the true class), in [0, 36.1].

    A probability of 0 counts as 2.2e-16, the float64 epsilon, as in scikit-learn.

    Args:
        labels: Shape (N,), in [0, C).
        probs: Shape (N, C), rows that add up to 1.
    """
    return float(log_loss_each(labels, probs).mean()) + 0.0


def log_loss_each(labels: Ints, probs: Floats) -> Floats:
    """Every picture's share of ``log_loss``, (N,)."""
    true = probs[np.arange(labels.size), labels]
    losses: Floats = -np.log(np.clip(true, np.finfo(np.float64).eps, 1.0))
    return losses


def brier_score(labels: Ints, probs: Floats) -> float:
    """Mean squared distance between the probabilities and the truth, in [0, 2] (Brier 1950).

    Args:
        labels: Shape (N,), in [0, C).
        probs: Shape (N, C), rows that add up to 1.
    """
    return float(brier_each(labels, probs).mean())


def brier_each(labels: Ints, probs: Floats) -> Floats:
    """Every picture's share of ``brier_score``, (N,)."""
    true = probs[np.arange(labels.size), labels]
    lengths = np.einsum("nc,nc->n", probs, probs)  # |p - e|^2 = |p|^2 - 2 p_true + 1
    distances: Floats = lengths - 2 * true + 1
    return distances
