"""How the pixels of a picture are: light, contrast, sharpness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, cast

import cv2
import numpy as np
from numpy.typing import NDArray

_SMALL = 64
"""Below this side, sharp and blurred look the same."""
_LOW, _HIGH = 0.05, 0.95


class Sized(Protocol):
    """What knows the size of the whole picture."""

    @property
    def width(self) -> int:
        """In pixels."""

    @property
    def height(self) -> int:
        """In pixels."""


@dataclass(frozen=True, slots=True)
class Quality:
    """Levels are 0 to 255.

    Args:
        mean: Level.
        contrast: Standard deviation of the level.
        dark: Level that 5 % of the pixels stay below.
        bright: Level that 5 % of the pixels lie above.
        sharpness: Variance of the Laplacian (Pech-Pacheco et al. 2000) at a shorter side of 256
            pixels at most; None where the picture is too small to tell.
    """

    mean: float
    contrast: float
    dark: float
    bright: float
    sharpness: float | None


def quality_of(pixels: NDArray[np.uint8], whole: Sized) -> Quality:
    """Measure pixels (H, W, C) of a picture that may have been larger."""
    shown = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) if pixels.shape[2] == 3 else pixels[:, :, 0]  # noqa: PLR2004  # red, green, blue
    grey = cast("NDArray[np.uint8]", np.ascontiguousarray(shown))
    counts = np.bincount(grey.ravel(), minlength=256)
    levels = np.arange(256)
    mean = float(counts @ levels) / grey.size
    contrast = float(np.sqrt(counts @ (levels - mean) ** 2 / grey.size))
    dark, bright = np.searchsorted(np.cumsum(counts), (_LOW * grey.size, _HIGH * grey.size))
    small = min(whole.width, whole.height) < _SMALL
    return Quality(mean, contrast, float(dark), float(bright), None if small else _sharpness(grey))


def _sharpness(grey: NDArray[np.uint8]) -> float:
    _, spread = cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S))
    return float(spread[0, 0]) ** 2
