"""The picture with its map."""

import io

import numpy as np
import pytest
from PIL import Image

from imgtrain.explain.overlay import as_grey_png, as_jpeg, displayed, enlarged, overlaid, strength


def test_strength_is_a_share_of_the_largest():
    """From 0, or from the least value; a map of nothing stays one."""
    values = np.array([[-1.0, 0.5], [1.0, 2.0]], np.float32)

    np.testing.assert_array_equal(strength(values, from_least=False), [[0, 0.25], [0.5, 1]])
    np.testing.assert_allclose(strength(values, from_least=True), [[0, 0.5], [2 / 3, 1]])
    for nothing in (np.zeros((2, 2), np.float32), np.full((2, 2), -3, np.float32)):
        assert not strength(nothing, from_least=False).any()


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_any_channels_are_shown(channels):
    """Grey as grey, others by their first planes; small pictures grow by a whole factor."""
    pixels = np.arange(8 * 8 * channels, dtype=np.uint8).reshape(8, 8, channels)

    found = displayed(pixels)

    assert found.shape == (160, 160, 3)
    first = found[::20, ::20, 0]
    np.testing.assert_array_equal(first, pixels[..., 0])
    last = pixels[..., 2] if channels > 2 else pixels[..., 0]
    np.testing.assert_array_equal(found[19::20, 19::20, 2], last)


def test_cold_places_stay_grey_and_hot_ones_are_yellow():
    """Colour is the map's alone; its yellow is lighter than its blue."""
    picture = np.full((80, 160, 3), (200, 40, 40), np.uint8)
    heat = np.array([[0, 0, 1, 1]], np.float32)

    found = overlaid(picture, heat).astype(int)

    assert np.ptp(found[:, :40], axis=2).max() == 0
    red, green, blue = found[0, -1]
    assert red > 150
    assert green > 150
    assert blue < 100
    assert enlarged(heat, 80, 160)[0, 80] == pytest.approx(0.5, abs=0.02)


def test_files_are_pictures():
    """A JPEG of the overlay, a grey PNG of the map."""
    jpeg = Image.open(io.BytesIO(as_jpeg(np.zeros((20, 30, 3), np.uint8))))
    png = Image.open(io.BytesIO(as_grey_png(np.eye(2, dtype=np.float32), 16, 16)))

    assert (jpeg.format, jpeg.size) == ("JPEG", (30, 20))
    assert (png.mode, png.size, png.getpixel((0, 0)), png.getpixel((15, 0))) == (
        "L",
        (16, 16),
        255,
        0,
    )
