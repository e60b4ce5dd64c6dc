"""Operations, one by one, against the libraries' own functions."""

import contextlib
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

from imgtrain.loading.policies import by_albumentations, by_torchvision, learnt, warps
from imgtrain.loading.policies.draws import Draw
from imgtrain.loading.policies.tree import OneOf, Step, step, steps_of

REFLECT = cv2.BORDER_REFLECT_101


def _photo(size=64):
    return np.ascontiguousarray(load_sample_image("china.jpg")[100 : 100 + size, 200 : 200 + size])


def _rng(key=0):
    return np.random.Generator(np.random.Philox(key=key))


def _torchvision(done, pixels, key=0):
    return by_torchvision.performer(REFLECT)(done, pixels, _rng(key))


def _albumentations(done, pixels, key=0):
    return by_albumentations.performer(REFLECT)(done, pixels, _rng(key))


def _apart(a, b):
    return np.abs(a.astype(int) - b.astype(int))


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize(
    ("name", "strength"),
    [
        ("ShearX", 0.3),
        ("ShearY", 0.21),
        ("TranslateX", 9.7),
        ("TranslateY", 12.0),
        ("Rotate", 27.0),
        ("Brightness", 0.8),
        ("Color", 0.6),
        ("Contrast", 0.9),
        ("Sharpness", 0.7),
        ("Posterize", 5.0),
        ("Solarize", 0.4),
        ("AutoContrast", 0.0),
        ("Equalize", 0.0),
        ("Invert", 0.0),
        ("Identity", 0.0),
    ],
)
def test_operations_of_learnt_policies_are_torchvisions(name, strength, mode):
    """Bit for bit what its RandAugment does with the same strength, in colour and in grey."""
    from torchvision.transforms.v2 import InterpolationMode, RandAugment

    image = Image.fromarray(_photo()).convert(mode)
    pixels = np.asarray(image).reshape(64, 64, -1)
    reference = RandAugment(interpolation=InterpolationMode.BILINEAR, fill=128)
    node = learnt.operation(name, strength)
    signs = ((1, node.parts[0]), (-1, node.parts[1])) if isinstance(node, OneOf) else ((1, node),)
    for sign, part in signs:
        found = pixels
        for done in steps_of(part):
            found = _torchvision(done, found)
        expected = reference._apply_image_or_video_transform(
            image, name, sign * strength, reference.interpolation, reference._fill
        )
        assert np.array_equal(found, np.asarray(expected).reshape(found.shape))


def _functional():
    from torchvision.transforms.v2 import functional

    return functional


def test_a_filled_affine_is_torchvisions():
    """Turned counter-clockwise, as rotate turns; shifts are shares of the sides."""
    f = _functional()
    pixels = _photo()
    given = {"degrees": (20, 20), "shift_x": (0.1, 0.1), "shift_y": (-0.2, -0.2)}
    done = step("affine", {**given, "scale": (1.2, 1.2), "shear": (8, 8), "fill": 7.0})
    expected = f.affine(
        Image.fromarray(pixels),
        angle=-20.0,
        translate=[6, -13],
        scale=1.2,
        shear=[8.0, 0.0],
        interpolation=f.InterpolationMode.BILINEAR,
        fill=[7.0] * 3,
    )

    assert np.array_equal(_torchvision(done, pixels), np.asarray(expected))


@pytest.mark.parametrize(
    "done",
    [
        step("rotate", {"degrees": (25, 25)}),
        step("rotate", {"degrees": (-90, -90)}),
        step("affine", {"degrees": (30, 30), "shift_x": (0.2, 0.2), "scale": (0.8, 0.8)}),
        step("affine", {"shift_x": (-0.5, -0.5), "shift_y": (0.5, 0.5), "shear": (20, 20)}),
        step("affine", {"scale": (0.25, 0.25), "degrees": (45, 45), "shift_x": (0.3, 0.3)}),
    ],
)
def test_a_picture_goes_on_beyond_its_edge(done):
    """Without fill: where the filled one has the picture, the same; nowhere black."""
    pixels = np.maximum(_photo(), 40)
    filled = Step(done.name, (*done.ranges, ("fill", 0.0, 0.0)))
    whole = _torchvision(filled, np.full_like(pixels, 255)).min(axis=2)
    inside = cv2.erode(whole, np.ones((3, 3), np.uint8)) == 255
    found, expected = _torchvision(done, pixels), _torchvision(filled, pixels)

    assert 0.02 < inside.mean() < 1.0 or done.ranges[0][1] == -90
    assert _apart(found, expected)[inside].max() <= 1
    assert found.min() >= 39


