"""Progressive sizes: which step sees which size, in the same bits whatever happens."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small import PREPROCESS, checkpoints, small_state

from imgtrain.engine.loop import fit
from imgtrain.engine.recipe import Recipe
from imgtrain.engine.shapes import at_step, switches
from imgtrain.engine.sizes import check_sizes
from imgtrain.errors import SettingsError
from imgtrain.loading.preprocess import Preprocess
from imgtrain.loading.samplewise import training_view
from imgtrain.settings.schema import AugmentSettings, Settings

SIZES = {"train": {"epochs": 3, "batch_size": 8, "image_sizes": "5:0.3,6:0.4,8:0.3"}}
"""Of 21 steps, 7 an epoch: 6, 9 (in the middle of both other epochs), 6."""


def _sides(state):
    found = []
    for epoch in range(1, state.plan.epochs + 1):
        state.progress.epoch = epoch
        found += [batch.pixels.shape[1] for batch in state.training_batches()]
    return found


def test_each_size_has_its_share_of_the_steps():
    """0.3, 0.4 and 0.3 of 21 steps are 6, 9 and 6, whatever the epochs' ends."""
    assert _sides(small_state(settings=SIZES)) == [5] * 6 + [6] * 9 + [8] * 6


@given(st.lists(st.floats(0.001, 1), min_size=1, max_size=5), st.integers(1, 500))
def test_shares_are_kept_to_a_step_and_the_last_size_is_seen(weights, steps):
    """Each value holds for its share, to a step; the last step has the last value."""
    shares = [(10 + k, weight / sum(weights)) for k, weight in enumerate(weights)]
    found = switches(shares, steps)
    values = [at_step(found, step) for step in range(steps)]

    assert values == sorted(values)
    assert values[-1] == shares[-1][0]
    for k, (value, _) in enumerate(shares[:-1], start=1):
        ends = sum(share for _, share in shares[:k]) * steps
        assert abs(sum(other <= value for other in values) - ends) <= 1


def test_pictures_of_a_step_are_those_of_a_plain_training_of_that_size():
    """The same stored pictures, order and random numbers as if all steps had that size."""
    small, plain = small_state(settings=SIZES), small_state()
    small.progress.epoch = plain.progress.epoch = 2
    plain.train_view = training_view(PREPROCESS.at(6), AugmentSettings(), natural=False)
    plain.loader.pictures.preprocess = PREPROCESS.at(6)
    store = small.loader.pictures.store
    for i in small.train.train.tolist():
        plain.loader.pictures.store.put(i, store.get(i) or small.loader.pictures.get(i))

    pairs = zip(small.training_batches(), plain.training_batches(), strict=True)
    assert all(torch.equal(a.pixels, b.pixels) for a, b in pairs)


@pytest.mark.parametrize("natural", [True, False])
@pytest.mark.parametrize("policy", ["none", "auto"])
def test_a_smaller_view_shows_the_same_part_of_the_picture(natural, policy):
    """From pictures stored for 96 pixels, the view at 48 is close to that of a training at 48."""
    rng = np.random.default_rng(2)
    coarse = rng.integers(0, 255, (5, 7, 3)).astype(np.uint8)
    stored = np.kron(coarse, np.ones((22, 22, 1), np.uint8))  # 110 x 154, side 110 = 96 * 8 / 7
    how = {"natural": natural, "channels": 3, "background": "white", "max_pixels": 10**6}
    large = Preprocess.for_pictures(size=96 if natural else 110, mean=(0,), std=(1,), **how)
    small = Preprocess.for_pictures(size=48 if natural else 55, mean=(0,), std=(1,), **how)
    augment = AugmentSettings(policy=policy, flip=False)
    halved = stored.reshape(55, 2, 77, 2, 3).mean((1, 3)).astype(np.uint8)
    u = np.full(8, 0.5)

    assert large.at(small.size) == small
    assert large.at(large.size) == large
    ours = training_view(large.at(small.size), augment, natural=natural)(stored, u)
    plain = training_view(small, augment, natural=natural)(halved, u)
    assert ours.shape == plain.shape
    assert np.abs(ours.astype(int) - plain).mean() < 6


@pytest.mark.parametrize("moment", [4, 13, 19, 26])
def test_killed_in_any_size_and_resumed_gives_the_same_bits(tmp_path, moment):
    """Sizes are a function of the step: batch norm, mixing and the average go on as they were."""
    varied = SIZES | {"augment": {"mixup_alpha": 0.3, "cutmix_alpha": 1.0}}
    varied["train"] = SIZES["train"] | {"ema": True}

    def make():
        return small_state(settings=varied, norm=True, dropout=0.2)

    asked = iter([False] * moment + [True] * 1000)
    kept, whole, second = checkpoints(tmp_path / "a"), make(), make()
    list(fit(make(), kept, stopped=lambda: next(asked)))
    kept.restore(second)
    rows = [event.row for event in fit(second, kept) if hasattr(event, "row")]
    list(fit(whole, checkpoints(tmp_path / "b")))

    assert rows[-1]["image_size"] == 8
    assert [row["image_size"] for row in second.progress.history] == [6, 6, 8]
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, second.model.state_dict()[name]), name


def test_sizes_that_contradict_themselves_or_the_scored_size_are_refused():
    """The last is the largest, and the one of --image-size."""
    with pytest.raises(ValueError, match="the last size must be the largest"):
        Settings.model_validate({"train": {"image_sizes": "128:0.5,96:0.5"}})
    with pytest.raises(SettingsError, match=r"--image-sizes .* ends at 96 .* --image-size 128"):
        Settings.model_validate({"train": {"image_sizes": "96:1"}, "data": {"image_size": 128}})


@pytest.mark.parametrize(
    ("name", "size", "words"),
    [("vit_tiny_patch16_224", 96, "one size only"), ("vgg11", 8, "cannot see 8 pixels")],
)
def test_networks_that_cannot_see_a_size_are_refused_before_training(name, size, words):
    """One size only, or too many poolings for so few pixels."""
    recipe = Recipe(
        architecture=name,
        classes=("a", "b"),
        stem="standard",
        drop_rate=0.0,
        drop_path=0.0,
        preprocess=Preprocess.for_pictures(
            size=224, natural=True, channels=3, background="white", max_pixels=10**6,
            mean=(0,) * 3, std=(1,) * 3,
        ),
    )  # fmt: skip
    with pytest.raises(SettingsError, match=words):
        check_sizes(recipe, (size, 224))
