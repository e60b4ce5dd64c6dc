"""The one decoder: bytes of a file in, upright 8-bit pixels out, the same for every command."""

from __future__ import annotations

import io
import re
import warnings
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from imgtrain.data.modes import Colour, eight_bits
from imgtrain.errors import SettingsError

# Raster files only: Pillow's other readers start programs (EPS), or take any bytes for a picture.
FORMATS = (
    *("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF", "ICO", "QOI"),
    *("PCX", "SGI", "SUN", "DIB", "TGA"),
)
ORIENTATION = 0x0112  # Exif 2.3, table 4
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
NAMED_COLOURS = {"white": (255, 255, 255), "black": (0, 0, 0), "grey": (128, 128, 128)}
Image.init()


class BadImage(Exception):  # noqa: N818  # it is the picture that is bad, the program goes on
    """These bytes are no picture that can be used; the text says why, without the path."""


def decode(
    data: bytes,
    *,
    channels: Literal[1, 3],
    background: Colour,
    max_pixels: int,
    side: int | None,
) -> NDArray[np.uint8]:
    """The pixels of a picture file, upright, without transparency.

    Args:
        data: The whole file.
        channels: 1 for grey, 3 for red, green, blue.
        background: What shows through transparent pixels.
        max_pixels: Pictures whose header says more are refused before any is decoded.
        side: Pictures whose shorter side is longer are shrunk to it (bilinear with antialias;
            a JPEG is decoded at no less than twice that on the way); none is ever enlarged.

    Returns:
        Shape (H, W, channels), C-contiguous and writable.

    Raises:
        BadImage: Whatever the bytes.
    """
    try:
        picture = open_picture(data)
        _check_size(picture, max_pixels)
        pixels = np.array(
            _upright(picture, background, side).convert("L" if channels == 1 else "RGB")
        )
    except BadImage:
        raise
    except Exception as error:
        # Pillow's readers raise nearly anything on broken bytes, from struct.error to KeyError.
        raise BadImage(_reason(error)) from error
    return pixels.reshape(*pixels.shape[:2], channels)


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


def _check_size(picture: Image.Image, max_pixels: int) -> None:
    width, height = picture.size
    if width * height > max_pixels:
        raise BadImage(
            f"{width} x {height} are more pixels than the {max_pixels} of data.max_pixels"
        )


def _upright(picture: ImageFile.ImageFile, background: Colour, side: int | None) -> Image.Image:
    """``picture`` decoded, in 8 bits, shrunk and turned."""
    size = _fitted(picture.size, side)
    drafted = None
    if size != picture.size:
        drafted = picture.draft(None, (2 * size[0], 2 * size[1]))
    picture.load()
    plain = eight_bits(picture, background)
    box = drafted[1] if drafted else None
    if not drafted:  # loading has turned a TIFF, or found another size inside an ICO
        size = _fitted(plain.size, side)
    if plain.size != size:
        plain = plain.resize(size, Image.Resampling.BILINEAR, box=box)
    turn = UPRIGHT.get(_orientation(picture))
    return plain if turn is None else plain.transpose(turn)


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
