"""Bending, blurring and covering with OpenCV and numpy: what torchvision lacks or leaves to torch.

torch computes in a pool of threads of its own, which every loader thread would start anew; so
blur and elastic, which torchvision hands to torch, are done here too, with the same result.
"""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from imgtrain.loading.policies.draws import Draw
from imgtrain.loading.policies.tree import Pixels

Plane = NDArray[np.float32]

_MOST_CHANNELS = 4
"""What cv2.remap takes at once."""

_CELLS = 5


def remapped(pixels: Pixels, x: Plane, y: Plane, edge: int) -> Pixels:
    """Pixel (row, column) comes from (y, x) of the picture, which goes on beyond its edge."""
    planes = range(0, pixels.shape[2], _MOST_CHANNELS)
    found = [
        cv2.remap(
            np.ascontiguousarray(pixels[..., k : k + _MOST_CHANNELS]),
            x,
            y,
            cv2.INTER_LINEAR,
            borderMode=edge,
        ).reshape(*pixels.shape[:2], -1)
        for k in planes
    ]
    return cast("Pixels", found[0] if len(found) == 1 else np.concatenate(found, axis=2))


def _places(pixels: Pixels) -> tuple[Plane, Plane]:
    """Each pixel's own column and row."""
    height, width = pixels.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return x, y


def elastic(pixels: Pixels, draw: Draw) -> Pixels:
    """Each pixel moves a little, its neighbours alike (Simard et al. 2003), as in torchvision.

    ``alpha`` is twice the largest move in pixels, before the smoothing by ``sigma`` lessens it.
    """
    alpha, sigma = draw("alpha"), draw("sigma")
    height, width = pixels.shape[:2]
    moves = draw.rng.random((2, height, width), np.float32) * 2 - 1
    side = int(8 * sigma + 1) | 1
    dx, dy = (
        cv2.GaussianBlur(move, (side, side), sigma, borderType=cv2.BORDER_REFLECT_101)
        for move in moves
    )
    x, y = _places(pixels)
    return remapped(pixels, x + dx * (alpha / 2), y + dy * (alpha / 2), draw.edge)


def grid_distortion(pixels: Pixels, draw: Draw) -> Pixels:
    """The lines of a grid of 5 x 5 cells move along the axes; the picture keeps its frame."""
    height, width = pixels.shape[:2]
    across = _line(width, [1 + draw("limit") for _ in range(_CELLS)])
    down = _line(height, [1 + draw("limit") for _ in range(_CELLS)])
    x, y = np.meshgrid(across, down)
    return remapped(pixels, x, y, draw.edge)


def _line(length: int, steps: list[float]) -> Plane:
    """Where the pixels of a row come from, when its cells have these relative widths."""
    knots = np.concatenate([[0.0], np.cumsum(steps)]) / sum(steps) * (length - 1)
    places = np.arange(length) * (_CELLS / max(1, length - 1))
    line: Plane = np.interp(places, np.arange(_CELLS + 1), knots).astype(np.float32)
    return line


def optical_distortion(pixels: Pixels, draw: Draw) -> Pixels:
    """A lens that bulges or pinches: OpenCV's camera with k1 = k2 = ``limit``."""
    height, width = pixels.shape[:2]
    k = draw("limit")
    camera = np.array([[width, 0, width / 2], [0, height, height / 2], [0, 0, 1]], np.float32)
    middle = camera.copy()
    middle[:2, 2] = (width - 1) / 2, (height - 1) / 2
    lens = np.array([k, k, 0, 0, 0], np.float32)
    maps = cv2.initUndistortRectifyMap(camera, lens, None, middle, (width, height), cv2.CV_32FC1)
    x, y = cast("tuple[Plane, Plane]", maps)
    return remapped(pixels, x, y, draw.edge)


def _filtered(pixels: Pixels, across: Plane, down: Plane | None = None) -> Pixels:
    border = cv2.BORDER_REFLECT_101
    if down is None:
        out = cv2.filter2D(pixels, -1, across, borderType=border)
    else:
        out = cv2.sepFilter2D(pixels, -1, across, down, borderType=border)
    return cast("Pixels", out.reshape(pixels.shape))


def blur(pixels: Pixels, draw: Draw) -> Pixels:
    """Gaussian blur: torchvision's kernel, 3.5 sigma to each side."""
    sigma = draw("sigma")
    kernel = cv2.getGaussianKernel(blur_side(sigma), sigma, cv2.CV_32F)
    return _filtered(pixels, cast("Plane", kernel), cast("Plane", kernel))


def blur_side(sigma: float) -> int:
    """Side of the kernel of ``blur``: odd, at least 3."""
    return 2 * max(1, round(3.5 * sigma)) + 1


def motion_blur(pixels: Pixels, draw: Draw) -> Pixels:
    """The mean along a line through each pixel."""
    length, angle = 2 * (draw.whole("length") // 2) + 1, draw("angle")
    return _filtered(pixels, motion_kernel(length, angle))


def motion_kernel(length: int, degrees: float) -> Plane:
    """(length, length): a line through the middle, all its pixels alike."""
    reach = np.linspace(-(length // 2), length // 2, length)
    turn = np.deg2rad(degrees)
    columns = np.rint(length // 2 + np.cos(turn) * reach).astype(int)
    rows = np.rint(length // 2 + np.sin(turn) * reach).astype(int)
    kernel = np.zeros((length, length), np.float32)
    kernel[rows, columns] = 1
    kernel /= kernel.sum()
    return kernel


def noise(pixels: Pixels, draw: Draw) -> Pixels:
    """Gaussian noise, apart for each pixel and channel; ``std`` as a share of the full range."""
    std = np.float32(255 * draw("std"))
    values = draw.rng.standard_normal(pixels.shape, np.float32) * std + pixels
    return np.clip(np.rint(values, out=values), 0, 255, out=values).astype(np.uint8)


def coarse_dropout(pixels: Pixels, draw: Draw) -> Pixels:
    """Rectangles of one grey level; ``size`` is a share of the side (DeVries & Taylor 2017)."""
    out = pixels.copy()
    height, width = pixels.shape[:2]
    for _ in range(draw.whole("holes")):
        h, w = (max(1, int(n * draw("size"))) for n in (height, width))
        top, left = draw.rng.integers(height - h + 1), draw.rng.integers(width - w + 1)
        out[top : top + h, left : left + w] = round(draw("fill"))
    return out


def mirrored(pixels: Pixels, *, upside_down: bool = False) -> Pixels:
    """Left becomes right, or top becomes bottom."""
    return cast("Pixels", cv2.flip(pixels, 0 if upside_down else 1).reshape(pixels.shape))


def sharpness(pixels: Pixels, draw: Draw) -> Pixels:
    """Away from PIL's smoothed picture (above 1), or towards it (below 1)."""
    factor = draw("factor")
    smooth = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13
    kernel = (1 - factor) * smooth
    kernel[1, 1] += factor
    return _filtered(pixels, kernel.astype(np.float32))
