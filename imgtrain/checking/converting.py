"""A picture of any mode as 8-bit grey or RGB."""

from __future__ import annotations

import io

from PIL import Image

from imgtrain.data.decode import decode, open_picture

WHITE = (255, 255, 255)
_GREY = frozenset({"1", "L", "LA", "La", "I", "F"})


def converted(data: bytes) -> bytes:
    """The PNG of what training sees of a file: upright, 8 bits, on white.

    Raises:
        BadImage: If it cannot be decoded.
    """
    mode = open_picture(data).mode
    channels = 1 if mode in _GREY or mode.startswith("I;") else 3
    pixels = decode(data, channels=channels, background=WHITE, max_pixels=2**62, side=None)
    picture = Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels)
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()
