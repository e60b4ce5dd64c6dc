"""Several views of a picture at test time, whose probabilities are averaged."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from numpy.typing import NDArray

from imgtrain.errors import SettingsError
from imgtrain.loading.policies.warps import mirrored
from imgtrain.loading.preprocess import Pixels, Preprocess, resized
from imgtrain.loading.samplewise import View, margin_of, scoring_view, shifted
from imgtrain.settings.schema import AugmentSettings

_CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))
"""Top or bottom, left or right."""


def check_views(augment: AugmentSettings) -> None:
    """Mirrored views are for pictures that may be mirrored.

    Raises:
        SettingsError: If they are asked for and forbidden.
    """
    if augment.tta in ("flip", "ten") and not augment.flip:
        raise SettingsError(
            f"--tta {augment.tta} scores mirrored views, and --no-flip forbids mirroring",
            "--tta five uses crops alone; --flip allows mirroring",
        )


def views(preprocess: Preprocess, kind: str | None) -> tuple[View, ...]:
    """The views of every picture: the centre first.

    Args:
        preprocess: How pictures are seen.
        kind: None for the centre alone; ``flip``, ``five`` or ``ten`` (Krizhevsky et al. 2012).
    """
    centre = scoring_view(preprocess)
    if kind is None:
        return (centre,)
    corners: list[View] = [
        partial(_corner, preprocess=preprocess, down=d, right=r) for d, r in _CORNERS
    ]
    plain: tuple[View, ...] = (centre,) if kind == "flip" else (centre, *corners)
    return plain if kind == "five" else (*plain, *map(_mirror, plain))


def _mirror(view: View) -> View:
    return lambda pixels, u: mirrored(view(pixels, u))


def _corner(
    pixels: Pixels,
    _: NDArray[np.float64],
    *,
    preprocess: Preprocess,
    down: int,
    right: int,
) -> Pixels:
    """The model's square in a corner of a photo; a small picture is moved by an eighth instead."""
    size, side = preprocess.size, preprocess.side
    if side == size:
        far = margin_of(size)
        return shifted(preprocess.centre(pixels), (2 * down - 1) * far, (2 * right - 1) * far)
    shorter = min(pixels.shape[:2])
    if shorter < side:  # cut first, then enlarge: as the centre does
        pixels = _cut(pixels, math.ceil(size * shorter / side) + 2, down, right)
        height, width = (max(size, round(n * side / shorter)) for n in pixels.shape[:2])
        pixels = resized(pixels, height, width)
    return _cut(pixels, size, down, right)


def _cut(pixels: Pixels, most: int, down: int, right: int) -> Pixels:
    """At most ``most`` rows and columns, from a corner."""
    rows = slice(-most, None) if down else slice(most)
    columns = slice(-most, None) if right else slice(most)
    return pixels[rows, columns]
