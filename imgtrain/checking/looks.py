"""A look at one file: what it is, whether it can be read, and how its pixels are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from imgtrain.checking.formats import VAGUE, has_end
from imgtrain.checking.quality import Quality, quality_of
from imgtrain.data.decode import ORIENTATION, BadImage, check_bytes, decode, open_picture
from imgtrain.data.planes import count_planes, is_array, read_header
from imgtrain.data.prints import Prints, take_print
from imgtrain.data.walk import is_picture

SIDE = 256
"""Pictures are looked at with a shorter side of at most this."""

Problem = Literal["unreadable", "truncated", "not-a-picture", "too-large", "other-file"]

WHITE = (255, 255, 255)
_UPRIGHT = 1


@dataclass(frozen=True, slots=True)
class Look:
    """What one file is.

    Args:
        size: In bytes.
        problem: Why it cannot be used, as the code of a finding, or None.
        reason: The same in words.
        format: Pillow's name of it (``NPY`` for arrays), or None.
        width: In pixels, before it is turned upright.
        height: In pixels.
        mode: Pillow's, or the number of planes of an array.
        planes: Channels: 1, 3 or however many.
        turned: Whether a note of the camera turns it.
        ends: Whether the mark that ends the format is there.
        quality: Of the pixels, where they could be decoded.
        damage: What is wrong inside, where part of the pixels is made up.
    """

    size: int
    problem: Problem | None = None
    reason: str = ""
    format: str | None = None
    width: int = 0
    height: int = 0
    mode: str = ""
    planes: int = 0
    turned: bool = False
    ends: bool = True
    quality: Quality | None = None
    damage: str = ""


@dataclass(frozen=True, slots=True)
class _Header:
    format: str
    width: int
    height: int
    mode: str
    planes: int
    turned: bool


def look_at(
    data: bytes, name: str, max_pixels: int, *, listed: bool = False
) -> tuple[Look, Prints | None]:
    """Look at the bytes of one file.

    Args:
        data: The whole file.
        name: Its name, which says whether it means to be a picture.
        max_pixels: Larger pictures are not decoded.
        listed: Whether training takes it for a picture, whatever its name.

    Returns:
        The look, and the print of the picture if there is one.
    """
    meant = listed or is_picture(name.encode("utf-8", "surrogateescape"))
    try:
        header = _header(data)
    except BadImage as error:
        return _no_picture(data, str(error), meant=meant), None
    if not meant and header.format in VAGUE:
        return Look(len(data), "other-file", "its name is none of a picture's"), None
    channels = header.planes if header.planes not in {1, 3} else 3
    remarks: list[str] = []
    try:
        pixels = decode(
            data,
            channels=channels,
            background=WHITE,
            max_pixels=max_pixels,
            side=SIDE,
            remarks=remarks,
        )
    except BadImage as error:
        return _found(data, header, _problem(data, header, max_pixels), str(error)), None
    look = _found(data, header, None, "", quality_of(pixels, header))
    return replace(look, damage="; ".join(remarks)), take_print(pixels, data)


def _found(
    data: bytes,
    header: _Header,
    problem: Problem | None,
    reason: str,
    quality: Quality | None = None,
) -> Look:
    return Look(
        size=len(data),
        problem=problem,
        reason=reason,
        format=header.format,
        width=header.width,
        height=header.height,
        mode=header.mode,
        planes=header.planes,
        turned=header.turned,
        ends=has_end(data),
        quality=quality,
    )


def _header(data: bytes) -> _Header:
    if is_array(data):
        try:
            array = read_header(data)
        except BadImage:
            raise
        except Exception as error:
            raise BadImage(str(error) or type(error).__name__) from error
        mode = f"{array.dtype} x {array.planes}"
        return _Header("NPY", array.width, array.height, mode, array.planes, turned=False)
    picture = open_picture(data)
    try:
        planes = count_planes(picture)
    except Exception:  # noqa: BLE001  # Pillow's readers raise nearly anything on broken bytes
        planes = 1
    grey = picture.mode in {"1", "L", "LA", "La", "I", "F"} or picture.mode.startswith("I;")
    return _Header(
        format=picture.format or "",
        width=picture.width,
        height=picture.height,
        mode=picture.mode,
        planes=planes if planes > 1 else 1 if grey else 3,
        turned=_is_turned(picture),
    )


def _is_turned(picture: object) -> bool:
    try:
        return int(picture.getexif().get(ORIENTATION, _UPRIGHT)) in range(2, 9)  # type: ignore[attr-defined]  # of Pillow's class
    except Exception:  # noqa: BLE001  # a broken note says nothing
        return False


def _no_picture(data: bytes, reason: str, *, meant: bool) -> Look:
    """No header could be read."""
    known = not reason.startswith("no picture in a known format")
    if not has_end(data):
        return Look(len(data), "truncated", reason, ends=False)
    if not meant:
        return Look(len(data), "other-file", "" if known else reason)
    return Look(len(data), "unreadable" if known else "not-a-picture", reason)


def _problem(data: bytes, header: _Header, max_pixels: int) -> Problem:
    """Why a picture whose header is fine could not be decoded."""
    if header.width * header.height * max(header.planes, 4) > 4 * max_pixels:
        return "too-large"
    if not has_end(data) or _is_cut(data):
        return "truncated"
    return "unreadable"


def _is_cut(data: bytes) -> bool:
    """Whether its reader says that there is less than there should be."""
    try:
        decode(data, channels=1, background=WHITE, max_pixels=2**62, side=SIDE)
    except BadImage as error:
        return "cut short" in str(error)
    return False


def unreadable(error: OSError) -> Look:
    """The look at a file that the system does not give."""
    return Look(0, "unreadable", error.strerror or str(error))


def oversized(size: int, max_pixels: int) -> Look | None:
    """The look at a file that is too large to be read; None for one that is not."""
    try:
        check_bytes(size, max_pixels)
    except BadImage as error:
        return Look(size, "too-large", str(error))
    return None
