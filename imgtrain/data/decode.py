"""The one decoder: bytes of a file in, upright 8-bit pixels out, the same for every command."""

from __future__ import annotations

import io
import logging
import re
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from imgtrain.data.jpeg import read_jpeg
from imgtrain.data.modes import Colour, eight_bits
from imgtrain.data.planes import (
    BadImage,
    count_planes,
    is_array,
    read_alpha,
    read_array,
    read_header,
    read_pages,
    refuse_samples,
    shrunk,
)
from imgtrain.data.shrink import shrink, shrink_pixels, turned
from imgtrain.errors import SettingsError

__all__ = ["BadImage", "decode", "open_picture", "parse_background"]

# Raster files only: Pillow's other readers start programs (EPS), or take any bytes for a picture.
FORMATS = (
    *("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF", "ICO", "QOI"),
    *("PCX", "SGI", "SUN", "DIB", "TGA"),
)
_BYTES_A_PIXEL, _REMARKS = 16, 2**20
ORIENTATION = 0x0112  # Exif 2.3, table 4
_FREE_PLANES = 4
"""A picture of so many planes counts width times height pixels; each further one counts, too."""

_DRAFT = 1.75
"""A JPEG is decoded at no less than this times the wanted size; the rest is antialiased."""

NAMED_COLOURS = {"white": (255, 255, 255), "black": (0, 0, 0), "grey": (128, 128, 128)}
Image.init()
logging.getLogger("PIL").setLevel(logging.CRITICAL)  # what cannot be read is reported by us


def decode(
    data: bytes,
    *,
    channels: int,
    background: Colour,
    max_pixels: int,
    side: int | None,
    remarks: list[str] | None = None,
) -> NDArray[np.uint8]:
    """The pixels of a picture file, upright.

    Args:
        data: The whole file.
        channels: 1 for grey, 3 for red, green, blue; else as many planes as the file has
            (``planes`` says what counts as one; 4 keeps the alpha of a picture that has one).
        background: What shows through transparent pixels of grey and colour.
        max_pixels: Pictures whose header says more are refused before any is decoded.
        side: Pictures whose shorter side is longer are shrunk to it (with antialias;
            a JPEG is decoded at no less than 1.75 times that on the way); none is ever enlarged.
        remarks: Hears of damage inside a JPEG whose pixels were decoded all the same.

    Returns:
        Shape (H, W, channels), C-contiguous; it may be read-only.

    Raises:
        BadImage: Whatever the bytes.
    """
    try:
        if is_array(data):
            return _from_array(data, channels, max_pixels, side)
        picture = open_picture(data)
        _check_size(picture.size, max_pixels)
        planes = 1 if channels == 1 else count_planes(picture)
        if channels in {1, 3} and planes == 1:
            mode = "L" if channels == 1 else "RGB"
            pixels = _from_jpeg(data, picture, mode, side, remarks)
            if pixels is None:
                pixels = _upright(picture, mode, background, side)
            return pixels.reshape(*pixels.shape[:2], channels)
        return _from_planes(picture, planes, channels, max_pixels, side)
    except BadImage:
        raise
    except Exception as error:
        # Pillow's readers raise nearly anything on broken bytes, from struct.error to KeyError.
        raise BadImage(_reason(error)) from error


def _from_array(data: bytes, channels: int, max_pixels: int, side: int | None) -> NDArray[np.uint8]:
    """An ``.npy`` file: grey and colour serve each other, other planes are as many as asked for."""
    header = read_header(data, wanted=channels)
    _check_size((header.width, header.height), max_pixels, header.planes)
    if header.planes != channels and {header.planes, channels} != {1, 3}:
        raise BadImage(
            f"an .npy file of shape {header.shape} has {header.planes} planes,"
            f" {channels} are asked for (--channels)"
        )
    planes = read_array(data, header)
    if header.planes != channels and channels == 1:
        mixed = Image.fromarray(np.ascontiguousarray(planes.transpose(1, 2, 0)))
        planes = np.asarray(mixed.convert("L"))[None]
    pixels = shrunk(planes, _fitted((header.width, header.height), side))
    return pixels if channels in {header.planes, 1} else pixels.repeat(3, axis=2)


def _from_planes(
    picture: ImageFile.ImageFile, pages: int, channels: int, max_pixels: int, side: int | None
) -> NDArray[np.uint8]:
    """Pages of a TIFF, or colours and alpha."""
    _check_size(picture.size, max_pixels, pages)
    if pages > 1:
        if pages != channels:
            raise BadImage(
                f"a TIFF of {pages} grey pages has {pages} planes, {channels} are asked for"
                " (with --channels 1 the first page counts)"
            )
        planes = read_pages(picture, pages)
    else:
        picture.load()
        found = read_alpha(picture, channels)
        if found is None:
            raise BadImage(
                f"a picture of mode {picture.mode} has no {channels} channels (--channels)"
            )
        planes = found
    height, width = planes.shape[1:]
    return turned(shrunk(planes, _fitted((width, height), side)), _orientation(picture))


