"""The contact sheet: sizes, captions, and class names that nobody expected."""

import io

import numpy as np
import pytest
from PIL import Image

from imgtrain.loading.sheet import Cell, draw_sheet, fitted, shown, write_sheet

STRANGE = ["ÿ", "猫🐈", "<script>alert(1)</script>", "../x", "a\nb\tc", "\x1b[31m\u202e", "x" * 200]


def _grey(height, width, channels=3, level=100):
    return np.full((height, width, channels), level, np.uint8)


def test_rows_and_columns_of_any_length_have_room():
    """The longest row and the largest picture decide; each picture is in its place."""
    rows = [[Cell(_grey(130, 140, level=k)) for k in (10, 20, 30)], [Cell(_grey(130, 130))]]
    sheet = np.asarray(draw_sheet(rows))

    assert sheet.shape == (2 * (130 + 19 + 6) + 6, 3 * (140 + 6) + 6, 3)
    assert [int(sheet[50, 6 + k * 146 + 60, 0]) for k in range(3)] == [10, 20, 30]
    assert int(sheet[50 + 155, 60, 0]) == 100


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
def test_any_number_of_channels_is_shown(channels):
    """Grey as grey, three as colour, of more the first three, of two the first."""
    pixels = np.full((100, 100, channels), 5, np.uint8)
    pixels[..., 0] = 200
    first = shown(pixels).getpixel((50, 50))

    assert first == ((200, 200, 200) if channels < 3 else (200, 5, 5))


def test_small_pictures_are_enlarged_without_blur():
    """8 pixels become 128: a whole factor, hard edges."""
    pixels = np.zeros((8, 8, 1), np.uint8)
    pixels[0, 0] = 255
    large = np.asarray(shown(pixels))

    assert large.shape == (128, 128, 3)
    assert (large[:16, :16] == 255).all()
    assert large.sum() == 16 * 16 * 3 * 255


@pytest.mark.parametrize("name", STRANGE)
def test_every_class_name_fits_on_one_line(name, tmp_path):
    """What the font lacks and control characters are shown as escapes; long names are cut."""
    text = fitted(name, 150)
    write_sheet(tmp_path / "sheet.png", [[Cell(_grey(128, 150), name)]])

    assert "\n" not in text
    assert "\x1b" not in text
    assert len(text) <= 60
    with Image.open(tmp_path / "sheet.png") as image:
        assert image.size == (162, 159)


def test_captions_are_read_as_they_are():
    """Latin, Greek and Cyrillic letters are drawn; others escaped; the end of long ones dotted."""
    assert fitted("Ärger Ωμέγα Кот", 400) == "Ärger Ωμέγα Кот"
    assert fitted("猫", 400) == "\\u732b"
    assert fitted("x" * 200, 100).endswith("x...")
    assert not fitted("x", 400).endswith("...")


def test_the_sheet_is_a_png_and_the_same_each_time():
    """The same cells, the same bytes."""

    def saved():
        buffer = io.BytesIO()
        draw_sheet([[Cell(_grey(50, 50), "cat")]]).save(buffer, "PNG")
        return buffer.getvalue()

    assert saved() == saved()
    assert saved().startswith(b"\x89PNG")
