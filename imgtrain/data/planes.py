"""Pictures of any number of planes: ``.npy`` arrays, TIFF whose pages are planes, alpha kept.

What counts as a plane:

===========================  ====================================================================
file                         planes
===========================  ====================================================================
``.npy`` (H, W)              one, grey
``.npy`` (H, W, N), (N, H, W)  N: the last axis if it has as many as are asked for, else the first
                             if it has; nobody asking, the shorter of the two, the last if equal
TIFF of N grey pages         N, all of one size
RGBA, LA and kin             4 or 2 when so many are asked for; else laid on the background
===========================  ====================================================================

Values become 8 bits by the rules of ``modes``, one rule for all planes of a file: bool is 0 and
255, uint8 stays, uint16 is divided by 257, other integers and floats go by the largest value.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, TiffImagePlugin

from imgtrain.data.modes import any_numbers, one_band
from imgtrain.data.shrink import shrink

MAGIC = b"\x93NUMPY"
MOST = 64
"""Planes that a file may have."""

SAMPLES_PER_PIXEL = 277  # TIFF 6.0, section 8
_ALPHA = {"LA": 2, "La": 2, "RGBA": 4, "RGBa": 4, "RGBX": 4, "PA": 4}
_STRAIGHT = {"La": "LA", "RGBa": "RGBA", "PA": "RGBA"}


class BadImage(Exception):  # noqa: N818  # it is the picture that is bad, the program goes on
    """These bytes are no picture that can be used; the text says why, without the path."""


@dataclass(frozen=True, slots=True)
class ArrayHeader:
    """What the header of an ``.npy`` file says.

    Args:
        height: In pixels.
        width: In pixels.
        planes: How many.
        first: Whether the planes are the first axis, not the last.
        dtype: Of the values.
        shape: As in the file.
        fortran: Whether the first index changes fastest.
        offset: Where the values begin, in bytes.
    """

    height: int
    width: int
    planes: int
    first: bool
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool
    offset: int


def is_array(data: bytes) -> bool:
    """Whether these bytes begin like an ``.npy`` file."""
    return data[:6] == MAGIC


def read_header(data: bytes, *, wanted: int | None = None) -> ArrayHeader:
    """The header of an ``.npy`` file; no memory is taken for its values.

    Args:
        data: The whole file.
        wanted: How many planes are asked for; decides where either axis could be the planes.

    Raises:
        BadImage: If it is none of a picture.
    """
    file = io.BytesIO(data)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    try:
        read = readers[np.lib.format.read_magic(file)]
        shape, fortran, dtype = read(file)
    except Exception as error:
        # NumPy parses a header as Python: what comes out of broken ones is not only ValueError.
        raise BadImage(f"the header of the .npy file is broken ({error})") from error
    if dtype.kind not in "buif":
        raise BadImage(f"an .npy file of {dtype} is no picture")
    if len(shape) not in {2, 3} or 0 in shape:
        raise BadImage(f"an .npy file of shape {shape} is no picture: (H, W), (H, W, N) or so")
    height, width, planes, first = _axes(shape, wanted)
    return ArrayHeader(height, width, planes, first, dtype, shape, fortran, file.tell())


def _axes(shape: tuple[int, ...], wanted: int | None) -> tuple[int, int, int, bool]:
    """Height, width, planes, and whether the planes come first."""
    if len(shape) == 2:  # noqa: PLR2004  # height and width
        return shape[0], shape[1], 1, False
    first = shape[0] < shape[2]
    if wanted in {shape[0], shape[2]}:
        first = shape[2] != wanted
    if first:
        return shape[1], shape[2], shape[0], True
    return shape[0], shape[1], shape[2], False


def read_array(data: bytes, header: ArrayHeader) -> NDArray[np.uint8]:
    """The planes of an ``.npy`` file, (N, H, W) in 8 bits.

    Raises:
        BadImage: If there are too many planes, or the file is cut short.
    """
    if header.planes > MOST:
        raise BadImage(f"an .npy file of shape {header.shape} has more than {MOST} planes")
    count = header.planes * header.height * header.width
    if len(data) - header.offset < count * header.dtype.itemsize:
        raise BadImage("the file is cut short (fewer values than its header says)")
    values = np.frombuffer(data, header.dtype, count, header.offset)
    values = values.reshape(header.shape, order="F" if header.fortran else "C")
    if values.ndim == 2:  # noqa: PLR2004  # height and width
        values = values[None]
    elif not header.first:
        values = values.transpose(2, 0, 1)
    return any_numbers(values)


def count_planes(picture: ImageFile.ImageFile) -> int:
    """Planes of a TIFF whose pages, or samples, are planes; 1 for every other picture."""
    if not isinstance(picture, TiffImagePlugin.TiffImageFile) or len(picture.getbands()) != 1:
        return 1
    if picture.mode == "P":
        return 1
    samples = picture.tag_v2.get(SAMPLES_PER_PIXEL, 1)
    if isinstance(samples, int) and samples > 2:  # noqa: PLR2004  # grey and one more is grey
        raise BadImage(_samples(samples))
    return picture.n_frames if getattr(picture, "is_animated", False) else 1


def refuse_samples(data: bytes) -> None:
    """Say what is wrong with a TIFF that Pillow does not know for its many samples a pixel.

    Raises:
        BadImage: If it is one.
    """
    if data[:4] not in {b"II*\0", b"MM\0*"}:
        return
    try:
        file = io.BytesIO(data)
        tags = TiffImagePlugin.ImageFileDirectory_v2(file.read(8))
        file.seek(tags.next)
        tags.load(file)
        samples = int(tags.get(SAMPLES_PER_PIXEL, 1))
    except Exception:  # noqa: BLE001  # broken in another way, about which the reader has spoken
        return
    if samples > 1:
        raise BadImage(_samples(samples))


def _samples(samples: int) -> str:
    return (
        f"a TIFF of {samples} samples a pixel cannot be read:"
        " save each as a page of its own, or all as .npy"
    )


def read_pages(picture: ImageFile.ImageFile, planes: int) -> NDArray[np.uint8]:
    """The pages of a TIFF as planes, (N, H, W) in 8 bits.

    Raises:
        BadImage: If they differ in size or kind.
    """
    pages, size, mode, tags = [], picture.size, picture.mode, getattr(picture, "tag_v2", {})
    for page in range(planes):
        picture.seek(page)
        if (picture.size, picture.mode) != (size, mode):
            raise BadImage("the pages of the TIFF differ in size or mode")
        picture.load()
        pages.append(np.asarray(picture.convert("L") if mode == "1" else picture))
    return one_band(np.stack(pages), mode, tags)


def read_alpha(picture: Image.Image, wanted: int) -> NDArray[np.uint8] | None:
    """Colours and alpha as planes, (4, H, W) or (2, H, W), if there are so many; else None."""
    straight = _STRAIGHT.get(picture.mode)
    if straight is None and picture.mode == "P" and picture.has_transparency_data:
        straight = "RGBA"
    if straight is not None:
        picture = picture.convert(straight)
    if _ALPHA.get(picture.mode) != wanted:
        return None
    return np.asarray(picture).transpose(2, 0, 1)


def shrunk(planes: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """``planes`` (N, H, W) as (H, W, N) of ``size`` (width, height), C-contiguous."""
    return np.stack(
        [shrink(Image.fromarray(np.ascontiguousarray(plane)), size) for plane in planes], axis=2
    )
