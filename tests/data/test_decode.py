"""One decoder: every mode, every turn, every kind of broken file."""

import io
import struct
import threading
import warnings
import zlib
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageFile, ImageOps

from imgtrain.data.decode import BadImage, decode, open_picture, parse_background
from imgtrain.errors import SettingsError

WHITE = (255, 255, 255)
BLUE = (10, 20, 200)


def saved(picture, kind="PNG", **options):
    """The bytes of a file with this picture."""
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def shown(data, *, channels=3, background=WHITE, max_pixels=10**8, side=None):
    """What the decoder makes of it."""
    return decode(data, channels=channels, background=background, max_pixels=max_pixels, side=side)


def noise(height, width, channels=3, seed=0):
    """Random pixels."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def photo(width, height):
    """Smooth colours with edges and some grain, like a photograph."""
    y, x = np.mgrid[:height, :width] / max(width, height)
    waves = [np.sin(9 * x + 3 * y), np.cos(7 * y * x + 1), np.sin(12 * (x - y))]
    colours = np.stack(waves, axis=2) * 90 + 128
    colours[(x - 0.5) ** 2 + (y - 0.4) ** 2 < 0.03] += 60
    grain = np.random.default_rng(1).normal(0, 6, colours.shape)
    return Image.fromarray(np.clip(colours + grain, 0, 255).astype(np.uint8))


def tiff(pixels, *, bits, kind, photometric=1, order="<"):
    """A TIFF of one strip, written by hand."""
    height, width = pixels.shape
    data = pixels.tobytes() if bits != 12 else _twelve(pixels)
    tags = [(256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, 1), (262, 3, photometric)]
    tags += [(273, 4, 8), (277, 3, 1), (278, 4, height), (279, 4, len(data)), (339, 3, kind)]
    head = struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, 8 + len(data))
    entries = [
        struct.pack(order + "HHI" + ("I" if size == 4 else "H2x"), tag, size, 1, value)
        for tag, size, value in tags
    ]
    directory = struct.pack(order + "H", len(tags)) + b"".join(entries) + bytes(4)
    return head + data + directory


def _twelve(pixels):
    """Two 12-bit values in three bytes, rows padded to bytes."""
    rows = []
    for row in pixels:
        text = "".join(f"{value:012b}" for value in row)
        text += "0" * (-len(text) % 8)
        rows.append(bytes(int(text[at : at + 8], 2) for at in range(0, len(text), 8)))
    return b"".join(rows)


def chunk(kind, data):
    """One chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


# --- modes -------------------------------------------------------------------------------------


def test_rgb():
    """RGB comes out as it went in: uint8, three channels, C-contiguous."""
    pixels = noise(5, 7)
    got = shown(saved(Image.fromarray(pixels)))
    np.testing.assert_array_equal(got, pixels)
    assert got.dtype == np.uint8
    assert got.flags.c_contiguous


def test_grey():
    """Grey stays grey with one channel, and is the same in three."""
    pixels = noise(5, 7, 1)
    data = saved(Image.fromarray(pixels[..., 0]))
    np.testing.assert_array_equal(shown(data, channels=1), pixels)
    np.testing.assert_array_equal(shown(data), np.repeat(pixels, 3, axis=2))


def test_colour_as_grey():
    """One channel of a colour picture is ITU-R 601 luma."""
    pixels = noise(5, 7)
    expected = pixels @ np.array([0.299, 0.587, 0.114])
    got = shown(saved(Image.fromarray(pixels)), channels=1)[..., 0]
    assert np.abs(got - expected).max() <= 1


def test_one_bit():
    """Black is 0, white is 255."""
    data = saved(Image.fromarray(np.array([[True, False]])))
    assert shown(data, channels=1)[..., 0].tolist() == [[255, 0]]


def test_palette():
    """A palette's colours are looked up."""
    picture = Image.new("P", (2, 1))
    picture.putpalette([1, 2, 3, 40, 50, 60])
    picture.putdata([0, 1])
    assert shown(saved(picture)).tolist() == [[[1, 2, 3], [40, 50, 60]]]


@pytest.mark.parametrize("clear", [1, bytes([255, 0])])
def test_palette_with_transparency(clear):
    """A transparent entry shows the background."""
    picture = Image.new("P", (2, 1))
    picture.putpalette([1, 2, 3, 40, 50, 60])
    picture.putdata([0, 1])
    data = saved(picture, transparency=clear)
    assert shown(data, background=BLUE).tolist() == [[[1, 2, 3], [10, 20, 200]]]


