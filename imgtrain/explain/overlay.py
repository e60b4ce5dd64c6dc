"""A map laid over the picture that the model saw."""

from __future__ import annotations

import io
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imgtrain.loading.preprocess import Pixels

SMALLEST = 160
"""Smaller pictures are enlarged by a whole factor, with hard pixels: the map on them is smooth."""

_COVER = 0.72
"""How much of the picture the largest values cover."""


def strength(values: NDArray[np.float32], *, from_least: bool) -> NDArray[np.float32]:
    """A map as shares of its largest value, in [0, 1].

    Args:
        values: Shape (h, w).
        from_least: Whether the least value is nothing; else 0 is, and all below it.
    """
    floor = float(values.min()) if from_least else 0.0
    above = np.clip(values - floor, 0, None)
    most = float(above.max())
    shares: NDArray[np.float32] = (above / most if most > 0 else above).astype(np.float32)
    return shares


def displayed(pixels: Pixels) -> Pixels:
    """A picture as people see it, (H, W, 3): grey, colour, or the first three of other channels."""
    channels = pixels.shape[2]
    if channels == 3:  # noqa: PLR2004  # red, green, blue
        seen = pixels
    else:
        seen = pixels[..., :3] if channels > 3 else np.repeat(pixels[..., :1], 3, axis=2)  # noqa: PLR2004  # as above
    factor = max(1, -(-SMALLEST // max(seen.shape[:2])))
    return np.ascontiguousarray(seen.repeat(factor, axis=0).repeat(factor, axis=1))


def enlarged(heat: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """A map of strengths in the size of a picture, linear between its places."""
    out = cv2.resize(heat, (width, height), interpolation=cv2.INTER_LINEAR)
    return cast("NDArray[np.float32]", out)


def overlaid(picture: Pixels, heat: NDArray[np.float32]) -> Pixels:
    """``picture`` (H, W, 3) in grey, with colours where the map is not 0.

    The colours, viridis from blue to yellow, rise evenly in lightness and are told apart by
    colour-blind readers too (van der Walt and Smith 2015); how much they cover grows with the map.
    """
    smooth = enlarged(heat, *picture.shape[:2])
    steps = np.round(255 * smooth).astype(np.uint8)
    colours = cv2.applyColorMap(steps, cv2.COLORMAP_VIRIDIS)[..., ::-1]
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None]
    cover = (_COVER * smooth)[..., None]
    mixed: Pixels = np.round((1 - cover) * grey + cover * colours).astype(np.uint8)
    return mixed


def as_jpeg(picture: Pixels) -> bytes:
    """The bytes of a JPEG."""
    data = io.BytesIO()
    Image.fromarray(picture).save(data, format="JPEG", quality=90)
    return data.getvalue()


def as_grey_png(heat: NDArray[np.float32], height: int, width: int) -> bytes:
    """The map alone in the size of a picture: white is its largest value."""
    data = io.BytesIO()
    steps = np.round(255 * enlarged(heat, height, width)).astype(np.uint8)
    Image.fromarray(steps).save(data, format="PNG")
    return data.getvalue()
