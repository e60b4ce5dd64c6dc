"""Many small pictures of one shape, cut and mirrored at once.

One by one, what a small picture costs is mostly Python: here it is a few calls for a whole batch,
with the same result to the byte.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import cast

import cv2
import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from imgtrain.loading.preprocess import Pixels

Floats = NDArray[np.float64]


class SeesTogether(ABC):
    """A view of one picture that can see many at once."""

    __slots__ = ()

    @abstractmethod
    def takes(self, shape: tuple[int, int, int]) -> bool:
        """Whether it can do so with stored pictures (H, W, C)."""

    @abstractmethod
    def many(self, pixels: Pixels, u: Floats) -> Pixels:
        """Stored pictures (B, H, W, C) and their numbers (B, DRAWS) -> (B, size, size, C).

        What it returns may be ``pixels`` itself.
        """


def shifted_together(pixels: Pixels, down: NDArray[np.intp], right: NDArray[np.intp]) -> Pixels:
    """What windows of the same size see that are moved so; beyond the edge, the edge repeated.

    Args:
        pixels: Shape (B, H, W, C).
        down: Shape (B,).
        right: Shape (B,).
    """
    count, height, width, channels = pixels.shape
    first = np.arange(count)[:, None] * height
    rows = np.arange(height) + down[:, None]
    np.maximum(rows, 0, out=rows)
    np.minimum(rows, height - 1, out=rows)
    flat = np.ascontiguousarray(pixels).reshape(count * height, width * channels)
    lines = flat.take((rows + first).reshape(-1), axis=0).reshape(count * height, width, channels)
    margin = int(np.abs(right).max(initial=0))
    bordered = cv2.copyMakeBorder(lines, 0, 0, margin, margin, cv2.BORDER_REPLICATE)
    wide = cast("Pixels", bordered).reshape(count, height, width + 2 * margin, channels)
    of_picture, of_row, of_column, _ = wide.strides
    windows = as_strided(
        wide,
        (count, 2 * margin + 1, height, width * channels),
        (of_picture, of_column, of_row, 1),
        writeable=False,
    )
    seen: Pixels = windows[np.arange(count), right + margin].reshape(pixels.shape)
    return seen


def mirror_some(pixels: Pixels, which: NDArray[np.bool_]) -> None:
    """Left becomes right in these pictures (B, H, W, C), in place."""
    rows = np.flatnonzero(which)
    if len(rows):
        chosen = pixels.take(rows, axis=0)
        tall = chosen.reshape(-1, *chosen.shape[2:])  # one below the other: one picture for OpenCV
        pixels[rows] = cast("Pixels", cv2.flip(tall, 1)).reshape(chosen.shape)