def check_bytes(size: int, max_pixels: int) -> None:
    """Refuse a file that is too large to be read at all.

    Raises:
        BadImage: If it has more bytes than RGBA of 32 bits takes, and a megabyte of remarks.
    """
    if size > _BYTES_A_PIXEL * max_pixels + _REMARKS:
        raise BadImage(f"{size:,} bytes are more than a picture of {max_pixels:,} pixels can have")


def open_picture(data: bytes) -> ImageFile.ImageFile:
    """The picture behind ``data`` with its header read and its pixels not yet decoded.

    ``Image.open`` is not used: its limit on pixels is one global of the process, and ours is a
    setting.

    Raises:
        BadImage: If no reader knows the bytes, or the one that does cannot read them.
    """
    _hush()
    if not data:
        raise BadImage("the file is empty")
    reason = f"no picture in a known format: it starts with {data[:16]!r}"
    head = data[:16].ljust(16, b"\0")  # readers unpack it without looking at its length
    for name in FORMATS:
        factory, accept = Image.OPEN[name]
        try:
            fits = accept is None or accept(head)
            if isinstance(fits, str):
                reason = fits
            elif fits:
                return factory(io.BytesIO(data), "")
        except Exception as error:  # noqa: BLE001  # see decode; another reader may know better
            reason = _reason(error) if accept else reason
    refuse_samples(data)
    raise BadImage(reason)


def parse_background(colour: str) -> Colour:
    """``white``, ``black``, ``grey`` or ``#rrggbb`` as red, green and blue.

    Raises:
        SettingsError: If it is none of these.
    """
    if colour in NAMED_COLOURS:
        return NAMED_COLOURS[colour]
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", colour):
        raise SettingsError(
            f"background {colour!r} is no colour", "white, black, grey or #rrggbb would do"
        )
    red, green, blue = bytes.fromhex(colour[1:])
    return red, green, blue


def _check_size(size: tuple[int, int], max_pixels: int, planes: int = 1) -> None:
    """Refuse what is too large; planes beyond four count as further pixels."""
    width, height = size
    if width * height * max(planes, _FREE_PLANES) > max_pixels * _FREE_PLANES:
        times = f" x {planes} planes" if planes > _FREE_PLANES else ""
        raise BadImage(
            f"{width} x {height}{times} are more pixels than the {max_pixels} of data.max_pixels"
        )


def _from_jpeg(
    data: bytes,
    picture: ImageFile.ImageFile,
    mode: str,
    side: int | None,
    remarks: list[str] | None,
) -> NDArray[np.uint8] | None:
    """What ``_upright`` makes of a plain JPEG, faster; None for all else."""
    size = _fitted(picture.size, side)
    scaled = size != picture.size
    least = (int(_DRAFT * size[0]), int(_DRAFT * size[1])) if scaled else None
    found = read_jpeg(data, picture, mode, least, remarks=remarks)
    if found is None:
        return None
    pixels, box = found
    if pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    small = shrink_pixels(pixels, size, box)
    if mode == "RGB" and small.ndim == 2:  # noqa: PLR2004  # grey
        small = np.repeat(small[..., None], 3, axis=2)
    return turned(small, _orientation(picture))


def _upright(
    picture: ImageFile.ImageFile, mode: str, background: Colour, side: int | None
) -> NDArray[np.uint8]:
    """``picture`` decoded, in 8 bits of ``mode``, shrunk and turned."""
    size = _fitted(picture.size, side)
    drafted = None
    if size != picture.size:
        drafted = picture.draft(None, (int(_DRAFT * size[0]), int(_DRAFT * size[1])))
    picture.load()
    plain = eight_bits(picture, background)
    if plain.mode != mode:
        plain = plain.convert(mode)
    if not drafted:  # loading has turned a TIFF, or found another size inside an ICO
        size = _fitted(plain.size, side)
    orientation = _orientation(picture)
    pixels = shrink(plain, size, drafted[1] if drafted else None, close=True)
    return turned(pixels, orientation)


def _fitted(size: tuple[int, int], side: int | None) -> tuple[int, int]:
    """``size`` shrunk until its shorter side is ``side``."""
    shorter = min(size)
    if side is None or shorter <= side:
        return size
    width, height = (max(side, round(length * side / shorter)) for length in size)
    return width, height


def _orientation(picture: Image.Image) -> int:
    """What the camera says about its own turn; a broken note says nothing."""
    try:
        return int(picture.getexif().get(ORIENTATION, 1))
    except Exception:  # noqa: BLE001  # as in decode; the pixels are fine all the same
        return 1


def _reason(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "decoding it needs more memory than there is"
    text = " ".join(str(error).split())[:200]
    if "truncated" in text.lower():
        return f"the file is cut short ({text})"
    return text or type(error).__name__


def _hush() -> None:
    """Pillow's remarks on odd files are no news: what cannot be read is reported by us.

    ``warnings.catch_warnings`` swaps a global of the process and so does not work in threads; one
    lasting filter does. Others may have reset the filters since, hence the look at every call.
    """
    if _QUIET not in warnings.filters:
        warnings.filterwarnings("ignore", module=r"PIL\.", category=Warning)


warnings.filterwarnings("ignore", module=r"PIL\.", category=Warning)
_QUIET = warnings.filters[0]
