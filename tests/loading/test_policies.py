"""Policies as data: tables against their papers' reference, and what every view keeps to."""

import contextlib
import random
import sys
import warnings
from collections import Counter

import numpy as np
import pytest
import torch
from small import Shapes

from imgtrain.engine.schedule import Batches
from imgtrain.errors import SettingsError
from imgtrain.loading.cache import Nowhere
from imgtrain.loading.loader import Loader, Pictures
from imgtrain.loading.policies import learnt
from imgtrain.loading.policies.catalog import MIRRORS
from imgtrain.loading.policies.tables import policy_tree
from imgtrain.loading.policies.tree import All, Blend, OneOf, Step, carry_out, step, steps_of
from imgtrain.loading.preprocess import Preprocess
from imgtrain.loading.samplewise import training_view
from imgtrain.loading.sampling import draws, training_shares
from imgtrain.settings.fields import Operation
from imgtrain.settings.schema import AugmentSettings

POLICIES = (
    "light",
    "medium",
    "heavy",
    "groups",
    "randaugment",
    "autoaugment",
    "trivial",
    "augmix",
)
LIBRARIES = ("torchvision", "albumentations")


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


def _view(size=24, *, natural=True, channels=3, **augment):
    p = _preprocess(size, natural=natural, channels=channels)
    return training_view(p, AugmentSettings(**augment), natural=natural)


def _noisy(height, width, channels=3):
    found = np.random.default_rng(3).integers(0, 256, (height, width, channels)).astype(np.uint8)
    found.setflags(write=False)
    return found


def _rng(key=0):
    return np.random.Generator(np.random.Philox(key=key))


# --- the papers' tables


@pytest.mark.parametrize(("name", "natural"), [("IMAGENET", True), ("CIFAR10", False)])
def test_autoaugment_is_the_papers_table(name, natural):
    """The 25 pairs, probabilities and strengths of torchvision's AutoAugment."""
    from torchvision.transforms.v2 import AutoAugment, AutoAugmentPolicy

    expected = AutoAugment(AutoAugmentPolicy[name])._policies

    assert list(getattr(learnt, name)) == expected
    assert len(learnt.autoaugment(32, natural=natural).parts) == 25


def _reference(space, bins, size):
    found = {}
    for name, (strengths, _) in space.items():
        values = strengths(bins, size, size)
        found[name] = [] if values is None else [float(v) for v in values]
    return found


@pytest.mark.parametrize("size", [8, 32, 224])
def test_strengths_are_torchvisions(size):
    """RandAugment's, AutoAugment's, TrivialAugmentWide's and AugMix's bins."""
    from torchvision.transforms import v2

    spaces = [
        (learnt.rand_space(31, size), v2.RandAugment._AUGMENTATION_SPACE, 31),
        (learnt.rand_space(10, size), v2.AutoAugment._AUGMENTATION_SPACE, 10),
        (learnt.wide_space(), v2.TrivialAugmentWide._AUGMENTATION_SPACE, 31),
        (learnt.blend_space(size), v2.AugMix._PARTIAL_AUGMENTATION_SPACE, 10),
    ]
    for ours, theirs, bins in spaces:
        expected = _reference(theirs, bins, size)
        assert ours.keys() == expected.keys() - {"Invert"} | (ours.keys() & {"Identity"})
        for name in ours.keys() & expected.keys():
            assert ours[name] == pytest.approx(expected[name], abs=1e-4), name


def test_only_what_torchvision_signs_is_signed():
    """Strengths of moves and factors go both ways, half of the time each."""
    from torchvision.transforms import v2

    for name, (_, signed) in v2.AutoAugment._AUGMENTATION_SPACE.items():
        whole = name.startswith(("Translate", "Posterize"))
        node = learnt.operation(name, 2 if whole else 0.25)
        assert isinstance(node, OneOf) == signed
        if signed:
            (plus,), (minus,) = ([*steps_of(part)] for part in node.parts)
            assert plus.name == minus.name
            assert plus.ranges[0] != minus.ranges[0]


