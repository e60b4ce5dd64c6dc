"""Random erasing: its boxes against torchvision's, its colour, its probability."""

import numpy as np
import pytest
import torch

from imgtrain.loading.policies.erasing import box, erased
from imgtrain.loading.preprocess import Preprocess
from imgtrain.loading.samplewise import training_view
from imgtrain.loading.sampling import draws
from imgtrain.settings.schema import AugmentSettings


def _rng(key=0):
    return np.random.Generator(np.random.Philox(key=key))


def test_boxes_have_the_distribution_of_torchvisions():
    """Areas, heights and places of 4,000 boxes: the same means and bounds."""
    from torchvision.transforms.v2 import RandomErasing

    torch.manual_seed(0)
    reference, picture = RandomErasing(p=1), [torch.zeros(3, 60, 90)]
    theirs = [reference.make_params(picture) for _ in range(4000)]
    expected = np.array([[p["i"], p["j"], p["h"], p["w"]] for p in theirs], float)
    rng = _rng()
    found = np.array([box(60, 90, rng) for _ in range(4000)], float)

    assert found.mean(axis=0) == pytest.approx(expected.mean(axis=0), rel=0.05)
    assert found.std(axis=0) == pytest.approx(expected.std(axis=0), rel=0.05)
    share = found[:, 2] * found[:, 3] / 5400
    assert share.min() >= 0.017
    assert share.max() <= 0.34


def test_the_box_is_zero_after_normalising():
    """The mean of the normalisation, per channel, to the nearest level; the rest is untouched."""
    mean = (0.485, 0.456, 0.406)
    white = np.full((40, 40, 3), 255, np.uint8)
    out = erased(white, _rng(1), mean)
    top, left, h, w = box(40, 40, _rng(1))
    inside = np.zeros((40, 40), bool)
    inside[top : top + h, left : left + w] = True

    assert (out[inside] == [124, 116, 104]).all()
    assert (out[~inside] == 255).all()
    assert (white == 255).all()


def test_where_no_box_fits_nothing_is_erased():
    """One pixel has no room for a smaller box."""
    one = np.full((1, 1, 3), 9, np.uint8)

    assert all((erased(one, _rng(key), (0.5,) * 3) == 9).all() for key in range(20))


@pytest.mark.parametrize("policy", ["none", "auto", "light"])
def test_the_asked_share_of_pictures_is_erased(policy):
    """A fifth of them, with any policy, last of all."""
    p = Preprocess.for_pictures(
        size=16,
        natural=False,
        channels=1,
        background="white",
        max_pixels=10**8,
        mean=(0.2,),
        std=(0.5,),
    )
    view = training_view(p, AugmentSettings(policy=policy, erase=0.2), natural=False)
    white = np.full((16, 16, 1), 255, np.uint8)
    hit = [(view(white, u) == 51).any() for u in draws(np.arange(1000), seed=0, epoch=1)]

    assert sum(hit) == pytest.approx(200, abs=40)
