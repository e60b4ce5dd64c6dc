"""Pictures as a caller gives them: paths, bytes of a file, arrays, Pillow's images."""

from __future__ import annotations

import errno
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Picture = str | Path | bytes | bytearray | memoryview | NDArray[Any] | Image.Image
"""A path, the bytes of a picture file, (H, W) or (H, W, C) of uint8, or an image of Pillow's."""

_GREY, _COLOURS = 2, (3, 4)
_AS_PNG = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "I;16"})


class Given:
    """Pictures by number; satisfies ``Source``.

    Whatever has no file becomes the bytes of one that holds the same pixels, so that it is seen as
    that file would be.
    """

    def __init__(self, pictures: Sequence[Picture]) -> None:
        self._pictures = pictures

    def __len__(self) -> int:
        """How many."""
        return len(self._pictures)

    def path(self, i: int) -> str:
        """As given; empty for what has no file."""
        picture = self._pictures[i]
        return str(picture) if isinstance(picture, str | Path) else ""

    def read(self, i: int) -> bytes:
        """The file's bytes.

        Raises:
            OSError: If it cannot be read.
            TypeError: If it is nothing that could be a picture.
        """
        picture = self._pictures[i]
        if isinstance(picture, str | Path):
            return _place(picture).read_bytes()
        if isinstance(picture, np.ndarray):
            return _array_file(picture)
        if isinstance(picture, Image.Image):
            return _image_file(picture)
        if not isinstance(picture, bytes | bytearray | memoryview):
            raise TypeError(
                f"a picture is a path, the bytes of a file, an array or an image of Pillow's, "
                f"not {type(picture).__name__}"
            )
        return bytes(picture)

    def stamp(self, i: int) -> tuple[int, int]:
        """Size in bytes, time of change in ns; zeros for what has no file."""
        picture = self._pictures[i]
        if isinstance(picture, bytes | bytearray):
            return len(picture), 0
        if not isinstance(picture, str | Path):
            return 0, 0
        found = _place(picture).stat()
        return found.st_size, found.st_mtime_ns


def _place(path: str | Path) -> Path:
    if "\0" in str(path):  # as in a list from find -print0
        raise OSError(errno.EINVAL, "the name holds a zero byte")
    return Path(path)


def _array_file(pixels: NDArray[Any]) -> bytes:
    """Grey, colour and alpha as PNG, other planes as ``.npy``."""
    if pixels.dtype != np.uint8 or pixels.ndim not in (_GREY, _GREY + 1):
        raise TypeError(
            f"an array of {pixels.dtype} and shape {pixels.shape} is no picture: "
            "(H, W) or (H, W, C) of uint8 is"
        )
    if pixels.ndim == _GREY or pixels.shape[2] in _COLOURS:
        return _image_file(Image.fromarray(np.ascontiguousarray(pixels)))
    out = io.BytesIO()
    np.save(out, pixels, allow_pickle=False)
    return out.getvalue()


def _image_file(picture: Image.Image) -> bytes:
    """Its pixels without loss, hardly packed; turned as its camera said, like the file's."""
    out = io.BytesIO()
    if picture.mode in _AS_PNG:
        picture.save(out, "PNG", compress_level=0, exif=picture.getexif())
    else:
        picture.save(out, "TIFF", exif=picture.getexif())
    return out.getvalue()
