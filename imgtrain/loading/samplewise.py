"""Variations of one picture, drawn from its own random numbers."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from imgtrain.loading.preprocess import Pixels, Preprocess, resized
from imgtrain.settings.schema import AugmentSettings

View = Callable[[Pixels, NDArray[np.float64]], Pixels]
"""Stored picture (H, W, C) and its DRAWS uniform numbers -> (size, size, C)."""

_RATIO = (3 / 4, 4 / 3)


def random_resized_crop(
    pixels: Pixels, u: NDArray[np.float64], *, size: int, scale: float
) -> Pixels:
    """A random part of the picture, brought to ``size`` (Szegedy et al. 2014, arXiv:1409.4842).

    Area uniform in [scale, 1] of the picture, aspect log-uniform in [3/4, 4/3]; a box that would
    stick out is made to fit. ``u[0:4]`` are area, aspect, top, left.
    """
    height, width = pixels.shape[:2]
    area = height * width * (scale + (1 - scale) * u[0])
    ratio = math.exp(math.log(_RATIO[0]) + (math.log(_RATIO[1]) - math.log(_RATIO[0])) * u[1])
    w = min(width, max(1, round(math.sqrt(area * ratio))))
    h = min(height, max(1, round(math.sqrt(area / ratio))))
    top, left = int(u[2] * (height - h + 1)), int(u[3] * (width - w + 1))
    return resized(pixels[top : top + h, left : left + w], size, size)


def padded_crop(pixels: Pixels, u: NDArray[np.float64], *, margin: int) -> Pixels:
    """The picture moved by up to ``margin`` pixels, its edge repeated (``u[2:4]``: down, right)."""
    height, width = pixels.shape[:2]
    top, left = (int(u[k] * (2 * margin + 1)) for k in (2, 3))
    rows = np.clip(np.arange(top - margin, top - margin + height), 0, height - 1)
    columns = np.clip(np.arange(left - margin, left - margin + width), 0, width - 1)
    moved: Pixels = pixels[rows][:, columns]
    return moved


def training_view(preprocess: Preprocess, augment: AugmentSettings, *, natural: bool) -> View:
    """What training does to a stored picture."""

    def crop(pixels: Pixels, u: NDArray[np.float64]) -> Pixels:
        if natural:
            return random_resized_crop(pixels, u, size=preprocess.size, scale=augment.crop_scale)
        return padded_crop(preprocess.centre(pixels), u, margin=max(1, preprocess.size // 8))

    def view(pixels: Pixels, u: NDArray[np.float64]) -> Pixels:
        pixels = crop(pixels, u)
        return pixels[:, ::-1] if augment.flip and u[4] < 0.5 else pixels  # noqa: PLR2004  # a coin

    if augment.policy == "none":
        return scoring_view(preprocess)
    return view


def scoring_view(preprocess: Preprocess) -> View:
    """The picture's centre, nothing drawn."""
    return lambda pixels, _: preprocess.centre(pixels)
