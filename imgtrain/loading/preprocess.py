"""How a picture becomes what the model sees: the same in training, scoring and prediction."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from imgtrain.data.decode import decode, parse_background

Pixels = NDArray[np.uint8]

cv2.setNumThreads(1)  # the loader's own threads share the cores

_CV_CHANNELS = 4
"""OpenCV averages no more at once."""

PHOTO_MARGIN = 8 / 7
"""Photos are shrunk to this times the model's side before the centre is cut out (256 for 224)."""


def _middle(pixels: Pixels, most: int) -> Pixels:
    """At most ``most`` rows and columns from the middle."""
    height, width = pixels.shape[:2]
    top, left = max(0, (height - most) // 2), max(0, (width - most) // 2)
    return pixels[top : top + most, left : left + most]


def resized(pixels: Pixels, height: int, width: int) -> Pixels:
    """``pixels`` (H, W, C) in another size: averaged when shrinking, linear when enlarging."""
    if pixels.shape[:2] == (height, width):
        return pixels
    shrinks = height * width < pixels.shape[0] * pixels.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    channels = pixels.shape[2]
    if channels > _CV_CHANNELS:
        fours = np.array_split(pixels, range(_CV_CHANNELS, channels, _CV_CHANNELS), axis=2)
        parts = [resized(np.ascontiguousarray(four), height, width) for four in fours]
        return np.concatenate(parts, axis=2)
    out = cv2.resize(pixels, (width, height), interpolation=how)
    return cast("Pixels", out.reshape(height, width, channels))


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocess:
    """From bytes to a square of uint8, and what the device does with it.

    Args:
        size: Side of the square that the model sees, in pixels.
        side: Shorter side to which pictures are shrunk (never enlarged) when they are stored.
        channels: 1 for grey, 3 for colour, else planes.
        background: Red, green, blue under transparent pixels.
        max_pixels: Larger pictures count as bad.
        mean: Per channel, in [0, 1].
        std: Per channel, in [0, 1].
    """

    size: int
    side: int
    channels: int
    background: tuple[int, int, int]
    max_pixels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def for_pictures(
        cls,
        *,
        size: int,
        natural: bool,
        channels: int,
        background: str,
        max_pixels: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
    ) -> Preprocess:
        """Photos keep a margin around the centre; small pictures are seen whole."""
        return cls(
            size=size,
            side=round(size * PHOTO_MARGIN) if natural else size,
            channels=channels,
            background=parse_background(background),
            max_pixels=max_pixels,
            mean=mean,
            std=std,
        )

    def at(self, size: int) -> Preprocess:
        """The same field of view in a square of another size, from the same stored pictures."""
        margin = 1 if self.side == self.size else PHOTO_MARGIN
        return replace(self, size=size, side=round(size * margin))

    def decoded(self, data: bytes) -> Pixels:
        """What is stored of a file: (H, W, C), the shorter side at most ``side``.

        Raises:
            BadImage: If ``data`` is no picture, or too large.
        """
        return decode(
            data,
            channels=self.channels,
            background=self.background,
            max_pixels=self.max_pixels,
            side=self.side,
        )

    def centre(self, pixels: Pixels) -> Pixels:
        """The view for scoring: (size, size, C) from the middle of a stored picture."""
        shorter = min(pixels.shape[:2])
        if shorter != self.side:  # cut first: a long thin picture would grow without bound
            pixels = _middle(pixels, math.ceil(self.size * shorter / self.side) + 2)
            height, width = (
                max(self.size, round(n * self.side / shorter)) for n in pixels.shape[:2]
            )
            pixels = resized(pixels, height, width)
        return _middle(pixels, self.size)

    def to_dict(self) -> dict[str, Any]:
        """As it travels with the weights."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Preprocess:
        """The inverse of ``to_dict``, through JSON or not."""
        known = {f.name for f in fields(cls)}
        taken = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k in known}
        return cls(**cast("dict[str, Any]", taken))