def test_gif_with_transparency():
    """So does a GIF's."""
    picture = Image.new("P", (2, 1))
    picture.putpalette([1, 2, 3, 40, 50, 60])
    picture.putdata([0, 1])
    data = saved(picture, "GIF", transparency=0)
    assert shown(data, background=BLUE).tolist() == [[[10, 20, 200], [40, 50, 60]]]


def test_alpha():
    """RGBA is mixed with the background: alpha times colour plus the rest of the background."""
    pixels = np.array([[[200, 100, 0, 255], [200, 100, 0, 0], [200, 100, 0, 128]]], np.uint8)
    alpha = pixels[..., 3:] / 255
    expected = pixels[..., :3] * alpha + np.array(BLUE) * (1 - alpha)
    got = shown(saved(Image.fromarray(pixels)), background=BLUE)
    assert np.abs(got - expected).max() <= 1


def test_grey_alpha():
    """LA is mixed with the background, whose luma it is with one channel."""
    pixels = np.array([[[200, 255], [200, 0], [200, 51]]], np.uint8)
    data = saved(Image.fromarray(pixels, "LA"))
    assert shown(data)[0].tolist() == [[200] * 3, [255] * 3, [244] * 3]
    assert shown(data, channels=1, background=(0, 0, 255))[0, 1, 0] == round(0.114 * 255)


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "I;16"])
def test_a_colour_declared_transparent(mode):
    """A PNG's tRNS colour shows the background."""
    picture = Image.new("L", (2, 1), 0)
    picture.putpixel((1, 0), 255)
    picture = picture.convert("I").point(lambda v: v * 257) if mode == "I;16" else picture
    picture = picture.convert(mode)
    key = {"RGB": (0, 0, 0), "L": 0, "1": 0, "I;16": 0}[mode]
    got = shown(saved(picture, transparency=key), background=BLUE)
    assert got.tolist() == [[[10, 20, 200], [255, 255, 255]]]


def test_sixteen_bits():
    """16 bits are scaled, not clipped: 65535 is 255, and each value goes to the nearest."""
    values = np.array([[0, 128, 129, 32768, 65535, 4095]], np.uint16)
    got = shown(saved(Image.fromarray(values)), channels=1)[0, :, 0]
    assert got.tolist() == np.rint(values[0] / 257).astype(int).tolist()
    assert got[4] == 255


@pytest.mark.parametrize("order", ["<", ">"])
def test_sixteen_bit_tiff(order):
    """Either byte order."""
    values = np.array([[0, 257, 65535]], order + "u2")
    data = tiff(values, bits=16, kind=1, order=order)
    assert shown(data, channels=1)[0, :, 0].tolist() == [0, 1, 255]


def test_sixteen_bit_tiff_where_white_is_zero():
    """X-rays may be stored inverted; the tag says so."""
    data = tiff(np.array([[0, 65535]], "<u2"), bits=16, kind=1, photometric=0)
    assert shown(data, channels=1)[0, :, 0].tolist() == [255, 0]


def test_twelve_bit_tiff():
    """12 bits use the whole range: 4095 is 255."""
    data = tiff(np.array([[0, 2048, 4095, 16]]), bits=12, kind=1)
    assert shown(data, channels=1)[0, :, 0].tolist() == [0, 128, 255, 1]


def test_sixteen_bit_colour():
    """A PNG with 16 bits a channel is scaled too."""
    row = struct.pack(">B6H", 0, 65535, 0, 32768, 257, 514, 771)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">2I5B", 2, 1, 16, 2, 0, 0, 0))
    data += chunk(b"IDAT", zlib.compress(row)) + chunk(b"IEND", b"")
    assert shown(data).tolist() == [[[255, 0, 128], [1, 2, 3]]]