def test_perspective_leaves_nothing_empty():
    """The four points become the corners: torchvision's perspective, without any fill."""
    f = _functional()
    pixels = np.maximum(_photo(), 40)
    done = step("perspective", {"scale": (0.1, 0.1)})
    d = 6.3
    points = [[d, d], [63 - d, d], [63 - d, 63 - d], [d, 63 - d]]
    corners = [[0, 0], [63, 0], [63, 63], [0, 63]]
    expected = f.perspective(
        Image.fromarray(pixels), points, corners, interpolation=f.InterpolationMode.BILINEAR
    )

    assert np.array_equal(_torchvision(done, pixels), np.asarray(expected))
    assert _torchvision(done, pixels).min() >= 39


@pytest.mark.parametrize(
    ("argument", "value", "name"),
    [
        ("brightness", 1.3, "adjust_brightness"),
        ("contrast", 0.7, "adjust_contrast"),
        ("saturation", 1.4, "adjust_saturation"),
        ("hue", 0.1, "adjust_hue"),
    ],
)
def test_jitter_is_torchvisions(argument, value, name):
    """One amount at a time, the others neutral."""
    neutral = {"brightness": (1, 1), "contrast": (1, 1), "saturation": (1, 1), "hue": (0, 0)}
    done = step("colour_jitter", {**neutral, argument: (value, value)})
    expected = getattr(_functional(), name)(Image.fromarray(_photo()), value)

    assert np.array_equal(_torchvision(done, _photo()), np.asarray(expected))


def test_jitter_comes_in_every_order():
    """Contrast before and after brightness give different pictures; both occur."""
    given = {"brightness": (1.5, 1.5), "contrast": (0.5, 0.5), "saturation": (1, 1), "hue": (0, 0)}
    done = step("colour_jitter", given)

    assert len({_torchvision(done, _photo(), key).tobytes() for key in range(12)}) == 2


@pytest.mark.parametrize("sigma", [0.4, 1.0, 2.0])
def test_blur_is_torchvisions(sigma):
    """Within one level of gaussian_blur with the same kernel."""
    side = warps.blur_side(sigma)
    image = torch.from_numpy(_photo()).permute(2, 0, 1)
    expected = _functional().gaussian_blur(image, [side, side], [sigma, sigma])
    found = warps.blur(_photo(), Draw({"sigma": (sigma, sigma)}, _rng()))

    assert _apart(found, expected.permute(1, 2, 0).numpy()).max() <= 1


def test_elastic_is_torchvisions():
    """The same field of moves through torchvision's elastic: the same picture inside."""
    f = _functional()
    alpha, sigma = 60.0, 4.0
    found = warps.elastic(_photo(), Draw({"alpha": (alpha,) * 2, "sigma": (sigma,) * 2}, _rng(5)))
    moves = torch.from_numpy(_rng(5).random((2, 64, 64), np.float32) * 2 - 1)
    smooth = f.gaussian_blur(moves[:, None], [33, 33], [sigma, sigma])[:, 0] * alpha / 64
    image = torch.from_numpy(_photo()).permute(2, 0, 1)
    expected = f.elastic(image, smooth.permute(1, 2, 0)[None]).permute(1, 2, 0).numpy()

    inside = (slice(6, -6), slice(6, -6))
    assert _apart(found, _photo()).mean() > 3
    assert _apart(found, expected)[inside].mean() < 0.5


def test_sharpness_is_pils():
    """Within one level, but for the frame of one pixel that PIL leaves alone."""
    for factor in (0.1, 1.0, 1.9):
        done = step("sharpness", {"factor": (factor, factor)})
        found, expected = _albumentations(done, _photo()), _torchvision(done, _photo())
        assert _apart(found, expected)[1:-1, 1:-1].max() <= 2
        assert _apart(found, expected)[1:-1, 1:-1].mean() < 0.6


def _package():
    return by_albumentations.library()


def test_a_lens_is_albumentations():
    """OpticalDistortion with the same coefficient, bit for bit."""
    for k in (-0.4, 0.3):
        transform = _package().OpticalDistortion(distort_limit=(k, k), border_mode=REFLECT, p=1)
        found = warps.optical_distortion(_photo(), Draw({"limit": (k, k)}, _rng()))
        assert np.array_equal(found, transform(image=_photo())["image"])


