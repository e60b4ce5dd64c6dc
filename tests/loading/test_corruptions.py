"""Corrupted pictures: as strong as published, the same again, of any shape."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from imgtrain.loading.corruptions import KINDS, Corruption, all_corruptions


def photo(size=64, channels=3):
    """Something smooth with edges."""
    rng = np.random.default_rng(5)
    coarse = rng.integers(30, 226, (8, 8, channels)).astype(np.uint8)
    return coarse.repeat(size // 8, axis=0).repeat(size // 8, axis=1)


@pytest.mark.parametrize("kind", KINDS)
def test_every_severity_is_farther_away(kind):
    """The mean distance from the picture grows from step to step."""
    pixels = photo()
    away = [
        np.abs(Corruption(kind, severity)(pixels).astype(float) - pixels).mean()
        for severity in (1, 2, 3, 4, 5)
    ]

    assert away == sorted(away)
    assert away[0] > 0


@pytest.mark.parametrize("shape", [(4, 4, 3), (33, 33, 1), (16, 16, 5), (224, 224, 3)])
def test_shapes_stay(shape):
    """Grey, colour and planes of any size come back as uint8 of the same shape."""
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    for change in all_corruptions():
        found = change(pixels)
        assert found.shape == shape
        assert found.dtype == np.uint8


def test_published_strengths_hold_at_their_sizes():
    """CIFAR-C's at 32 pixels, ImageNet-C's at 224, between them at 85 half the way; blur grows."""
    noise, blur = KINDS["noise"], KINDS["blur"]

    assert [noise.strength(s, 32) for s in (1, 5)] == [0.04, 0.10]
    assert [noise.strength(s, 224) for s in (1, 5)] == pytest.approx([0.08, 0.38])
    assert noise.strength(5, 16) == 0.10
    assert noise.strength(5, 500) == 0.38
    assert noise.strength(1, round((32 * 224) ** 0.5)) == pytest.approx(0.06, abs=1e-3)
    assert blur.strength(5, 448) == 12
    assert blur.strength(5, 16) == 0.5


def test_noise_has_its_deviation_and_belongs_to_the_picture():
    """The same pixels and seed give the same noise, whoever asks and when; others, other noise."""
    grey = np.full((224, 224, 3), 128, np.uint8)
    noisy = Corruption("noise", 1)(grey)

    assert noisy.std() == pytest.approx(0.08 * 255, rel=0.02)
    np.testing.assert_array_equal(noisy, Corruption("noise", 1)(grey.copy()))
    assert (noisy != Corruption("noise", 1, seed=1)(grey)).mean() > 0.9
    other = grey.copy()
    other[0, 0] = 127
    assert (noisy != Corruption("noise", 1)(other)).mean() > 0.9


def test_blur_is_gaussian():
    """As scipy has it, but for what lies beyond the edge."""
    pixels = photo(224)
    wanted = gaussian_filter(pixels.astype(float), (2, 2, 0), truncate=4)

    found = Corruption("blur", 2)(pixels)

    assert np.abs(found[16:-16, 16:-16] - wanted[16:-16, 16:-16]).max() <= 1.5


def test_jpeg_is_a_file_of_that_quality():
    """As far from the picture as Pillow's file of quality 25 is, colours in their order."""
    pixels = np.asarray(Image.fromarray(photo(224)).resize((224, 224), Image.Resampling.BICUBIC))
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=25)
    theirs = np.asarray(Image.open(file)).astype(float)

    found = Corruption("jpeg", 1)(pixels).astype(float)

    assert np.abs(found - pixels).mean() == pytest.approx(np.abs(theirs - pixels).mean(), rel=0.15)


def test_contrast_and_brightness_by_hand():
    """Contrast keeps 0.4 of the distance from the mean; brightness adds to the largest channel."""
    pixels = np.zeros((224, 224, 3), np.uint8)
    pixels[:112] = (200, 100, 0)

    weak = Corruption("contrast", 1)(pixels)
    bright = Corruption("brightness", 1)(pixels)

    assert weak[0, 0].tolist() == [140, 70, 0]  # 100 + 0.4 x 100, 50 + 0.4 x 50
    assert weak[-1, 0].tolist() == [60, 30, 0]
    assert bright[0, 0].tolist() == [226, 113, 0]  # the value 200 + 25.5; hue and saturation stay
    assert bright[-1, 0].tolist() == [26, 26, 26]
