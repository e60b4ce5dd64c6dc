"""Pictures for the page: the surest mistakes, the least sure right answers, and their files."""

from __future__ import annotations

import base64
import functools
import io
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from imgtrain.errors import ImgtrainError
from imgtrain.metrics.confusion import Ints
from imgtrain.report.predictions import Predictions

if TYPE_CHECKING:
    from imgtrain.data.index import Source

Reader = Callable[[str], bytes]
"""The bytes of the picture with that path of ``splits.csv``; raises OSError or KeyError."""

MOST_PIXELS = 100_000_000
SIDE = 160
"""Shorter side of a thumbnail in pixels: sharp at 80 CSS pixels on a dense screen and more."""

_SURE = 0.9
"""Right answers from this probability on were not doubted."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """A picture, its true class and the one it was taken for (the same if right), as indices."""

    path: str
    label: int
    predicted: int
    prob: float


def worst_mistakes(rows: Predictions, most: int = 24) -> list[Mistake]:
    """The wrong answers with the highest probabilities, the surest first."""
    wrong: Ints = np.flatnonzero(rows.predicted != rows.labels)
    sure = rows.probs[wrong, rows.predicted[wrong]]
    return _answers(rows, wrong[np.argsort(-sure, kind="stable")[:most]])


def least_sure(rows: Predictions, most: int = 12) -> list[Mistake]:
    """The right answers with the lowest probabilities, the least sure first; none that are sure."""
    right: Ints = np.flatnonzero(rows.predicted == rows.labels)
    sure = rows.probs[right, rows.predicted[right]]
    order = np.argsort(sure, kind="stable")[:most]
    return _answers(rows, right[order]) if len(order) and sure[order[0]] <= _SURE else []


def _answers(rows: Predictions, order: Ints) -> list[Mistake]:
    return [
        Mistake(
            path=rows.paths[i],
            label=int(rows.labels[i]),
            predicted=int(rows.predicted[i]),
            prob=float(rows.probs[i, rows.predicted[i]]),
        )
        for i in order.tolist()
    ]


def _from_folder(root: Path) -> Reader:
    def read(path: str) -> bytes:
        try:
            return (root / path).read_bytes()
        except FileNotFoundError:  # splits.csv holds composed names, the disk may not
            return (root / unicodedata.normalize("NFD", path)).read_bytes()

    return read


def _from_index(root: str) -> Reader:
    """Manifests and known sets; the index is read when the first picture is wanted."""

    @functools.cache
    def source() -> tuple[Source, dict[str, int]]:
        from imgtrain.data.index import read_index

        found = read_index(root).source
        return found, {found.path(i): i for i in range(len(found))}

    def read(path: str) -> bytes:
        found, places = source()
        return found.read(places[path])

    return read


def reader_of(root: object) -> Reader | None:
    """How to read the pictures of a data root; None where nothing is known about it."""
    if not isinstance(root, str) or not root:
        return None
    return _from_folder(Path(root)) if Path(root).is_dir() else _from_index(root)


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A small JPEG as a data URI, and its size in pixels."""

    uri: str
    width: int
    height: int


def thumbnail(read: Reader | None, path: str, side: int = SIDE) -> Thumbnail | None:
    """The picture, small enough for the page; None where it cannot be read any more.

    Args:
        read: Its bytes.
        path: Which one.
        side: Its shorter side in pixels at most.
    """
    from PIL import Image

    from imgtrain.data.decode import BadImage, decode

    if read is None:
        return None
    try:
        pixels = decode(
            read(path), channels=3, background=(255, 255, 255), max_pixels=MOST_PIXELS, side=side
        )
    except (OSError, KeyError, ValueError, BadImage, ImgtrainError):
        return None
    picture = Image.fromarray(pixels)
    picture.thumbnail((2 * side, 2 * side))
    data = io.BytesIO()
    picture.save(data, format="JPEG", quality=80, optimize=True)
    uri = "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode("ascii")
    return Thumbnail(uri, picture.width, picture.height)
