"""Smaller pictures without aliasing: as Pillow's antialiased resize, in a third of the time."""

from __future__ import annotations

import math
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

cv2.setNumThreads(1)  # the callers' own threads share the cores

_BLUR_FROM = 1.1
"""Below this ratio there is next to nothing to blur."""

_SMALL = 2**15
"""Up to so many pixels Pillow does it itself: it costs little."""

_LARGE = 2**19
_BAND = 128
"""From so many pixels on, pictures leave Pillow so many rows at a time."""

_HALVE_FROM = 4
"""From this ratio on, blocks of 2 x 2 are averaged first."""

_MILD = 1.6
_SPREADS = (4.0, 5.0)
"""Variance of the blur is (ratio^2 - 1) / this, in squared pixels, below that ratio and from it on.

Pillow's triangle has ratio^2 / 6, and linear interpolation about 1 / 6 already; these came nearer
to it than 6 on photos."""

_BELLS = ((0.6, (3, 3)), (1.2, (5, 5)))
"""Up to this standard deviation a bell fits into so many pixels."""

Box = tuple[float, float, float, float]


def shrink(
    picture: Image.Image, size: tuple[int, int], box: Box | None = None, *, close: bool = False
) -> NDArray[np.uint8]:
    """The pixels of ``picture`` (mode L or RGB) brought to ``size`` (width, height).

    Args:
        picture: Larger than ``size``, or equal.
        size: Width and height in pixels.
        box: The part that counts, where a JPEG that was decoded scaled has a rim.
        close: Whether a large picture may be freed on the way, as nobody uses it again.

    Returns:
        Shape (H, W) or (H, W, 3); read-only where nothing was to be done.
    """
    if picture.size == size:
        return np.asarray(picture)
    if picture.width * picture.height <= _SMALL:
        return np.asarray(picture.resize(size, Image.Resampling.BILINEAR, box=box))
    pixels = _pixels(picture)
    if close:
        picture.close()
    return shrink_pixels(pixels, size)


def shrink_pixels(
    pixels: NDArray[np.uint8], size: tuple[int, int], box: Box | None = None
) -> NDArray[np.uint8]:
    """``shrink`` of what is an array already: (H, W) or (H, W, 3)."""
    height, width = pixels.shape[:2]
    if (width, height) == size:
        return pixels
    if width * height <= _SMALL:
        picture = Image.fromarray(pixels)
        return np.asarray(picture.resize(size, Image.Resampling.BILINEAR, box=box))
    ratio = min(width / size[0], height / size[1])
    while ratio >= _HALVE_FROM:
        pixels, ratio = _halved(pixels), ratio / 2
    if ratio >= _BLUR_FROM:
        sigma = math.sqrt((ratio**2 - 1) / _SPREADS[ratio >= _MILD])
        window = next((w for most, w in _BELLS if sigma < most), (0, 0))  # as large as it takes
        pixels = cast(
            "NDArray[np.uint8]",
            cv2.GaussianBlur(pixels, window, sigma, borderType=cv2.BORDER_REPLICATE),
        )
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR)
    return cast("NDArray[np.uint8]", small)


def _pixels(picture: Image.Image) -> NDArray[np.uint8]:
    """As ``np.asarray``, which takes a large picture's room three times over, and so long."""
    if picture.width * picture.height < _LARGE:
        return np.asarray(picture)
    width, height = picture.size
    out = np.empty((height, width, len(picture.getbands())), np.uint8)
    for top in range(0, height, _BAND):
        bottom = min(height, top + _BAND)
        band = np.asarray(picture.crop((0, top, width, bottom)))
        out[top:bottom] = band.reshape(bottom - top, width, -1)
    return out


def _halved(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = (length // 2 for length in pixels.shape[:2])
    even = pixels[: 2 * height, : 2 * width]
    half = cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA)
    return cast("NDArray[np.uint8]", half)


def turned(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """``pixels`` (H, W) or (H, W, C) upright, from the number that EXIF gives (Exif 2.3, 4.6.4)."""
    if orientation not in _TURNS:
        return pixels
    swap, down, right = _TURNS[orientation]
    pixels = pixels[::down, ::right]
    return np.ascontiguousarray(pixels.swapaxes(0, 1) if swap else pixels)


_TURNS = {
    2: (False, 1, -1),
    3: (False, -1, -1),
    4: (False, -1, 1),
    5: (True, 1, 1),
    6: (True, -1, 1),
    7: (True, -1, -1),
    8: (True, 1, -1),
}
"""Whether rows become columns, after the steps along rows and columns."""
