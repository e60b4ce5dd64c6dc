"""A contact sheet: rows of pictures with captions, as one PNG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from imgtrain.console import one_line
from imgtrain.files import replacing
from imgtrain.loading.preprocess import Pixels

_SMALLEST = 128
"""Smaller pictures are shown enlarged, by a whole factor, with hard pixels."""

_LARGEST = 256
_GAP = 6
_TEXT = 13
_PAPER, _INK = (255, 255, 255), (40, 40, 40)


@dataclass(frozen=True, slots=True)
class Cell:
    """One picture of the sheet.

    Args:
        pixels: Shape (H, W, C), uint8, of any size and number of channels.
        caption: One line under it; what is too long or cannot be shown is cut or escaped.
    """

    pixels: Pixels
    caption: str = ""


def write_sheet(path: Path, rows: Sequence[Sequence[Cell]]) -> None:
    """Write ``rows`` as a PNG.

    Raises:
        DiskError: If it cannot be written.
    """
    image = draw_sheet(rows)
    with replacing(path) as handle:
        image.save(handle, "PNG")


def draw_sheet(rows: Sequence[Sequence[Cell]]) -> Image.Image:
    """All cells in columns of equal width, each with room for its caption."""
    pictures = [[shown(cell.pixels) for cell in row] for row in rows]
    width = max(image.width for row in pictures for image in row)
    height = max(image.height for row in pictures for image in row)
    line = _TEXT + _GAP
    columns = max(map(len, rows))
    size = (_GAP + columns * (width + _GAP), _GAP + len(rows) * (height + line + _GAP))
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    for i, row in enumerate(rows):
        top = _GAP + i * (height + line + _GAP)
        for k, cell in enumerate(row):
            left = _GAP + k * (width + _GAP)
            sheet.paste(pictures[i][k], (left, top))
            text = fitted(cell.caption, width)
            draw.text((left, top + height + 2), text, fill=_INK, font=_font())
    return sheet


def shown(pixels: Pixels) -> Image.Image:
    """A picture as people see it: grey, colour, or the first three of other channels."""
    channels = pixels.shape[2]
    if channels == 2:  # noqa: PLR2004  # no third channel to show
        pixels = pixels[..., :1]
    flat = pixels[..., 0] if pixels.shape[2] == 1 else pixels[..., :3]
    image = Image.fromarray(np.ascontiguousarray(flat)).convert("RGB")
    longest = max(image.size)
    if longest < _SMALLEST:
        factor = -(-_SMALLEST // longest)
        grown = (image.width * factor, image.height * factor)
        return image.resize(grown, Image.Resampling.NEAREST)
    image.thumbnail((_LARGEST, _LARGEST), Image.Resampling.BILINEAR)
    return image


def fitted(caption: str, width: int) -> str:
    """The caption on one line, at most ``width`` pixels long."""
    text = "".join(map(_visible, one_line(caption)[:1000]))
    if _length(text) <= width:
        return text
    keep = len(text)
    while keep and _length(f"{text[:keep]}...") > width:
        keep -= max(1, keep // 16)
    return f"{text[:keep]}..."


def _length(text: str) -> float:
    return float(_font().getlength(text))


@cache
def _font() -> Any:
    """DejaVu Sans, which comes along with matplotlib: Latin, Greek, Cyrillic, Arabic, and more."""
    import matplotlib as mpl

    file = Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(str(file), _TEXT, layout_engine=ImageFont.Layout.BASIC)


@cache
def _letters() -> frozenset[int]:
    """Code points that the font can show."""
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(_font().path).get_charmap())


def _visible(letter: str) -> str:
    if ord(letter) in _letters():
        return letter
    return letter.encode("unicode_escape").decode("ascii")