@pytest.mark.parametrize("length", [3, 5, 9])
@pytest.mark.parametrize("degrees", [0.0, 30.0, 90.0, 135.0])
def test_a_motion_kernel_is_albumentations(length, degrees):
    """The same line, its sum one."""
    import random

    from albumentations.augmentations.blur.functional import create_motion_kernel

    expected = create_motion_kernel(length, degrees, 0, False, random.Random(0))
    np.testing.assert_allclose(
        warps.motion_kernel(length, degrees), expected / expected.sum(), atol=1e-6
    )


def test_a_grid_keeps_the_frame_and_equal_cells_change_nothing():
    """The corners stay; without distortion every pixel stays."""
    still = warps.grid_distortion(_photo(), Draw({"limit": (0.0, 0.0)}, _rng()))
    bent = warps.grid_distortion(_photo(), Draw({"limit": (-0.5, 0.5)}, _rng()))

    assert np.array_equal(still, _photo())
    assert _apart(bent, _photo()).mean() > 5
    assert np.array_equal(
        bent[[0, 0, -1, -1], [0, -1, 0, -1]], _photo()[[0, 0, -1, -1], [0, -1, 0, -1]]
    )


def test_noise_has_the_asked_spread():
    """Standard deviation as a share of 255, mean nearly unchanged."""
    grey = np.full((200, 200, 3), 128, np.uint8)
    found = warps.noise(grey, Draw({"std": (0.05, 0.05)}, _rng())).astype(float)

    assert found.std() == pytest.approx(12.75, rel=0.02)
    assert found.mean() == pytest.approx(128, abs=0.2)


def test_dropout_covers_what_was_asked():
    """Three holes of a fifth of the side, in grey; the rest untouched."""
    ranges = {"holes": (3, 3), "size": (0.2, 0.2), "fill": (128, 128)}
    white = np.full((100, 100, 3), 255, np.uint8)
    for key in range(10):
        found = warps.coarse_dropout(white, Draw(ranges, _rng(key)))
        assert set(np.unique(found)) == {128, 255}
        assert 400 <= (found[..., 0] == 128).sum() <= 1200


@pytest.mark.parametrize(
    ("done", "make"),
    [
        (
            step("rotate", {"degrees": (10, 10)}),
            lambda a: a.Rotate(limit=(10, 10), border_mode=REFLECT, p=1),
        ),
        (
            step("rotate", {"degrees": (30, 30), "fill": 128}),
            lambda a: a.Rotate(limit=(30, 30), fill=128, p=1),
        ),
        (
            step("translate_x", {"pixels": (9, 9)}),
            lambda a: a.Affine(translate_px={"x": (9, 9), "y": (0, 0)}, fill=128, p=1),
        ),
        (
            step("affine", {"degrees": (9, 9), "shift_x": 0, "shift_y": 0, "scale": (1.1, 1.1)}),
            lambda a: a.Affine(rotate=(9, 9), scale=(1.1, 1.1), border_mode=REFLECT, p=1),
        ),
        (
            step("contrast", {"factor": (1.4, 1.4)}),
            lambda a: a.ColorJitter(
                brightness=(1, 1), contrast=(1.4, 1.4), saturation=(1, 1), hue=(0, 0), p=1
            ),
        ),
        (step("posterize", {"bits": 3}), lambda a: a.Posterize(num_bits=3, p=1)),
        (
            step("solarize", {"threshold": 0.6}),
            lambda a: a.Solarize(threshold_range=(0.6, 0.6), p=1),
        ),
        (step("equalize"), lambda a: a.Equalize(p=1)),
        (step("autocontrast"), lambda a: a.AutoContrast(method="pil", p=1)),
        (step("invert"), lambda a: a.InvertImg(p=1)),
        (step("horizontal_flip"), lambda a: a.HorizontalFlip(p=1)),
        (
            step("optical_distortion", {"limit": (0.3, 0.3)}),
            lambda a: a.OpticalDistortion(distort_limit=(0.3, 0.3), border_mode=REFLECT, p=1),
        ),
    ],
)
def test_albumentations_carries_out_the_same_arguments(done, make):
    """A step of a fixed strength is its transform of that strength, bit for bit."""
    found = _albumentations(done, _photo())

    assert not np.array_equal(found, _photo())
    assert np.array_equal(found, make(_package())(image=_photo())["image"])