def test_sixteen_bit_pgm():
    """A PGM says its largest value; a dark 16-bit PGM stays dark."""
    data = b"P5 3 1 65535\n" + struct.pack(">3H", 0, 200, 257)
    assert shown(data, channels=1)[0, :, 0].tolist() == [0, 1, 1]
    data = b"P5 2 1 1023\n" + struct.pack(">2H", 1023, 512)
    assert shown(data, channels=1)[0, :, 0].tolist() == [255, 128]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 100, 255], [0, 100, 255]),
        ([0, 257, 65535], [0, 1, 255]),
        ([0, 100_000, 200_000], [0, 128, 255]),
        ([-5, 0, 255], [0, 0, 255]),
    ],
)
def test_thirty_two_bit_integers(values, expected):
    """Mode I goes by its largest value: 8 bits, 16 bits, or that value as white."""
    data = tiff(np.array([values], "<i4"), bits=32, kind=2)
    assert shown(data, channels=1)[0, :, 0].tolist() == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.0, 100.4, 255.0], [0, 100, 255]),
        ([0.0, 257.0, 65535.0], [0, 1, 255]),
        ([-1.0, 0.0, 1.0], [0, 128, 255]),
        ([0.0, 1e6, 2e6], [0, 128, 255]),
        ([np.nan, np.inf, 1.0], [0, 0, 255]),
        ([np.nan, -2.0, 2.0], [0, 0, 255]),
        ([np.nan, np.nan, np.nan], [0, 0, 0]),
        ([-3.0, -3.0, -3.0], [0, 0, 0]),
    ],
)
def test_floats(values, expected):
    """Mode F goes by its range; what is not finite is black."""
    data = tiff(np.array([values], "<f4"), bits=32, kind=3)
    got = shown(data, channels=1)[0, :, 0].astype(int)
    assert np.abs(got - expected).max() <= 1


def test_cmyk():
    """CMYK in a TIFF: no ink is white, all black ink is black."""
    pixels = np.array([[[0, 0, 0, 0], [0, 0, 0, 255], [255, 0, 0, 0]]], np.uint8)
    data = saved(Image.fromarray(pixels, "CMYK"), "TIFF")
    assert shown(data).tolist() == [[[255, 255, 255], [0, 0, 0], [0, 255, 255]]]


def test_cmyk_jpeg():
    """An Adobe JPEG stores its inks inverted; white stays white."""
    white = Image.new("CMYK", (16, 16), (0, 0, 0, 0))
    assert shown(saved(white, "JPEG")).min() >= 250
    dark = Image.new("CMYK", (16, 16), (0, 0, 0, 255))
    assert shown(saved(dark, "JPEG")).max() <= 5


def test_ycbcr():
    """A YCbCr TIFF becomes RGB."""
    picture = photo(16, 16)
    data = saved(picture.convert("YCbCr"), "TIFF")
    assert np.abs(shown(data).astype(int) - np.asarray(picture)).max() <= 3


def test_lab():
    """A CIELAB TIFF becomes sRGB."""
    picture = photo(16, 16)
    to_lab = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    data = saved(ImageCms.applyTransform(picture, to_lab), "TIFF")
    assert open_picture(data).mode == "LAB"
    assert np.abs(shown(data).astype(int) - np.asarray(picture)).mean() <= 2


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "MPO"])
def test_the_first_frame(kind):
    """Of an animated or paged file the first frame counts."""
    first, second = Image.new("RGB", (16, 16), (200, 30, 30)), Image.new("RGB", (16, 16), BLUE)
    data = saved(first, kind, save_all=True, append_images=[second])
    assert np.abs(shown(data).astype(int) - [200, 30, 30]).max() <= 6


@pytest.mark.parametrize("kind", ["BMP", "DIB", "ICO", "PCX", "PPM", "QOI", "SGI", "TGA"])
def test_lossless_formats(kind):
    """Every raster format that is listed can be read."""
    pixels = noise(16, 16)
    np.testing.assert_array_equal(shown(saved(Image.fromarray(pixels), kind)), pixels)


@pytest.mark.parametrize("kind", ["JPEG", "JPEG2000", "WEBP", "AVIF"])
def test_lossy_formats(kind):
    """Photographs come out as they were, nearly."""
    picture = photo(64, 48)
    got = shown(saved(picture, kind)).astype(int)
    assert np.abs(got - np.asarray(picture)).mean() < 6


# --- the way it is turned ----------------------------------------------------------------------


def turned(kind, turn, **options):
    """A picture whose EXIF says how it must be turned."""
    exif = Image.Exif()
    exif[0x0112] = turn
    return saved(photo(48, 32), kind, exif=exif, **options)


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation(kind, turn):
    """All eight orientations, as Pillow's own reference does it."""
    data = turned(kind, turn)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    np.testing.assert_array_equal(shown(data), expected)


@pytest.mark.parametrize("turn", [1, 3, 6, 8])
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
def test_tiff_orientation(compression, turn):
    """A TIFF is turned once, whoever does it, and its sides are right when shrunk."""
    data = turned("TIFF", turn, compression=compression)
    whole = shown(data)
    assert whole.shape == ((32, 48, 3) if turn in {1, 3} else (48, 32, 3))
    expected = np.rot90(np.asarray(photo(48, 32)), {1: 0, 3: 2, 6: 3, 8: 1}[turn])
    np.testing.assert_array_equal(whole, expected)
    small = shown(data, side=16)
    assert small.shape == ((16, 24, 3) if turn in {1, 3} else (24, 16, 3))


