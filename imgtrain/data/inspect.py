"""A look at the headers of some pictures: how large they are, and of how many channels."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from PIL import Image

from imgtrain.data.decode import BadImage, open_picture
from imgtrain.data.listing import Ints, Source
from imgtrain.data.planes import count_planes, is_array, read_header
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
        planes: How many most of them have, if that is neither grey nor colour; else None.
    """

    pictures: int
    unreadable: int
    max_side: int
    min_side: int
    colour: bool
    planes: int | None = None

    @property
    def channels(self) -> int:
        """What fits them: their planes, 3 for colour, 1 for grey."""
        return self.planes or (3 if self.colour else 1)


def look(source: Source, positions: Ints) -> Look:
    """Read the headers of up to 256 pictures, evenly spread over ``positions``.

    Raises:
        DataError: If none of them can be read.
    """
    sides: list[int] = []
    kinds: Counter[int] = Counter()
    problem = "there are none"
    sample = _spread(positions)
    for i in sample.tolist():
        try:
            size, channels = _header(source.read(i))
        except (BadImage, OSError) as error:
            problem = f"{source.path(i)}: {error}"
            continue
        sides += size
        kinds[channels] += 1
    if not sides:
        raise DataError(f"none of the pictures looked at ({len(sample)}) can be read; {problem}")
    seen = len(sides) // 2
    return Look(
        pictures=seen,
        unreadable=len(sample) - seen,
        max_side=max(sides),
        min_side=min(sides),
        colour=3 in kinds,  # noqa: PLR2004  # red, green, blue
        planes=_planes(kinds),
    )


def _planes(kinds: Counter[int]) -> int | None:
    """The number of planes of more than half; scanned documents differ in their pages."""
    most, times = kinds.most_common(1)[0]
    return most if most not in {1, 3} and 2 * times > kinds.total() else None


def _header(data: bytes) -> tuple[tuple[int, int], int]:
    """Width and height; planes, with 3 for colour and 1 for grey."""
    if is_array(data):
        header = read_header(data)
        return (header.width, header.height), header.planes
    picture = open_picture(data)
    size = picture.size
    planes = count_planes(picture)
    return size, planes if planes > 1 else 3 if _has_colour(picture) else 1


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
