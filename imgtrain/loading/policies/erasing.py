"""Random erasing (Zhong et al. 2017, arXiv:1708.04896)."""

from __future__ import annotations

import math

import numpy as np

from imgtrain.loading.policies.tree import Pixels

AREA = (0.02, 0.33)
"""Share of the picture."""

RATIO = (0.3, 3.3)
"""Height to width, log-uniform."""

_TRIES = 10


def box(height: int, width: int, rng: np.random.Generator) -> tuple[int, int, int, int] | None:
    """Top, left, height, width; None where no box fits in ten tries."""
    for _ in range(_TRIES):
        area = height * width * rng.uniform(*AREA)
        ratio = math.exp(rng.uniform(math.log(RATIO[0]), math.log(RATIO[1])))
        h, w = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if h < height and w < width:
            top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
            return int(top), int(left), h, w
    return None


def erased(pixels: Pixels, rng: np.random.Generator, colour: tuple[float, ...]) -> Pixels:
    """A copy with one box of ``colour``, in [0, 1] per channel.

    With the mean of the normalisation the model sees zeros there, as with torchvision's
    ``RandomErasing`` after ``Normalize``.
    """
    found = box(pixels.shape[0], pixels.shape[1], rng)
    if found is None:
        return pixels
    top, left, h, w = found
    out = pixels.copy()
    out[top : top + h, left : left + w] = np.rint(np.multiply(colour, 255)).astype(np.uint8)
    return out
