"""Crops, flips and sizes."""

import numpy as np
import pytest
from PIL import Image

from imgtrain.loading.preprocess import Preprocess, resized
from imgtrain.loading.samplewise import padded_crop, random_resized_crop, training_view
from imgtrain.loading.sampling import draws
from imgtrain.settings.schema import AugmentSettings


def _preprocess(size, *, natural, channels=3):
    return Preprocess.for_pictures(
        size=size,
        natural=natural,
        channels=channels,
        background="white",
        max_pixels=10**8,
        mean=(0.5,) * channels,
        std=(0.5,) * channels,
    )


def _photo(height, width, channels=3):
    small = np.random.default_rng(1).integers(0, 255, (5, 6, 3)).astype(np.uint8)
    picture = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(picture)[..., :channels].copy()


@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (300, 7), (7, 300), (37, 41), (64, 64)])
@pytest.mark.parametrize("natural", [True, False])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_view_of_every_shape_has_the_models_size(shape, natural, channels):
    """Tiny, thin, odd: training and scoring give (size, size, channels)."""
    p = _preprocess(24, natural=natural, channels=channels)
    pixels = _photo(*shape, channels)
    view = training_view(p, AugmentSettings(), natural=natural)

    assert p.centre(pixels).shape == (24, 24, channels)
    for u in draws(np.arange(30), seed=0, epoch=1):
        found = view(pixels, u)
        assert found.shape == (24, 24, channels)
        assert found.dtype == np.uint8


def test_the_crop_that_keeps_all_is_the_whole_picture():
    """Area 1, aspect 1, of a square: nothing is lost."""
    pixels = _photo(32, 32)
    found = random_resized_crop(pixels, np.array([1.0, 0.5, 0, 0, 0, 0, 0, 0]), size=32, scale=0.3)

    assert np.array_equal(found, pixels)


def test_crop_areas_are_uniform_between_scale_and_one():
    """Of 2,000 crops of a large square, area shares have the mean of U(0.35, 1)."""
    marks = np.zeros((200, 200, 1), np.uint8)
    shares = []
    numbers = draws(np.arange(2000), seed=0, epoch=1)
    numbers[:, 1] = 0.5
    for u in numbers:
        area = 0.35 + 0.65 * u[0]
        assert random_resized_crop(marks, u, size=8, scale=0.35).shape == (8, 8, 1)
        shares.append(area)

    assert np.mean(shares) == pytest.approx(0.675, abs=0.01)


def test_a_padded_crop_moves_by_at_most_the_margin_and_repeats_the_edge():
    """The middle draw moves nothing; the first moves the most."""
    pixels = np.arange(16, dtype=np.uint8).reshape(4, 4, 1)
    still = padded_crop(pixels, np.full(8, 0.5), margin=1)
    moved = padded_crop(pixels, np.zeros(8), margin=1)

    assert np.array_equal(still, pixels)
    assert moved[..., 0].tolist() == [[0, 0, 1, 2], [0, 0, 1, 2], [4, 4, 5, 6], [8, 8, 9, 10]]


@pytest.mark.parametrize("flip", [True, False])
def test_half_are_mirrored_unless_forbidden(flip):
    """--no-flip: never; else about half."""
    p = _preprocess(4, natural=False, channels=1)
    view = training_view(p, AugmentSettings(flip=flip, policy="auto"), natural=False)
    pixels = np.repeat(np.array([[0, 0, 200, 200]], np.uint8), 4, axis=0)[..., None]
    mirrored = [view(pixels, u)[0, 0, 0] > 100 for u in draws(np.arange(400), seed=0, epoch=1)]

    assert (sum(mirrored) in range(160, 240)) if flip else not any(mirrored)


def test_policy_none_shows_every_picture_as_it_is():
    """Training sees the scoring view."""
    p = _preprocess(8, natural=True)
    pixels = _photo(30, 20)
    view = training_view(p, AugmentSettings(policy="none"), natural=True)

    assert np.array_equal(view(pixels, np.zeros(8)), p.centre(pixels))


def test_shrinking_is_close_to_pillows_antialiased_result():
    """At most 2 grey levels on average, from 1.2 to 6 times."""
    pixels = _photo(240, 240)
    for size in (200, 120, 64, 40):
        expected = Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR)
        difference = np.abs(resized(pixels, size, size).astype(int) - np.asarray(expected))
        assert difference.mean() < 2


def test_a_long_thin_picture_does_not_explode():
    """20,000 x 1 pixels: the middle is cut out before it is enlarged, not after."""
    import tracemalloc

    p = _preprocess(224, natural=True)
    pixels = np.zeros((20_000, 1, 3), np.uint8)
    tracemalloc.start()
    found = p.centre(pixels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert found.shape == (224, 224, 3)
    assert peak < 20_000_000