def test_shrinking_and_turning():
    """A shrunk picture is turned just the same."""
    assert shown(turned("JPEG", 6), side=16).shape == (24, 16, 3)


def test_broken_exif():
    """Broken EXIF does not make a good picture bad."""
    for exif in (b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0"):
        assert shown(saved(photo(8, 8), "JPEG", exif=exif)).shape == (8, 8, 3)


@pytest.mark.parametrize("turn", [0, 9, 60000])
def test_an_orientation_that_does_not_exist(turn):
    """Means upright."""
    assert shown(turned("JPEG", turn)).shape == (32, 48, 3)


# --- shrinking ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "side", "expected"),
    [
        ((100, 50), 20, (20, 40)),
        ((50, 100), 20, (40, 20)),
        ((99, 50), 20, (20, 40)),
        ((20, 20), 20, (20, 20)),
        ((19, 300), 20, (300, 19)),
        ((1, 500), 1, (500, 1)),
        ((3, 1000), 1, (333, 1)),
    ],
)
def test_the_shorter_side(size, side, expected):
    """The shorter side becomes ``side``, the longer keeps the shape; nothing is enlarged."""
    for kind in ("PNG", "JPEG"):
        assert shown(saved(photo(*size), kind), side=side).shape[:2] == expected


def test_shrinking_averages():
    """Fine stripes become grey, not a pattern."""
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    got = shown(saved(Image.fromarray(stripes)), side=8).astype(int)
    assert np.abs(got[:, 1:-1] - 128).max() <= 1  # at the rims there is less to average


@pytest.mark.parametrize("side", [32, 60, 128, 200])
def test_scaled_jpeg_decoding(side):
    """A JPEG decoded small on the way is within 2 grey levels of one decoded whole."""
    data = saved(photo(1203, 801), "JPEG", quality=85)
    got = shown(data, side=side).astype(int)
    whole = Image.open(io.BytesIO(data))
    size = (round(1203 * side / 801), side)
    expected = np.asarray(whole.resize(size, Image.Resampling.BILINEAR)).astype(int)
    assert got.shape == expected.shape
    assert np.abs(got - expected).mean() < 1


def test_transparent_edges_are_not_dark():
    """Shrinking mixes with the background, not with the colour under transparency."""
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[:, ::2] = (255, 255, 255, 255)
    assert shown(saved(Image.fromarray(pixels)), side=8).min() == 255


# --- what is no picture ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (
            b"hello, this is text\n" * 9,
            "no picture in a known format: it starts with b'hello, this",
        ),
        (b"<!DOCTYPE html><html>", "it starts with b'<!DOCTYPE html><'"),
        (b"\xff\xd8\xff", "."),
        (b"\x89PNG\r\n\x1a\n", "."),
        (b"GIF89a", "."),
        (b"BM" + bytes(60), "."),
        (b"RIFF\x04\0\0\0WEBPVP8 ", "."),
        (bytes(1000), "no picture in a known format"),
    ],
)
def test_no_picture(data, reason):
    """Text, nothing and mere beginnings are bad pictures, with a reason and no path."""
    with pytest.raises(BadImage, match=reason):
        shown(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "TGA"])
def test_cut_short(kind):
    """A file that lacks its end is bad, not half grey."""
    data = saved(Image.fromarray(noise(64, 64)), kind)
    with pytest.raises(BadImage):
        shown(data[: len(data) * 2 // 3])
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_cut_short_is_said():
    """The reason is in plain words."""
    data = saved(Image.fromarray(noise(64, 64)), "JPEG")
    with pytest.raises(BadImage, match="the file is cut short"):
        shown(data[: len(data) // 2])


def test_the_pixel_cap():
    """Too many pixels are refused from the header, before any is decoded."""
    data = saved(photo(40, 30))
    assert shown(data, max_pixels=1200).shape == (30, 40, 3)
    with pytest.raises(
        BadImage, match=r"40 x 30 are more pixels than the 1199 of data\.max_pixels"
    ):
        shown(data, max_pixels=1199)


@pytest.mark.parametrize(
    "size", [(60_000, 60_000), (2**31 - 1, 2**31 - 1), (2**30, 1), (20_000, 9_000)]
)
def test_absurd_headers(size):
    """A small file that claims to be huge is a bad picture, whatever Pillow's own limit."""
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">2I5B", *size, 8, 2, 0, 0, 0))
    data += chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    with pytest.raises(BadImage, match="more pixels than"):
        shown(data)


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (0, 0)])
def test_headers_without_pixels(size):
    """No pixels are no picture."""
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">2I5B", *size, 8, 2, 0, 0, 0))
    with pytest.raises(BadImage):
        shown(data + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b""))


