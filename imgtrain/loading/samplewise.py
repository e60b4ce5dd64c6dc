"""Variations of one picture, drawn from its own random numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from imgtrain.loading.policies.apply import variation
from imgtrain.loading.policies.draws import COIN, generator
from imgtrain.loading.policies.erasing import erased
from imgtrain.loading.policies.warps import mirrored
from imgtrain.loading.preprocess import Pixels, Preprocess, resized
from imgtrain.loading.together import SeesTogether, mirror_some, shifted_together
from imgtrain.settings.schema import AugmentSettings

View = Callable[[Pixels, NDArray[np.float64]], Pixels]
"""Stored picture (H, W, C) and its DRAWS uniform numbers -> (size, size, C)."""

_LOG_RATIO = math.log(4 / 3)
"""Aspects lie between 3/4 and 4/3."""

_EVEN = 0.5
"""Where a coin falls."""

_MILD = 1.5
"""Up to here, shrinking by linear interpolation is as close to the antialiased result as averaging
whole pixels is, and twice as fast."""


def random_resized_crop(
    pixels: Pixels, u: NDArray[np.float64], *, size: int, scale: float
) -> Pixels:
    """A random part of the picture, brought to ``size`` (Szegedy et al. 2014, arXiv:1409.4842).

    Area uniform in [scale, 1] of the picture, aspect log-uniform in [3/4, 4/3]; a box that would
    stick out is made to fit. ``u[0:4]`` are area, aspect, top, left.
    """
    height, width = pixels.shape[:2]
    share, aspect, down, right = u[:4].tolist()
    area = height * width * (scale + (1 - scale) * share)
    ratio = math.exp(_LOG_RATIO * (2 * aspect - 1))
    w = min(width, max(1, round(math.sqrt(area * ratio))))
    h = min(height, max(1, round(math.sqrt(area / ratio))))
    top, left = int(down * (height - h + 1)), int(right * (width - w + 1))
    part = pixels[top : top + h, left : left + w]
    if max(h, w) > _MILD * size or (h, w) == (size, size):
        return resized(part, size, size)
    out = cv2.resize(part, (size, size), interpolation=cv2.INTER_LINEAR)
    return cast("Pixels", out.reshape(size, size, pixels.shape[2]))


def shifted(pixels: Pixels, down: int, right: int) -> Pixels:
    """What a window of the same size sees that is moved so; beyond the edge, the edge repeated."""
    height, width = pixels.shape[:2]
    rows = np.clip(np.arange(down, down + height), 0, height - 1)
    columns = np.clip(np.arange(right, right + width), 0, width - 1)
    moved: Pixels = pixels[rows][:, columns]
    return moved


def padded_crop(pixels: Pixels, u: NDArray[np.float64], *, margin: int) -> Pixels:
    """The picture moved by up to ``margin`` pixels, its edge repeated (``u[2:4]``: down, right)."""
    down, right = (int(u[k] * (2 * margin + 1)) - margin for k in (2, 3))
    return shifted(pixels, down, right)


def margin_of(size: int) -> int:
    """How far small pictures are moved."""
    return max(1, size // 8)


def training_view(preprocess: Preprocess, augment: AugmentSettings, *, natural: bool) -> View:
    """What training does to a stored picture: crop, mirror, the policy's operations, erase.

    Raises:
        SettingsError: If the policy cannot be used as it stands.
    """
    size, scale = preprocess.size, augment.crop_scale
    vary = variation(augment, size=size, channels=preprocess.channels, natural=natural)

    def photo(pixels: Pixels, u: NDArray[np.float64]) -> Pixels:
        pixels = random_resized_crop(pixels, u, size=size, scale=scale)
        return mirrored(pixels) if augment.flip and u[4] < _EVEN else pixels

    first: View = photo if natural else SmallCrop(preprocess, flip=augment.flip)
    if augment.policy == "none":
        first = scoring_view(preprocess)
    if vary is None and not augment.erase:
        return first

    def view(pixels: Pixels, u: NDArray[np.float64]) -> Pixels:
        pixels = first(pixels, u)
        erases = u[COIN] < augment.erase
        if vary is None and not erases:
            return pixels
        rng = generator(u)
        if vary is not None:
            pixels = vary(pixels, rng)
        return erased(pixels, rng, preprocess.mean) if erases else pixels

    return view


@dataclass(frozen=True, slots=True)
class SmallCrop(SeesTogether):
    """A small picture, moved by up to an eighth and mirrored on half: one, or many at once."""

    preprocess: Preprocess
    flip: bool

    def __call__(self, pixels: Pixels, u: NDArray[np.float64]) -> Pixels:
        """One picture."""
        margin = margin_of(self.preprocess.size)
        pixels = padded_crop(self.preprocess.centre(pixels), u, margin=margin)
        return mirrored(pixels) if self.flip and u[4] < _EVEN else pixels

    def takes(self, shape: tuple[int, int, int]) -> bool:
        """Pictures stored in the model's size."""
        return _is_whole(self.preprocess, shape)

    def many(self, pixels: Pixels, u: NDArray[np.float64]) -> Pixels:
        """Many at once, (B, size, size, C)."""
        margin = margin_of(self.preprocess.size)
        down, right = ((u[:, k] * (2 * margin + 1)).astype(np.intp) - margin for k in (2, 3))
        seen = shifted_together(pixels, down, right)
        if self.flip:
            mirror_some(seen, u[:, 4] < _EVEN)
        return seen


@dataclass(frozen=True, slots=True)
class Centre(SeesTogether):
    """The picture's centre, nothing drawn: one, or many at once."""

    preprocess: Preprocess

    def __call__(self, pixels: Pixels, _: NDArray[np.float64]) -> Pixels:
        """One picture."""
        return self.preprocess.centre(pixels)

    def takes(self, shape: tuple[int, int, int]) -> bool:
        """Pictures stored in the model's size."""
        return _is_whole(self.preprocess, shape)

    def many(self, pixels: Pixels, _: NDArray[np.float64]) -> Pixels:
        """Many at once: as they are."""
        return pixels


def _is_whole(preprocess: Preprocess, shape: tuple[int, int, int]) -> bool:
    return shape[0] == shape[1] == preprocess.size == preprocess.side


def scoring_view(preprocess: Preprocess) -> View:
    """The picture's centre, nothing drawn."""
    return Centre(preprocess)
