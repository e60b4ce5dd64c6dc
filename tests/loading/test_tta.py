"""Views at test time."""

import tracemalloc

import numpy as np
import pytest

from imgtrain.errors import SettingsError
from imgtrain.loading.preprocess import Preprocess
from imgtrain.loading.samplewise import scoring_view
from imgtrain.loading.tta import check_views, views
from imgtrain.settings.schema import AugmentSettings

ROW = np.zeros(8)


def _preprocess(size, *, natural=True, channels=3):
    return Preprocess.for_pictures(
        size=size,
        natural=natural,
        channels=channels,
        background="white",
        max_pixels=10**8,
        mean=(0.5,) * channels,
        std=(0.5,) * channels,
    )


def _noisy(height, width, channels=3):
    return np.random.default_rng(3).integers(0, 256, (height, width, channels)).astype(np.uint8)


def _seen(preprocess, kind, pixels):
    return [view(pixels, ROW) for view in views(preprocess, kind)]


@pytest.mark.parametrize(("kind", "count"), [(None, 1), ("flip", 2), ("five", 5), ("ten", 10)])
@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (300, 7), (37, 41), (24, 60), (27, 27)])
@pytest.mark.parametrize("natural", [True, False])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_each_kind_has_its_views_and_the_centre_first(kind, count, shape, natural, channels):
    """Of any shape, the model's size; the first is the ordinary view, so off means one."""
    p, pixels = _preprocess(24, natural=natural, channels=channels), _noisy(*shape, channels)
    found = _seen(p, kind, pixels)

    assert [v.shape for v in found] == [(24, 24, channels)] * count
    assert np.array_equal(found[0], scoring_view(p)(pixels, ROW))


def test_five_crops_of_a_photo_are_its_centre_and_corners():
    """Of a stored picture whose shorter side is 8/7 of the model's: torchvision's five_crop."""
    import torch
    from torchvision.transforms.v2.functional import five_crop

    p, pixels = _preprocess(56), _noisy(64, 96)
    centre, *corners = _seen(p, "five", pixels)
    *expected, middle = five_crop(torch.from_numpy(pixels).permute(2, 0, 1), [56, 56])

    for found, crop in zip((*corners, centre), (*expected, middle), strict=True):
        assert np.array_equal(found, crop.permute(1, 2, 0).numpy())


def test_a_small_photo_is_enlarged_before_its_corners_are_cut():
    """The corner of the enlarged picture, as cut from the whole of it."""
    from imgtrain.loading.preprocess import resized

    p, pixels = _preprocess(56), _noisy(32, 40)
    whole = resized(pixels, 64, 80)
    _, *corners = _seen(p, "five", pixels)
    expected = [whole[:56, :56], whole[:56, -56:], whole[-56:, :56], whole[-56:, -56:]]

    for found, crop in zip(corners, expected, strict=True):
        assert np.abs(found.astype(int) - crop).mean() < 1.5


def test_small_pictures_are_moved_by_an_eighth():
    """Seen whole, there are no corners: windows up, down, left, right, the edge repeated."""
    p = _preprocess(8, natural=False, channels=1)
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8, 1)
    centre, up_left, *_, down_right = _seen(p, "five", pixels)

    assert np.array_equal(centre, pixels)
    assert np.array_equal(up_left[1:, 1:], pixels[:-1, :-1])
    assert np.array_equal(up_left[0, 1:], pixels[0, :-1])
    assert np.array_equal(down_right[:-1, :-1], pixels[1:, 1:])


@pytest.mark.parametrize(("kind", "plain"), [("flip", 1), ("ten", 5)])
def test_mirrored_views_mirror_the_plain_ones(kind, plain):
    """The second half is the first half, left and right exchanged."""
    found = _seen(_preprocess(24), kind, _noisy(30, 40))

    for one, other in zip(found[:plain], found[plain:], strict=True):
        assert np.array_equal(one[:, ::-1], other)


@pytest.mark.parametrize("kind", ["flip", "ten"])
def test_what_must_not_be_mirrored_is_not(kind):
    """Digits and letters: refused, with the way out."""
    with pytest.raises(SettingsError, match=f"--tta {kind}.*--no-flip") as error:
        check_views(AugmentSettings(tta=kind, flip=False))

    assert "--tta five" in error.value.hint
    check_views(AugmentSettings(tta=kind))
    check_views(AugmentSettings(tta="five", flip=False))


def test_a_long_thin_picture_does_not_explode():
    """Corners of 20,000 x 1 pixels: cut out before they are enlarged."""
    pixels = np.zeros((20_000, 1, 3), np.uint8)
    tracemalloc.start()
    found = _seen(_preprocess(224), "ten", pixels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert len(found) == 10
    assert peak < 20_000_000