def test_pillows_own_limit_is_not_ours(monkeypatch):
    """data.max_pixels decides alone, and Pillow's global is not touched."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert shown(saved(photo(40, 30))).shape == (30, 40, 3)
    assert Image.MAX_IMAGE_PIXELS == 100


def test_pillows_limit_inside_a_reader(monkeypatch):
    """Where a reader checks for itself, its error is a bad picture too (it is no OSError)."""
    data = saved(photo(64, 64), "ICO")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(BadImage, match="exceeds limit"):
        shown(data)


def test_no_memory_is_a_bad_picture(monkeypatch):
    """One picture that does not fit ends no run."""

    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr(ImageFile.ImageFile, "load", full)
    with pytest.raises(BadImage, match="more memory than there is"):
        shown(saved(photo(4, 4)))


@cache
def originals():
    """Good files of many kinds."""
    small = photo(24, 16)
    files = [
        saved(small, kind) for kind in ("JPEG", "PNG", "GIF", "BMP", "WEBP", "PPM", "ICO", "QOI")
    ]
    files += [saved(small, kind) for kind in ("PCX", "SGI", "TGA", "JPEG2000", "AVIF")]
    files += [turned(kind, 6) for kind in ("JPEG", "PNG", "TIFF")]
    files += [saved(small.convert(mode)) for mode in ("1", "L", "LA", "P", "RGBA")]
    files += [saved(small.convert("L").convert(mode), "TIFF") for mode in ("I;16", "I", "F")]
    files.append(saved(small.convert("CMYK"), "JPEG"))
    return files


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_any_bytes(draw):
    """Whatever the bytes: pixels or BadImage, never anything else."""
    files = originals()
    data = bytearray(files[draw.draw(st.integers(0, len(files) - 1))])
    for _ in range(draw.draw(st.integers(1, 5))):
        at = draw.draw(st.integers(0, max(len(data) - 1, 0)))
        new = draw.draw(st.binary(max_size=6))
        data[at : at + draw.draw(st.integers(0, 9))] = new
    data = data[: draw.draw(st.integers(0, len(data)))] if draw.draw(st.booleans()) else data
    try:
        got = shown(bytes(data), max_pixels=10**6, side=8)
    except BadImage:
        return
    assert got.shape[2] == 3


# --- warnings ----------------------------------------------------------------------------------


def odd():
    """A good picture about which Pillow has a remark: its EXIF is damaged."""
    broken = b"Exif\0\0II*\0\x08\0\0\0\x02\0\x12\x01\x03\0\xff\xff\xff\xff\x06\0"
    return saved(photo(8, 8), "JPEG", exif=broken)


def test_odd_is_really_odd():
    """Without the decoder, Pillow does warn about it."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        Image.open(io.BytesIO(odd())).getexif()
    assert heard


def test_warnings_do_not_escape():
    """Pillow's remarks are not shown, and are no errors where warnings are."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        shown(odd())
    assert not heard
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert shown(odd()).shape == (8, 8, 3)


def test_warnings_do_not_escape_from_threads():
    """Also when several threads decode while others change the filters."""
    problems = []

    def work():
        try:
            for _ in range(50):
                shown(odd())
        except BadImage as error:
            problems.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems


# --- background --------------------------------------------------------------------------------


def test_backgrounds():
    """Three names and six hexadecimal digits."""
    assert parse_background("white") == (255, 255, 255)
    assert parse_background("black") == (0, 0, 0)
    assert parse_background("grey") == (128, 128, 128)
    assert parse_background("#0aFF80") == (10, 255, 128)


@pytest.mark.parametrize("colour", ["", "red", "#fff", "#12345g", "#1234567", "#123456\n"])
def test_no_background(colour):
    """Anything else is a settings error that says what would do."""
    with pytest.raises(SettingsError, match="is no colour"):
        parse_background(colour)


@pytest.mark.parametrize("data", [b"x", b"x\n", b"no"])
def test_a_few_bytes_are_no_picture(data):
    """The reason speaks of the file, not of a reader's insides."""
    with pytest.raises(BadImage, match="no picture in a known format: it starts with"):
        decode(data, channels=3, background=(255, 255, 255), max_pixels=100, side=None)
