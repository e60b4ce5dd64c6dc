"""Smaller pictures look as Pillow's antialiased ones do."""

import io

import numpy as np
import pytest
from PIL import Image

from imgtrain.data.decode import decode
from imgtrain.data.shrink import shrink, turned


def photo(width, height, *, seed):
    """Fields of colour, edges at all angles, texture of several scales, grain."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    colours = np.zeros((height, width, 3), np.float32)
    for scale in (200, 60, 20, 7):
        angle, phase = rng.uniform(0, np.pi), rng.uniform(0, 6, 3)
        wave = (x * np.cos(angle) + y * np.sin(angle)) / scale
        colours += np.sin(wave[..., None] + phase) * (6 + scale / 5)
    for _ in range(12):
        cx, cy, r = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.02, 0.2) * width
        colours[(x - cx) ** 2 + (y - cy) ** 2 < r**2] += rng.uniform(-70, 70, 3)
    grain = rng.normal(0, 5, colours.shape)
    return Image.fromarray(np.clip(colours + grain + 128, 0, 255).astype(np.uint8))


def difference(got, picture, size):
    expected = picture.resize(size, Image.Resampling.BILINEAR)
    return np.abs(got.astype(np.int16) - np.asarray(expected)).mean()


@pytest.mark.parametrize(("width", "height"), [(400, 300), (520, 390), (600, 800), (1501, 1003)])
@pytest.mark.parametrize("side", [32, 128, 256])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_the_difference_to_pillow(width, height, side, kind):
    """At most 2 grey levels on average, also where a JPEG is decoded scaled."""
    file = io.BytesIO()
    photo(width, height, seed=width + side).save(file, kind, quality=90)
    got = decode(file.getvalue(), channels=3, background=(0, 0, 0), max_pixels=10**7, side=side)
    size = got.shape[1], got.shape[0]
    assert min(size) == side
    assert difference(got, Image.open(file), size) <= 2


@pytest.mark.parametrize("ratio", [1.2, 1.6, 2.0, 2.7, 3.9, 4.1, 7.5])
def test_grey_levels_stay(ratio):
    """No ratio makes a picture lighter, darker, or moves it."""
    picture = photo(900, 700, seed=3)
    size = round(900 / ratio), round(700 / ratio)
    got = shrink(picture, size)
    assert abs(got.mean() - np.asarray(picture).mean()) < 0.5
    moved = [difference(np.roll(got, step, axis=1), picture, size) for step in (-1, 0, 1)]
    assert moved[1] == min(moved)


def test_fine_stripes_become_grey():
    """No pattern is left of what is too fine."""
    stripes = np.zeros((900, 900), np.uint8)
    stripes[:, ::2] = 255
    got = shrink(Image.fromarray(stripes), (300, 300)).astype(int)
    assert np.abs(got[:, 3:-3] - 128).max() <= 4


def test_large_pictures_leave_pillow_whole():
    """Bands of rows, the last one shorter, hold the picture's own pixels."""
    from imgtrain.data.shrink import _pixels

    picture = photo(801, 700, seed=1)
    np.testing.assert_array_equal(_pixels(picture), np.asarray(picture))
    grey = picture.convert("L")
    np.testing.assert_array_equal(_pixels(grey).reshape(700, 801), np.asarray(grey))


TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@pytest.mark.parametrize("orientation", TURNS)
def test_turning(orientation):
    """As Pillow turns, for grey and colour."""
    picture = photo(31, 17, seed=0)
    for shown in (picture, picture.convert("L")):
        expected = np.asarray(shown.transpose(TURNS[orientation]))
        np.testing.assert_array_equal(turned(np.asarray(shown), orientation), expected)