@pytest.mark.parametrize(
    ("done", "mean"),
    [
        (step("rotate", {"degrees": (15, 15)}), 2.0),
        (step("affine", {"degrees": (15, 15), "shift_x": (0.125, 0.125), "shift_y": 0}), 2.0),
        (step("translate_y", {"pixels": (9, 9)}), 0.01),
        (step("brightness", {"factor": (1.3, 1.3)}), 1.0),
        (step("contrast", {"factor": (0.6, 0.6)}), 1.0),
        (step("saturation", {"factor": (1.5, 1.5)}), 1.0),
        (step("hue", {"turn": (0.05, 0.05)}), 4.0),
        (step("posterize", {"bits": 3}), 0.01),
        (step("solarize", {"threshold": 0.6}), 0.01),
        (step("autocontrast"), 1.0),
        (step("invert"), 0.01),
    ],
)
def test_the_libraries_agree(done, mean):
    """The same step by both: at most so many levels apart on average (hue steps are coarse)."""
    assert _apart(_albumentations(done, _photo()), _torchvision(done, _photo())).mean() < mean


@pytest.mark.parametrize("perform", [_torchvision, _albumentations])
@pytest.mark.parametrize(
    "done",
    [
        step("rotate", {"degrees": (12, 12)}),
        step("affine", {"degrees": (5, 5), "shift_x": (0.1, 0.1), "shift_y": 0}),
        step("brightness", {"factor": (1.2, 1.2)}),
        step("contrast", {"factor": (1.2, 1.2)}),
        step("equalize"),
        step("optical_distortion", {"limit": (0.3, 0.3)}),
        step("motion_blur", {"length": (5, 5), "angle": (30, 30)}),
    ],
)
def test_other_channels_are_grey_pictures_with_the_same_arguments(done, perform):
    """Six channels: each is what it would be alone."""
    pixels = np.concatenate([_photo(), _photo()[::-1]], axis=2)
    alone = [perform(done, np.ascontiguousarray(pixels[..., k : k + 1])) for k in range(6)]

    most = 3 if done.name == "optical_distortion" else 0  # OpenCV rounds by number of channels
    assert _apart(perform(done, pixels), np.concatenate(alone, axis=2)).max() <= most


OFFLINE = """
import sys
def audit(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.bind"):
        print("SOCKET", event, args)
sys.addaudithook(audit)
import warnings
warnings.simplefilter("error")
import numpy as np
from imgtrain.loading.preprocess import Preprocess
from imgtrain.loading.samplewise import training_view
from imgtrain.settings.schema import AugmentSettings
p = Preprocess.for_pictures(size=16, natural=True, channels=3, background="white",
                            max_pixels=10**6, mean=(0.5,) * 3, std=(0.5,) * 3)
view = training_view(p, AugmentSettings(policy="heavy", library="albumentations"), natural=True)
print(view(np.zeros((20, 20, 3), np.uint8), np.full(8, 0.5)).shape, "torchvision" in sys.modules)
"""


@pytest.mark.slow
def test_albumentations_asks_nobody_and_warns_nobody():
    """Imported anew in a process of its own: no socket, no warning, no torchvision."""
    ended = subprocess.run([sys.executable, "-c", OFFLINE], capture_output=True, text=True)

    assert (ended.stdout, ended.stderr) == ("(16, 16, 3) False\n", "")


LIGHT = """
import sys
from imgtrain.loading.preprocess import Preprocess
from imgtrain.loading.samplewise import training_view
from imgtrain.settings.schema import AugmentSettings
p = Preprocess.for_pictures(size=16, natural=True, channels=3, background="white",
                            max_pixels=10**6, mean=(0.5,) * 3, std=(0.5,) * 3)
training_view(p, AugmentSettings(erase=0.5), natural=True)
print({"torch", "torchvision", "albumentations"} & set(sys.modules))
"""


def test_crop_flip_and_erasing_import_no_library():
    """Libraries that take seconds are imported by the policies that need them."""
    ended = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True)

    assert (ended.stdout, ended.stderr) == ("set()\n", "")


@pytest.mark.filterwarnings("ignore")
def test_every_transform_of_albumentations_is_a_function_of_its_row():
    """Those that need no arguments, after other calls and in a fresh instance: the same picture."""
    alike = {}
    for name in by_albumentations.own_names(_package()):
        done = Step(name, own={})
        perform = by_albumentations.performer(REFLECT)
        with contextlib.suppress(Exception):  # some need more than a picture
            first = perform(done, _photo(48), _rng(1))
            for key in (5, 6):
                perform(done, _photo(48), _rng(key))
            again = perform(done, _photo(48), _rng(1))
            other = _albumentations(done, _photo(48), 1)
            alike[name] = np.array_equal(first, again) and np.array_equal(first, other)

    assert len(alike) >= 80
    assert [name for name, same in alike.items() if not same] == []
