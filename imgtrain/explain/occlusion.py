"""Occlusion: how much surer a model is with a part of the picture than without it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Scores = Callable[[Tensor], NDArray[np.floating]]
"""Pictures (B, H, W, C), uint8 -> probabilities (B, classes)."""

SHARE = 7
"""The window's side is the picture's, divided by this: 32 pixels of 224."""

_BATCH = 64


def window_of(side: int) -> int:
    """The window's side in pixels, where nobody chose it."""
    return max(1, round(side / SHARE))


def occlusion_map(
    scores: Scores, pixels: Tensor, target: int, *, window: int, fill: Sequence[int]
) -> NDArray[np.float32]:
    """How far the class's probability falls when a place is covered (Zeiler & Fergus 2013).

    A window is laid on the picture every half window, the last ones at the edge; a place's value is
    the mean over the windows that cover it (arXiv:1311.2901). Below 0, the class gains.

    Args:
        scores: What is asked of the model.
        pixels: Shape (H, W, C), uint8: the picture as the model sees it.
        target: Index of the class.
        window: The window's side in pixels, at most the picture's.
        fill: The window's colour, one value a channel.

    Returns:
        Shape (H, W), in [-1, 1].
    """
    height, width = pixels.shape[:2]
    corners = [(y, x) for y in _starts(height, window) for x in _starts(width, window)]
    colour = torch.tensor(list(fill), dtype=torch.uint8, device=pixels.device)
    before = float(scores(pixels[None])[0, target])
    falls = np.zeros((height, width), np.float64)
    covered = np.zeros((height, width), np.int64)
    for first in range(0, len(corners), _BATCH):
        some = corners[first : first + _BATCH]
        hidden = pixels.repeat(len(some), 1, 1, 1)
        for row, (y, x) in enumerate(some):
            hidden[row, y : y + window, x : x + window] = colour
        after = scores(hidden)[:, target]
        for (y, x), prob in zip(some, after.tolist(), strict=True):
            falls[y : y + window, x : x + window] += before - prob
            covered[y : y + window, x : x + window] += 1
    return (falls / covered).astype(np.float32)


def _starts(side: int, window: int) -> list[int]:
    """Where windows begin along one side."""
    last = side - window
    return sorted({*range(0, last, max(1, window // 2)), last})
