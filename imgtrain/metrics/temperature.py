"""One number that makes a network as sure as it is right (Guo et al. 2017, arXiv:1706.04599).

Logits are divided by a temperature: above 1 it takes certainty away, below 1 it adds some. Which
class is the likeliest never changes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imgtrain.metrics.confusion import Floats, Ints

LOWEST, HIGHEST = 0.01, 100.0
"""Where the search ends: beyond, answers are certainties, or all alike."""

_PRECISE = 1e-9
"""Of the logarithm of the temperature."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A temperature, and whether the loss has its least value there or would fall beyond."""

    temperature: float
    is_inside: bool


def tempered(logs: NDArray[np.floating], temperature: float) -> Floats:
    """Probabilities at a temperature.

    Args:
        logs: Shape (N, C), logits or logarithms of probabilities; minus infinity is a class that
            is ruled out, and stays so.
        temperature: Above 0.

    Returns:
        Shape (N, C), float64, rows that add up to 1.
    """
    scaled = logs.astype(np.float64) / temperature
    odds = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    probs: Floats = odds / odds.sum(axis=1, keepdims=True)
    return probs


def fit_temperature(logs: NDArray[np.floating], labels: Ints) -> Fitted:
    """The temperature of the least mean log loss.

    The loss is convex in 1 / T, so it has one valley. A picture whose right class is ruled out has
    an infinite loss at every temperature, and does not count.

    Args:
        logs: Shape (N, C), as in ``tempered``.
        labels: Shape (N,), right classes.

    Raises:
        ValueError: If no picture counts.
    """
    from scipy.optimize import minimize_scalar

    rows = np.arange(len(labels))
    counts = np.isfinite(logs[rows, labels])
    if not counts.any():
        raise ValueError("the right class is ruled out for every picture")
    logs, labels, rows = logs[counts].astype(np.float64), labels[counts], rows[: counts.sum()]
    gaps = logs - logs[rows, labels][:, None]  # (N, C), 0 at the right class

    def loss(log_t: float) -> float:
        scaled = gaps / np.exp(log_t)
        most = scaled.max(axis=1)
        return float((most + np.log(np.exp(scaled - most[:, None]).sum(axis=1))).mean())

    ends = (np.log(LOWEST), np.log(HIGHEST))
    found = minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": _PRECISE})
    log_t = float(found.x)
    margin = 1e-3
    return Fitted(float(np.exp(log_t)), bool(ends[0] + margin < log_t < ends[1] - margin))
