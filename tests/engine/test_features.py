"""A frozen network's features: timm's own numbers, each computed once, and what trains on them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from frozen import (
    COUNT,
    Still,
    feature_loader,
    frozen_network,
    network_state,
    probe_state,
    recipe_of,
)
from small import PREPROCESS, After, Shapes, checkpoints, plan_cpu
from test_processes import trained as trained_by
from test_resume import _same, _stripped

from imgtrain.engine.features import example_for, width_of
from imgtrain.engine.loop import fit
from imgtrain.engine.model import build
from imgtrain.errors import RunError
from imgtrain.loading.feature_file import GOOD, UNKNOWN, OnDisk

TRIED = 4
"""Passes of striped pictures that try whether the features can be told from the classifier."""


def preprocess(**changes):
    return replace(PREPROCESS, **changes)


def pixels_of(source):
    """All pictures as the network sees them, by hand."""
    decoded = np.stack([PREPROCESS.decoded(source.read(i)) for i in range(len(source))])
    scaled = torch.from_numpy(decoded).permute(0, 3, 1, 2).float() / 255
    return (scaled - PREPROCESS.mean[0]) / PREPROCESS.std[0]


def test_features_are_what_timm_hands_to_its_classifier():
    """Row for row ``forward_head(forward_features(x), pre_logits=True)`` in evaluation mode."""
    frozen, _ = frozen_network()
    loader = feature_loader(frozen)
    assert loader.ready()
    network = frozen.network.eval()

    with torch.inference_mode():
        features = network.forward_features(pixels_of(frozen.loader.pictures.source))
        expected = network.forward_head(features, pre_logits=True)

    torch.testing.assert_close(torch.from_numpy(np.array(loader._known.rows)), expected)
    loader.close()


@pytest.mark.parametrize(
    ("architecture", "width"),
    [("test_vit", 64), ("test_convnext", 64), ("test_efficientnet", 256), ("test_mambaout", 256)],
)
def test_the_classifier_of_the_features_is_the_network(architecture, width):
    """Whatever the family puts between pooling and classifier; timm says how many features."""
    recipe = recipe_of(architecture, preprocess=preprocess(size=32))
    network = build(recipe)

    found = width_of(network, example_for(recipe, plan_cpu()))

    assert found == network.head_hidden_size == width


def test_a_network_whose_classifier_cannot_be_told_apart_is_recognised():
    """Two classifiers (distilled nets), or none of timm's functions: no features."""
    example = example_for(recipe_of(), plan_cpu())

    assert width_of(torch.nn.Flatten(), example) is None
    network = build(recipe_of())
    network.forward_head = lambda features, **_: features
    assert width_of(network, example) is None


def test_each_picture_goes_through_the_network_once():
    """A second run of the same network on the same files reads all from the cache."""
    first, seen = frozen_network()
    loader = feature_loader(first)
    loader.ready()
    rows = np.array(loader._known.rows)
    loader.close()
    again, seen_again = frozen_network()
    loader = feature_loader(again)
    loader.ready()

    assert sum(seen) == TRIED + COUNT
    assert sum(seen_again) == TRIED
    assert np.array_equal(loader._known.rows, rows)
    loader.close()


class Changed(Shapes):
    """The same files, one of them written anew."""

    def stamp(self, i):
        return 100, int(i == 5)


@pytest.mark.parametrize(
    "changes",
    [
        {"source": Changed(COUNT)},
        {"seed": 4},
        {"recipe": recipe_of(preprocess=preprocess(mean=(0.5,)))},
    ],
    ids=["a picture", "the weights", "the preprocessing"],
)
def test_what_features_depend_on_makes_them_others(changes):
    """A changed picture, other weights or another preprocessing find nothing in the cache."""
    first, _ = frozen_network()
    loader = feature_loader(first)
    loader.ready()
    loader.close()

    other, _ = frozen_network(**changes)
    loader = feature_loader(other)

    assert loader.frozen.name("shapes") != first.name("shapes")
    assert (loader._known.marks == UNKNOWN).all()
    loader.close()


def test_a_pass_that_was_cut_short_goes_on_to_the_same_bits():
    """Stopped after the first batch, the next process computes the second alone."""
    whole, _ = frozen_network()
    expected = feature_loader(whole, kind="ram")
    expected.ready()
    first, _ = frozen_network()
    loader = feature_loader(first)
    assert not loader.ready(lambda: True)
    loader.close()

    second, seen = frozen_network()
    loader = feature_loader(second)
    assert loader.ready()

    assert seen == [2, 2, COUNT - 64]
    assert np.array_equal(loader._known.rows, expected._known.rows)
    loader.close()


def test_unreadable_pictures_stay_known_as_such():
    """They have no features, and the reason is told again by a run that finds them in the cache."""
    for _ in range(2):
        frozen, _ = frozen_network(bad=frozenset({4, 60}))
        loader = feature_loader(frozen)
        loader.ready()
        assert set(np.flatnonzero(loader._known.marks != GOOD)) == {4, 60}
        assert set(loader.pictures.bad) == {4, 60}
        loader.close()


