"""Every pixel mode that a file can have, as 8 bits of grey or of red, green and blue.

======================  =========================================================================
mode                    what becomes of it
======================  =========================================================================
L, RGB                  stays
1                       0 and 255
P, PA                   the palette's colours; transparent entries show the background
LA, La, RGBA, RGBa      laid on the background; so is a colour that a PNG declares transparent
CMYK, YCbCr, HSV, RGBX  RGB (an Adobe JPEG's inverted CMYK is turned by its reader)
LAB                     sRGB by colour management
I;16 and kin            divided by 257, so 65535 is 255 (by 4095/255 where the file has 12 bits)
I                       16 bits from a PGM; else by the picture's largest value: up to 255 as it
                        is, up to 65535 as 16 bits, above that scaled to its largest value;
                        negative values are 0
F                       by the picture's values: within 0..1 times 255, within 0..255 as it is,
                        within 0..65535 as 16 bits, else smallest to 0 and largest to 255;
                        what is not finite is 0
======================  =========================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

Colour = tuple[int, int, int]
BITS_PER_SAMPLE, PHOTOMETRIC = 258, 262  # TIFF 6.0, section 8
WHITE_IS_ZERO = 0
MAX_8, MAX_12, MAX_16 = 255, 4095, 65535
STEP = 257  # 65535 / 255


def eight_bits(picture: Image.Image, background: Colour) -> Image.Image:
    """``picture`` in mode L or RGB, of the same size, nothing transparent."""
    if picture.mode in {"I", "F"} or picture.mode.startswith("I;"):
        return _deep(picture, background)
    if picture.has_transparency_data:
        return _laid_on(picture, background)
    if picture.mode in {"L", "RGB"}:
        return picture
    if picture.mode == "1":
        return picture.convert("L")
    if picture.mode == "LAB":
        return _from_lab(picture)
    return picture.convert("RGB")


def _laid_on(picture: Image.Image, background: Colour) -> Image.Image:
    if picture.mode == "La":
        picture = picture.convert("LA")
    clear = picture.convert("RGBA")
    base = Image.new("RGB", picture.size, background)
    base.paste(clear, mask=clear)
    return base


def _from_lab(picture: Image.Image) -> Image.Image:
    turned = ImageCms.applyTransform(picture, _lab_to_srgb())
    assert turned is not None
    return turned


@cache
def _lab_to_srgb() -> ImageCms.ImageCmsTransform:
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return ImageCms.buildTransform(lab, srgb, "LAB", "RGB")


def _deep(picture: Image.Image, background: Colour) -> Image.Image:
    """More than 8 bits a pixel, one channel."""
    values = np.asarray(picture)
    if picture.mode == "I" and picture.format == "PPM":
        grey = _rounded(values / STEP)
    else:
        grey = one_band(values, picture.mode, getattr(picture, "tag_v2", {}))
    shown = Image.fromarray(grey)
    key = picture.info.get("transparency")
    if not isinstance(key, int):
        return shown
    base = Image.new("RGB", picture.size, background)
    base.paste(shown.convert("RGB"), mask=Image.fromarray(values != key))
    return base


def one_band(values: NDArray[Any], mode: str, tags: Any) -> NDArray[np.uint8]:
    """The values of a one-channel mode (of one page, or of several) in 8 bits.

    Args:
        values: Any shape.
        mode: L, I;16 and kin, I or F.
        tags: Of the TIFF that they come from; empty for others.
    """
    if mode.startswith("I;"):
        return _from_sixteen(values, tags)
    return any_numbers(values)


def any_numbers(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Numbers of any kind and shape in 8 bits, all on one scale."""
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind == "b":
        return values.astype(np.uint8) * np.uint8(MAX_8)
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:  # noqa: PLR2004  # bytes
        return _from_sixteen(values, {})
    if values.dtype.kind == "f":
        return _from_float(values)
    return _from_int(values)


def _rounded(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.clip(np.rint(values), 0, MAX_8).astype(np.uint8)


def _from_sixteen(values: NDArray[Any], tags: Any) -> NDArray[np.uint8]:
    if tags.get(BITS_PER_SAMPLE) == (12,):
        return _rounded(values * (MAX_8 / MAX_12))
    wide = values.astype(np.uint32)
    if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO:
        wide = MAX_16 - wide
    return ((wide + STEP // 2) // STEP).astype(np.uint8)


def _from_int(values: NDArray[Any]) -> NDArray[np.uint8]:
    largest = int(values.max())
    if MAX_8 < largest <= MAX_16:
        return _by_parts(values, lambda part: _rounded(part / STEP))
    scale = MAX_8 / max(largest, MAX_8)
    return _by_parts(values, lambda part: _rounded(part * scale))


def _from_float(values: NDArray[Any]) -> NDArray[np.uint8]:
    finite = np.isfinite(values)
    if not finite.any():
        return np.zeros(values.shape, np.uint8)
    low = float(values.min(where=finite, initial=np.inf))
    high = float(values.max(where=finite, initial=-np.inf))
    base = low if low < 0 or high > MAX_16 else 0.0
    if low < 0 or high > MAX_16:
        scale = MAX_8 / (high - low or 1.0)
    else:
        scale = MAX_8 if high <= 1 else 1 if high <= MAX_8 else 1 / STEP

    def convert(part: NDArray[Any]) -> NDArray[np.uint8]:
        wide = part.astype(np.float64)
        return _rounded(np.where(np.isfinite(wide), (wide - base) * scale, 0.0))

    return _by_parts(values, convert)


def _by_parts(
    values: NDArray[Any], convert: Callable[[NDArray[Any]], NDArray[np.uint8]]
) -> NDArray[np.uint8]:
    """``convert`` of ``values``, plane by plane: double precision is eight times as large."""
    out = np.empty(values.shape, np.uint8)
    for place in np.ndindex(values.shape[:-2]):
        out[place] = convert(values[place])
    return out