def _counted(tree, times):
    """How often each operation is carried out."""
    seen = Counter()

    def perform(done, pixels, _):
        seen[done.name] += 1
        return pixels

    rng = _rng()
    for _ in range(times):
        carry_out(tree, _noisy(2, 2), rng, perform)
    return seen


def test_randaugment_draws_each_operation_alike():
    """Of 14 operations, 13 do something: each 2/14 of the time with two per picture."""
    seen = _counted(learnt.randaugment(2, 9, 32), 7000)

    assert len(seen) == 13
    assert min(seen.values()) > 880
    assert max(seen.values()) < 1120


def test_probabilities_and_choices_are_kept():
    """The p of a step, that of a choice, and equal shares within it."""
    tree = All((step("invert", p=0.25), OneOf((step("equalize"), step("autocontrast")), p=0.5)))
    seen = _counted(tree, 8000)

    assert seen["invert"] == pytest.approx(2000, abs=150)
    assert seen["equalize"] == pytest.approx(2000, abs=150)
    assert seen["autocontrast"] == pytest.approx(2000, abs=150)


def test_each_of_the_three_groups_takes_three_tenths():
    """Geometry, noise and colour, each on its own."""
    seen = _counted(policy_tree(AugmentSettings(policy="groups"), size=64, natural=True), 8000)
    spoilt = sum(seen[name] for name in ("noise", "blur", "motion_blur"))

    for count in (seen["affine"], spoilt, seen["colour_jitter"]):
        assert count == pytest.approx(2400, abs=160)


def test_blending_is_the_papers_sum():
    """Here all chains invert: m x picture + (1 - m) x its inverse."""
    pixels = _noisy(8, 8)
    for key in range(20):
        found = carry_out(
            Blend(Step("invert"), depth=(1, 1)), pixels, _rng(key), lambda _, p, __: 255 - p
        )
        m = _rng(key).beta(1, 1)
        expected = m * pixels.astype(float) + (1 - m) * (255 - pixels.astype(float))
        assert np.abs(found - expected).max() <= 0.51


# --- what every policy keeps to


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("channels", [1, 2, 3, 6])
def test_every_policy_gives_the_models_size(policy, library, channels):
    """Any number of channels, large and tiny, and a stored picture that must not be written to."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for size, natural in ((24, True), (4, False)):
            view = _view(
                size, natural=natural, channels=channels, policy=policy, library=library, erase=0.5
            )
            pixels = _noisy(size + 5, size + 2, channels)
            before = pixels.copy()
            for u in draws(np.arange(12), seed=0, epoch=1):
                found = view(pixels, u)
                assert found.shape == (size, size, channels)
                assert found.dtype == np.uint8
            assert np.array_equal(before, pixels)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("policy", POLICIES)
def test_a_view_is_a_function_of_its_row(policy, library):
    """Global generators neither matter nor move; another row gives another picture."""
    view, pixels = _view(policy=policy, library=library), _noisy(40, 40)
    rows = draws(np.arange(10), seed=1, epoch=1)
    first = [view(pixels, u).copy() for u in rows]
    random.seed(99)
    np.random.seed(99)  # noqa: NPY002  # the generator that must not be used
    torch.manual_seed(99)
    state = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002  # as above
    again = [_view(policy=policy, library=library)(pixels, u) for u in reversed(rows)]

    assert all(np.array_equal(a, b) for a, b in zip(first, reversed(again), strict=True))
    assert any(not np.array_equal(first[0], other) for other in first[1:])
    assert random.getstate() == state[0]
    assert np.array_equal(np.random.get_state()[1], state[1])  # noqa: NPY002  # as above
    assert torch.equal(torch.get_rng_state(), state[2])


@pytest.fixture
def _restless():
    """Threads take turns a thousand times as often as usual: what they share shows."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(usual / 1000)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("policy", ["medium", "heavy", "augmix"])
