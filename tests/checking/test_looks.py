"""One file at a time: what is said of it."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from scenes import encoded, scene

from imgtrain.checking.judging import Limits, judge
from imgtrain.checking.looks import look_at

PHOTO = scene(7, (160, 120))


def codes(data, name="a.jpg", limits=None):
    """The codes of all findings about a file."""
    limits = limits or Limits()
    look, _ = look_at(data, name, limits.max_pixels)
    return [finding.code for finding in judge(name, look, limits)]


def turned(picture, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(picture, exif=exif)


def with_preview(picture):
    """A JPEG whose header holds a whole small JPEG, end mark and all."""
    preview = encoded(picture.resize((16, 12)))
    note = b"\xff\xe2" + struct.pack(">H", len(preview) + 2) + preview
    data = encoded(picture)
    return data[:2] + note + data[2:]


FORMATS = {
    "jpg": encoded(PHOTO),
    "progressive.jpg": encoded(PHOTO, progressive=True),
    "preview.jpg": with_preview(PHOTO),
    "png": encoded(PHOTO, "PNG"),
    "webp": encoded(PHOTO, "WEBP"),
    "gif": encoded(PHOTO, "GIF"),
    "bmp": encoded(PHOTO, "BMP"),
    "tif": encoded(PHOTO, "TIFF"),
    "qoi": encoded(PHOTO, "QOI"),
}
GREY = (PHOTO.convert("L"), "PNG")


@pytest.mark.parametrize("name", FORMATS)
def test_a_whole_photo_is_fine(name):
    """Nothing is said of it in any format (a GIF has a palette)."""
    assert codes(FORMATS[name], f"a.{name}") == (["mode"] if name == "gif" else [])


@pytest.mark.parametrize("name", ["jpg", "progressive.jpg", "preview.jpg", "png", "webp", "gif"])
@pytest.mark.parametrize("share", [0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99])
def test_a_cut_file_is_truncated(name, share):
    """Wherever it is cut; a few formats hold all pixels in what is left of the very end."""
    data = FORMATS[name]

    found = codes(data[: int(len(data) * share)], f"a.{name}")

    assert found in (["truncated"], ["mode", "truncated"])


@pytest.mark.parametrize("name", ["bmp", "tif", "qoi"])
def test_a_cut_file_without_an_end_mark_is_bad_too(name):
    """Its reader misses bytes."""
    data = FORMATS[name]

    assert codes(data[: len(data) // 2], f"a.{name}")[0] in {"truncated", "unreadable"}


@pytest.mark.parametrize("size", [(160, 120), (700, 500)])
def test_damage_inside_a_whole_file(size):
    """A hundred bytes lost in the middle: decoded all the same, and said."""
    data = encoded(scene(7, size))
    middle = len(data) * 2 // 3

    assert "damaged" in codes(data[:middle] + data[middle + 100 :])
    assert "damaged" not in codes(data)


def test_only_the_end_mark_is_missing():
    """A PNG's pixels are all there: worth a warning, not a loss."""
    assert codes(FORMATS["png"][:-12], "a.png") == ["incomplete"]


@pytest.mark.parametrize(
    ("data", "name", "code"),
    [
        (b"", "a.jpg", "unreadable"),
        (b"<!doctype html><p>not found", "a.jpg", "not-a-picture"),
        (b"some words", "notes.txt", "other-file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(200) + b"IEND", "a.png", "unreadable"),
        (FORMATS["png"], "a.jpg", "wrong-extension"),
        (FORMATS["jpg"], "photo", "wrong-extension"),
        (FORMATS["jpg"], "a.JPEG", None),
        (turned(PHOTO, 6), "a.jpg", "rotated"),
        (turned(PHOTO, 1), "a.jpg", None),
        (encoded(PHOTO.convert("CMYK")), "a.jpg", "mode"),
        (encoded(PHOTO.convert("RGBA"), "PNG"), "a.png", "mode"),
        (encoded(PHOTO.convert("P"), "PNG"), "a.png", "mode"),
        (encoded(PHOTO.convert("L"), "PNG"), "a.png", None),
        (encoded(PHOTO.resize((15, 60))), "a.jpg", "too-small"),
        (encoded(PHOTO.resize((16, 64))), "a.jpg", None),
        (encoded(PHOTO.resize((16, 65))), "a.jpg", "odd-aspect"),
        (encoded(Image.new("RGB", (64, 64), "teal")), "a.jpg", "constant"),
        (encoded(PHOTO.point(lambda v: v // 8)), "a.jpg", "dark"),
        (encoded(PHOTO.point(lambda v: 220 + v // 8)), "a.jpg", "bright"),
        (encoded(PHOTO.resize((6, 5)).resize((640, 480), 3)), "a.jpg", "blurred"),
    ],
)
def test_what_is_said_of_a_file(data, name, code):
    """One thing, or nothing."""
    assert codes(data, name) == ([code] if code else [])


def test_sixteen_bits_are_a_mode():
    """Deeper than what training sees."""
    deep = Image.fromarray(np.arange(0, 64000, 10, dtype=np.uint16).reshape(80, 80))

    assert "mode" in codes(encoded(deep, "PNG"), "a.png")


def test_arrays_of_any_planes_are_pictures():
    """Five planes are looked at as they are."""
    file = io.BytesIO()
    np.save(file, np.random.default_rng(0).integers(0, 255, (5, 40, 40), dtype=np.uint8))

    look, taken = look_at(file.getvalue(), "a.npy", 10**6)

    assert (look.problem, look.planes, taken is None) == (None, 5, False)


def test_a_bomb_is_too_large_and_never_unpacked():
    """50,000 x 50,000 pixels in a kilobyte: the header is enough."""

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")

    assert codes(bomb, "a.png") == ["too-large"]
    assert codes(FORMATS["jpg"], limits=Limits(max_pixels=160 * 120)) == []
    assert codes(FORMATS["jpg"], limits=Limits(max_pixels=160 * 120 - 1)) == ["too-large"]