def trained(state, folder):
    list(fit(state, checkpoints(folder)))
    state.loader.close()
    return state


@pytest.mark.parametrize("bad", [frozenset(), frozenset({2, 60})])
def test_features_train_the_same_classifier_as_the_network(tmp_path, bad):
    """Cached or computed in every epoch: the same curve and weights to 1e-5."""
    probe, seen = probe_state(bad=bad)
    through = network_state(bad=bad)

    trained(probe, tmp_path / "a")
    trained(through, tmp_path / "b")

    assert sum(seen) == TRIED + COUNT
    for a, b in zip(probe.progress.history, through.progress.history, strict=True):
        for key in ("train_loss", "val_loss", "train_top1", "val_top1"):
            assert a[key] == pytest.approx(b[key], abs=1e-5)
    mine = probe.model.get_classifier().state_dict()
    theirs = through.model.network.get_classifier().state_dict()
    for name, tensor in mine.items():
        torch.testing.assert_close(tensor, theirs[name], atol=1e-5, rtol=0)


def test_the_whole_network_gives_the_scores_of_the_classifier(tmp_path):
    """What is saved is the full network, and its running means have not moved."""
    state, _ = probe_state()
    before = {k: v.clone() for k, v in state.loader.frozen.network.named_buffers()}
    trained(state, tmp_path)
    network = Still(state.loader.frozen.whole(state.model))

    with torch.inference_mode():
        expected = network(pixels_of(state.loader.pictures.source))
        rows = torch.from_numpy(np.array(state.loader._known.rows))
        found = state.model.eval()(rows)

    torch.testing.assert_close(found, expected)
    for name, tensor in network.network.named_buffers():
        assert torch.equal(tensor, before[name]), name


@pytest.mark.parametrize("moment", [5, 14])
def test_a_signal_at_any_moment_changes_nothing(tmp_path, moment):
    """Stopped and resumed, with dropout and an average: the bits of the uninterrupted probe."""
    settings = {"train": {"epochs": 3, "batch_size": 8, "ema": True}}
    kept = checkpoints(tmp_path / "stopped")
    first, _ = probe_state(settings, dropout=0.3)
    list(fit(first, kept, stopped=After(moment)))
    first.loader.close()
    second, _ = probe_state(settings, dropout=0.3)
    if kept.exist():
        kept.restore(second)
    trained(second, tmp_path / "stopped")
    whole, _ = probe_state(settings, dropout=0.3)

    _same(_stripped(second), _stripped(trained(whole, tmp_path / "whole")))


def test_a_checkpoint_holds_the_classifier_alone_and_knows_its_network(tmp_path):
    """A few kilobytes; features of other weights are refused instead of being misread."""
    kept = checkpoints(tmp_path)
    state, _ = probe_state()
    trained(state, tmp_path)
    other, _ = probe_state(seed=4)

    assert kept.last.stat().st_size < 30_000
    with pytest.raises(RunError, match="frozen weights are not those that it began with"):
        kept.restore(other)
    other.loader.close()


def test_a_file_that_was_cut_short_is_begun_anew(tmp_path):
    """Half a file is no file: nothing in it counts as known."""
    rows, marks = np.ones((3, 4), np.float32), np.full(3, GOOD, np.uint8)
    kept = OnDisk(tmp_path / "f", 3, 4, limit=10**6)
    kept.put(0, rows, marks)
    kept.close()
    whole = OnDisk(tmp_path / "f", 3, 4, limit=10**6)
    assert (whole.marks == GOOD).all()
    assert (whole.rows == 1).all()
    whole.close()
    with (tmp_path / "f/pixels.bin").open("r+b") as file:
        file.truncate(20)

    again = OnDisk(tmp_path / "f", 3, 4, limit=10**6)

    assert (again.marks == UNKNOWN).all()
    assert not again.rows.any()
    again.close()


def test_features_beyond_the_bound_stay_in_memory(capsys):
    """``--cache-gb`` holds for them, too; said once, and the training goes on."""
    frozen, _ = frozen_network()
    known = frozen.open("shapes", width=8, kind="disk", gigabytes=1e-6)

    assert not hasattr(known, "_file")
    assert "features stay in memory" in capsys.readouterr().err


@pytest.mark.slow
def test_two_processes_train_the_probe_of_one(tmp_path):
    """Each computes its share of the features, one finds them; the curves agree to 1e-5."""
    two = trained_by(2, {"probe": {}}, effective=8, train=50, val=21)
    settings = {"train": {"epochs": 3, "batch_size": 8}, "optim": {"lr": 0.02}}
    alone, seen = probe_state(settings, bad=frozenset({2, 51}))

    assert two["passes"] == [64 + TRIED, 7 + TRIED]
    one = trained(alone, tmp_path).progress.history
    assert sum(seen) == TRIED  # the rest was in the cache
    for a, b in zip(one, two["history"], strict=True):
        assert a["val_top1"] == b["val_top1"]
        assert a["train_loss"] == pytest.approx(b["train_loss"], abs=1e-5)