@pytest.mark.usefixtures("_restless")
def test_any_number_of_threads_gives_the_same_pictures(policy, library):
    """1, 2 and 8 loader threads: bit for bit."""
    source, p = Shapes(240), _preprocess(8, natural=False)
    view = _view(8, natural=False, policy=policy, library=library, erase=0.3)
    order = np.arange(240)
    found = []
    for threads in (1, 2, 8):
        pictures = Pictures(source, p, Nowhere(), on_bad="error")
        loader = Loader(pictures, source.labels, torch.device("cpu"), threads=threads)
        batches = Batches(micro=120, accumulation=1, world_size=1)
        shares = (
            share
            for step in training_shares(order, batches, steps=2, first_step=0, rank=0)
            for share in step
        )
        found.append(
            torch.cat([b.pixels.clone() for b in loader.batches(shares, view, seed=4, epoch=2)])
        )
        loader.close()

    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("natural", [True, False])
def test_no_flip_leaves_no_mirroring_operation(policy, natural):
    """Neither sideways nor upside down; with --flip, heavy does the latter."""
    never = policy_tree(AugmentSettings(policy=policy, flip=False), size=32, natural=natural)
    may = policy_tree(AugmentSettings(policy=policy), size=32, natural=natural)

    assert not {s.name for s in steps_of(never)} & MIRRORS
    assert {s.name for s in steps_of(may)} & MIRRORS == (
        {"vertical_flip"} if policy == "heavy" else set()
    )


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("policy", ["light", "medium", "groups"])
@pytest.mark.parametrize("flip", [True, False])
def test_no_flip_mirrors_no_picture(policy, library, flip):
    """Dark left and bright right stay so in every view; with --flip about half are turned."""
    pixels = np.zeros((32, 32, 3), np.uint8) + np.linspace(30, 220, 32)[:, None].astype(np.uint8)
    view = _view(32, natural=False, policy=policy, library=library, flip=flip)
    sides = [
        view(pixels, u)[:, :12].mean() > view(pixels, u)[:, 20:].mean()
        for u in draws(np.arange(120), seed=0, epoch=1)
    ]

    assert (40 <= sum(sides) <= 80) if flip else not any(sides)


def test_without_flip_pictures_go_on_by_their_edge():
    """A reflection would be a mirrored letter: a stroke near the edge appears once, not twice."""
    pixels = np.zeros((64, 64, 1), np.uint8)
    pixels[:, 3] = 255
    moved = Operation(name="affine", args={"shift_x": [0.2, 0.2], "shift_y": 0, "scale": 0})
    found = {}
    for flip in (True, False):
        augment = {"policy": "custom", "custom": (moved,), "flip": flip}
        view = _view(64, natural=False, channels=1, **augment)
        row = np.array([0, 0, 0.5, 0.5, 0.9, 0.9, 0.1, 0.1])
        found[flip] = int((view(pixels, row)[32, :, 0] > 128).sum())

    assert found == {True: 2, False: 1}


# --- custom


@pytest.mark.parametrize(
    ("library", "operation", "message"),
    [
        ("torchvision", {"name": "rotat"}, "did you mean 'rotate'"),
        ("torchvision", {"name": "Rotate"}, "torchvision does not have here"),
        ("torchvision", {"name": "rotate", "args": {"degree": 5}}, "did you mean 'degrees'"),
        ("torchvision", {"name": "rotate", "args": {"degrees": "5"}}, "is '5'"),
        ("torchvision", {"name": "rotate", "args": {"degrees": [9, 3]}}, "out of bounds"),
        ("torchvision", {"name": "affine"}, "does nothing without arguments"),
        ("torchvision", {"name": "noise", "args": {"std": 3}}, r"'std' of operation 'noise'"),
        ("albumentations", {"name": "RandomFogg"}, "did you mean 'RandomFog'"),
        ("albumentations", {"name": "Rotate", "args": {"limitt": 5}}, "'Rotate'.*limitt"),
        ("albumentations", {"name": "Rotate", "args": {"limit": "x"}}, "'Rotate' of augment.cust"),
        ("albumentations", {"name": "Posterize", "args": {"num_bits": 99}}, "'Posterize'"),
        ("albumentations", {"name": "Normalize"}, "of float32"),
        ("albumentations", {"name": "Compose"}, "'Compose'"),
        ("albumentations", {"name": "CenterCrop", "args": {"height": 99, "width": 99}}, "fails on"),
    ],
)
def test_custom_operations_are_checked_before_training(library, operation, message):
    """An unknown name or a wrong argument: an error that names the operation."""
    custom = (Operation(**operation),)
    with pytest.raises(SettingsError, match=message):
        _view(policy="custom", library=library, custom=custom)


