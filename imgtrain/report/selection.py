"""What is drawn when there are too many classes to draw all of them."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from imgtrain.console import plain
from imgtrain.metrics.confusion import Ints
from imgtrain.metrics.curves import Curve

MOST_CURVES = 12
"""More lines than that cannot be told apart."""

COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#56b4e9",
    "#e69f00",
    "#7f6fd8",
    "#8c6d46",
    "#5a8f29",
    "#b5485d",
    "#3a8f94",
    "#8a8f98",
)
"""Line colours that colour-blind readers tell apart too (the first six: Okabe & Ito 2008)."""


def one_line(name: str, most: int | None = None) -> str:
    """``name`` without control characters and line breaks, cut to ``most`` characters."""
    text = re.sub(r"\s+", " ", plain(name))
    return text if most is None or len(text) <= most else text[: most - 1] + "…"


def hardest(curves: Sequence[Curve | None], most: int = MOST_CURVES) -> list[int]:
    """Indices of the classes to draw, in class order: all, or those with the smallest areas."""
    known = [i for i, curve in enumerate(curves) if curve is not None]
    if len(known) <= most:
        return known
    return sorted(sorted(known, key=lambda i: curves[i].area)[:most])  # type: ignore[union-attr]  # known ones are no None


def confused(matrix: Ints, most: int) -> list[int]:
    """Indices of the classes to show, in class order: all, or those with the most mistakes."""
    if len(matrix) <= most:
        return list(range(len(matrix)))
    mistakes = matrix.sum(axis=0) + matrix.sum(axis=1) - 2 * matrix.diagonal()
    return sorted(np.argsort(-mistakes, kind="stable")[:most].tolist())
