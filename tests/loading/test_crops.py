"""Crops of photos against Pillow's antialiased ones."""

import math

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from imgtrain.loading.policies.warps import mirrored
from imgtrain.loading.preprocess import resized
from imgtrain.loading.samplewise import random_resized_crop
from imgtrain.loading.sampling import draws


def _stored(side):
    """Two photos as they are stored: the shorter side shrunk to ``side``."""
    for pixels in load_sample_images().images:
        height, width = pixels.shape[:2]
        scale = side / min(height, width)
        yield resized(pixels, round(height * scale), round(width * scale))


def _box(shape, u, scale):
    """The crop's box, written out: left, top, right, bottom."""
    height, width = shape[:2]
    area = height * width * (scale + (1 - scale) * u[0])
    ratio = (3 / 4) ** (1 - 2 * u[1])
    w = min(width, round(math.sqrt(area * ratio)))
    h = min(height, round(math.sqrt(area / ratio)))
    top, left = int(u[2] * (height - h + 1)), int(u[3] * (width - w + 1))
    return left, top, left + w, top + h


@pytest.mark.parametrize(("side", "size"), [(256, 224), (256, 64), (256, 160), (128, 224)])
def test_random_crops_are_close_to_pillows_antialiased_ones(side, size):
    """Of photos, enlarged or shrunk: at most 2 grey levels on average."""
    apart = []
    for pixels in _stored(side):
        image = Image.fromarray(pixels)
        for u in draws(np.arange(40), seed=0, epoch=1):
            expected = image.resize(
                (size, size), Image.Resampling.BILINEAR, box=_box(pixels.shape, u, 0.35)
            )
            found = random_resized_crop(pixels, u, size=size, scale=0.35)
            apart.append(np.abs(found.astype(int) - np.asarray(expected)).mean())

    assert np.mean(apart) <= 2, (np.mean(apart), np.max(apart))


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 12])
def test_every_number_of_channels_is_cropped_and_mirrored_alike(channels):
    """Each channel as if it were alone."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, channels)).astype(np.uint8)
    for u in draws(np.arange(10), seed=0, epoch=1):
        found = random_resized_crop(pixels, u, size=24, scale=0.2)
        alone = [
            random_resized_crop(pixels[..., k : k + 1], u, size=24, scale=0.2)
            for k in range(channels)
        ]
        assert np.array_equal(found, np.concatenate(alone, axis=2))
        assert np.array_equal(mirrored(found), found[:, ::-1])
        assert np.array_equal(mirrored(found, upside_down=True), found[::-1])
