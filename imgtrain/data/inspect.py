"""A look at the headers of some pictures: how large they are, and whether they have colour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from imgtrain.data.decode import BadImage, open_picture
from imgtrain.data.listing import Ints, Source
from imgtrain.errors import DataError

SAMPLE = 256
GREY_MODES = ("1", "L", "LA", "La", "I", "F")


@dataclass(frozen=True, slots=True)
class Look:
    """What a sample of the pictures looks like; sides in pixels.

    Args:
        pictures: How many were looked at and had a readable header.
        unreadable: How many had none.
        max_side: Longest side of any.
        min_side: Shortest side of any.
        colour: Whether any may have colour, as far as the header tells.
    """

    pictures: int
    unreadable: int
    max_side: int
    min_side: int
    colour: bool


def look(source: Source, positions: Ints) -> Look:
    """Read the headers of up to 256 pictures, evenly spread over ``positions``.

    Raises:
        DataError: If none of them can be read.
    """
    sides: list[int] = []
    colour = False
    problem = "there are none"
    sample = _spread(positions)
    for i in sample.tolist():
        try:
            picture = open_picture(source.read(i))
        except (BadImage, OSError) as error:
            problem = f"{source.path(i)}: {error}"
            continue
        sides += picture.size
        colour = colour or _has_colour(picture)
    if not sides:
        raise DataError(f"none of the pictures looked at ({len(sample)}) can be read; {problem}")
    seen = len(sides) // 2
    return Look(seen, len(sample) - seen, max(sides), min(sides), colour)


def _spread(positions: Ints) -> Ints:
    if len(positions) <= SAMPLE:
        return positions
    return positions[np.linspace(0, len(positions) - 1, SAMPLE).round().astype(np.int64)]


def _has_colour(picture: Image.Image) -> bool:
    if picture.mode in GREY_MODES or picture.mode.startswith("I;"):
        return False
    if picture.mode not in {"P", "PA"}:
        return True
    palette = np.array(picture.getpalette("RGB"), np.uint8).reshape(-1, 3)
    return bool((palette != palette[:, :1]).any())
