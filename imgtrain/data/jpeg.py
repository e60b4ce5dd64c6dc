"""Plain JPEG files straight into an array, by libjpeg-turbo: Pillow's pixels, in less time.

Pillow decodes into its own memory, four bytes a pixel, and copies from there; simplejpeg's array
is the result. Whatever is not plain is left to Pillow, which knows how to read it or why not.
"""

from __future__ import annotations

import simplejpeg
from numpy import uint8
from numpy.typing import NDArray
from PIL import Image

Box = tuple[float, float, float, float]

_NAMES = {("L", "L"): "GRAY", ("L", "RGB"): "GRAY", ("RGB", "RGB"): "RGB"}
"""What to ask for, by the file's mode and the wanted one; grey becomes colour at the end."""

_DAMAGE = "Corrupt JPEG data"

_SCALES = (8, 4, 2, 1)


def read_jpeg(
    data: bytes,
    picture: Image.Image,
    mode: str,
    least: tuple[int, int] | None,
    *,
    remarks: list[str] | None = None,
) -> tuple[NDArray[uint8], Box] | None:
    """The pixels of a JPEG file, and the part of them that counts.

    Args:
        data: The whole file.
        picture: The same, its header read by Pillow.
        mode: ``L`` or ``RGB``.
        least: Width and height below which it must not be scaled on the way; None: no scaling.
        remarks: Hears of damage that libjpeg bridges with pixels of its own making.

    Returns:
        Shape (H, W, 1 or 3), writable; None for Pillow to decide: other modes, damage.
    """
    name = _NAMES.get((picture.mode, mode))
    if name is None or picture.format not in ("JPEG", "MPO"):
        return None
    width, height = picture.size
    scale = 1
    if least is not None:
        room = min(width // least[0], height // least[1])
        scale = next((known for known in _SCALES if known <= room), 1)
    try:
        if simplejpeg.decode_jpeg_header(data)[:2] != (height, width):
            return None  # two readers that see different sizes: a file made to deceive
        pixels = simplejpeg.decode_jpeg(
            data, name, min_height=-(-height // scale), min_width=-(-width // scale)
        )
    except ValueError as remark:  # any warning, as of a file that is cut short
        text = str(remark)
        if remarks is not None and text.startswith(_DAMAGE):
            remarks.append(text.removeprefix(_DAMAGE).strip(": "))
        return None
    return pixels, (0.0, 0.0, width / scale, height / scale)