@pytest.mark.parametrize(
    ("library", "name"),
    [
        ("torchvision", "horizontal_flip"),
        ("torchvision", "vertical_flip"),
        ("albumentations", "horizontal_flip"),
        ("albumentations", "HorizontalFlip"),
        ("albumentations", "D4"),
        ("albumentations", "Transpose"),
    ],
)
def test_custom_cannot_mirror_what_must_not_be(library, name):
    """--no-flip and a mirroring operation contradict each other."""
    custom = (Operation(name=name),)
    assert _view(policy="custom", library=library, custom=custom)
    with pytest.raises(SettingsError, match=f"'{name}'.*--no-flip"):
        _view(policy="custom", library=library, custom=custom, flip=False)


def _turns(transform, picture):
    """Whether any of some calls keeps the four corners but goes round them the other way."""
    for key in range(16):
        transform.set_random_seed(key)
        out = transform(image=picture)["image"]
        if out.shape[:2] != (16, 16):
            return False
        ring = [int(out[y, x].min()) for y, x in ((0, 0), (0, 15), (15, 15), (15, 0))]
        if sorted(ring) != [10, 90, 170, 250]:
            return False
        if ring[(ring.index(10) + 1) % 4] != 90:
            return True
    return False


@pytest.mark.filterwarnings("ignore")
def test_the_mirroring_transforms_of_albumentations_are_known():
    """Of all that need no arguments, no others turn the ring of four corners round."""
    from imgtrain.loading.policies import by_albumentations

    package = by_albumentations.library()
    corners = np.zeros((16, 16, 3), np.uint8)
    corners[:8, :8], corners[:8, 8:], corners[8:, 8:], corners[8:, :8] = 10, 90, 170, 250
    mirrors = set()
    for name in by_albumentations.own_names(package):
        with contextlib.suppress(Exception):  # some need more than a picture
            transform = getattr(package, name)(p=1)
            mirrors |= {name} if _turns(transform, corners) else set()

    shuffled = {"RandomGridShuffle"}  # moves whole cells, turns none
    assert mirrors - shuffled == by_albumentations.MIRRORS


def test_custom_operations_run_in_order_with_their_probabilities():
    """Invert, then a threshold at 0.5 that inverts the bright half back."""
    custom = (
        Operation(name="invert"),
        Operation(name="solarize", args={"threshold": 0.5}),
        Operation(name="posterize", args={"bits": 1}, p=0),
    )
    view = _view(24, policy="custom", custom=custom)
    plain, pixels = _view(24), _noisy(24, 24)
    for u in draws(np.arange(5), seed=0, epoch=1):
        turned = 255 - plain(pixels, u)
        assert np.array_equal(view(pixels, u), np.where(turned < 127.5, turned, 255 - turned))


def test_custom_operations_may_cut():
    """The view ends in the model's size all the same."""
    custom = (Operation(name="CenterCrop", args={"height": 10, "width": 12}),)
    view = _view(24, policy="custom", library="albumentations", custom=custom)

    assert view(_noisy(30, 30), np.full(8, 0.5)).shape == (24, 24, 3)
