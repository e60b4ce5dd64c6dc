"""From stored pictures to what the model sees, for any number of channels."""

import cv2
import numpy as np
import pytest

from imgtrain.loading.preprocess import Preprocess, resized


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 8, 13, 64])
@pytest.mark.parametrize("size", [(20, 31), (33, 17), (90, 120)])
def test_every_channel_is_resized_alike(channels, size):
    """Any number of channels gives, channel by channel, what OpenCV gives for one."""
    rng = np.random.default_rng(channels)
    pixels = rng.integers(0, 256, (50, 60, channels), np.uint8)
    how = cv2.INTER_AREA if size[0] * size[1] < 50 * 60 else cv2.INTER_LINEAR
    got = resized(pixels, *size)
    assert got.shape == (*size, channels)
    for k in range(channels):
        one = np.ascontiguousarray(pixels[..., k])
        np.testing.assert_array_equal(got[..., k], cv2.resize(one, size[::-1], interpolation=how))


@pytest.mark.parametrize("channels", [5, 13])
@pytest.mark.parametrize("shape", [(8, 8), (40, 30), (5, 90)])
def test_the_centre_of_many_channels(channels, shape):
    """A square of the model's side, from smaller and larger pictures."""
    preprocess = Preprocess.for_pictures(
        size=16, natural=True, channels=channels, background="white", max_pixels=10**6,
        mean=(0.5,) * channels, std=(0.5,) * channels,
    )  # fmt: skip
    pixels = np.zeros((*shape, channels), np.uint8)
    pixels[..., -1] = 200
    got = preprocess.centre(pixels)
    assert got.shape == (16, 16, channels)
    assert (got[..., -1] == 200).all()
    assert not got[..., :-1].any()
