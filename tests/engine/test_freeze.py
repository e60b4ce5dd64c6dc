"""What is frozen stays, costs nothing, and thaws when it is due."""

import math

import pytest
import timm
import torch
from small import After, checkpoints, small_state
from test_processes import trained

from imgtrain.engine.freeze import check_freezing, forget_steps, make_freezing, stages_of
from imgtrain.engine.loop import fit
from imgtrain.engine.step import train_step
from imgtrain.errors import SettingsError
from imgtrain.events import EpochEnded
from imgtrain.settings.schema import ModelSettings, Settings

TIMES = {"seconds", "images_per_second"}


def _state(freeze, thaw=None, epochs=4, **sections):
    settings = {
        "train": {"epochs": epochs, "batch_size": 8, **sections.pop("train", {})},
        "model": {"freeze": freeze, "unfreeze_epochs": thaw},
    }
    return small_state(settings=settings | sections, staged=True)


def _weights(state):
    return {name: tensor.clone() for name, tensor in state.model.state_dict().items()}


def _moved(before, after):
    """First names of what differs: parameters and running means."""
    names = {n for n, t in before.items() if not torch.equal(t, after[n])}
    return {n.split(".")[0] for n in names}


@pytest.mark.parametrize(
    ("freeze", "moved"),
    [
        (1, {"s2", "neck", "head"}),
        (2, {"neck", "head"}),
        ("backbone", {"head"}),
    ],
)
def test_what_is_frozen_keeps_every_bit(tmp_path, freeze, moved):
    """Weights and running means stay, with weight decay and an average; the rest learns."""
    state = _state(freeze, train={"ema": True})
    before = _weights(state)
    list(fit(state, checkpoints(tmp_path / "c")))

    assert _moved(before, _weights(state)) == moved
    averaged = state.ema.model.state_dict()
    assert all(torch.equal(t, averaged[n]) for n, t in before.items() if _top(n) not in moved)


def _top(name):
    return name.split(".")[0]


def test_frozen_parts_have_no_gradient_and_no_place_in_the_optimizer():
    """Autograd stops at them, so they cost no backward; dropout in them is off."""
    state = _state(1)
    grouped = {id(p) for g in state.optimizer.param_groups for p in g["params"]}
    inputs = torch.randn(4, 1, 8, 8)
    state.model.train()
    state.freezing.begin(state.model, 1)
    seen = state.model.s1(state.model.stem(inputs))

    assert not seen.requires_grad
    assert torch.equal(seen, state.model.s1(state.model.stem(inputs)))
    assert state.model.s2.training
    for name, parameter in state.model.named_parameters():
        assert (id(parameter) in grouped) == (_top(name) not in {"stem", "s1"})


@pytest.mark.parametrize(
    ("freeze", "first"), [(2, [set(), {"s2"}, {"s1"}, {"stem"}]), ("backbone", None)]
)
def test_one_part_thaws_at_each_epoch_the_last_first(tmp_path, freeze, first):
    """By hand: which parts move for the first time in epochs 1 to 4."""
    state = _state(freeze, thaw=[2, 3, 4])
    always = {"head"} if freeze == "backbone" else {"neck", "head"}
    first = first or [set(), {"s2", "neck"}, {"s1"}, {"stem"}]
    before, moved, found = _weights(state), set(always), []
    for event in fit(state, checkpoints(tmp_path / "c")):
        if isinstance(event, EpochEnded):
            after = _weights(state)
            found.append(_moved(before, after) - moved)
            moved |= found[-1]
            assert _moved(before, after) == moved
            before = after

    assert found == first


@pytest.mark.parametrize(
    ("name", "moment"), [("adamw", 7), ("sgd", 9), ("lamb", 12), ("lion", 10), ("muon", 8)]
)
def test_stopped_amid_the_thaw_and_resumed_is_the_same_to_the_bit(tmp_path, name, moment):
    """Before, at and after the first thaw, with every optimizer."""

    def make():
        optim = {"name": name, "lr": 0.01, "weight_decay": 0.05}
        return _state(2, thaw=[2, 3], epochs=3, optim=optim)

    whole, first, second = make(), make(), make()
    list(fit(whole, checkpoints(tmp_path / "whole")))
    kept = checkpoints(tmp_path / "stopped")
    list(fit(first, kept, stopped=After(moment)))
    kept.restore(second)
    list(fit(second, kept))

    assert _moved(_weights(whole), _weights(second)) == set()
    for a, b in zip(whole.progress.history, second.progress.history, strict=True):
        assert {k: a[k] for k in a.keys() - TIMES} == {k: b[k] for k in b.keys() - TIMES}


@pytest.mark.parametrize("name", ["adamw", "sgd", "lamb", "lion", "muon"])
def test_what_thaws_starts_as_in_a_new_optimizer(tmp_path, name):
    """The first update of a thawed stage is that of an optimizer made at that moment."""
    optim = {"name": name, "lr": 0.01, "weight_decay": 0.05, "clip_norm": None}
    schedule = {"name": "constant", "warmup_epochs": 0}
    thawing, new = (_state(1, [2], 2, optim=optim, schedule=schedule) for _ in range(2))
    next(e for e in fit(thawing, checkpoints(tmp_path / "c")) if isinstance(e, EpochEnded))
    before = _weights(thawing)
    new.model.load_state_dict(before)
    new.progress.epoch = 2
    for state in (thawing, new):
        state.model.train()
        state.freezing.begin(state.model, 2)
        forget_steps(state.optimizer, 2)
        train_step(state, state.training_batches())

    after, fresh = _weights(thawing), _weights(new)
    for key in (name for name in before if _top(name) == "s1"):
        assert not torch.equal(before[key], after[key])
        assert torch.equal(after[key], fresh[key])


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("resnet18", "stem, 1 layer1, 2 layer2, 3 layer3, 4 layer4"),
        ("test_efficientnet", "stem, 1 blocks.0, 2 blocks.1, 3 blocks.2, 4 blocks.3, 5 blocks.4"),
        ("test_vit", "stem, " + ", ".join(f"{i + 1} blocks.{i}" for i in range(6))),
        ("test_convnext", "stem, " + ", ".join(f"{i + 1} stages.{i}" for i in range(4))),
    ],
)
def test_stages_are_timms(name, stages):
    """Convolutional nets have stages, transformers blocks; the classifier is in none."""
    with torch.device("meta"):
        model = timm.create_model(name)
    found = stages_of(model)
    head = {
        n for n, _ in model.named_parameters() if n.startswith(("fc.", "head.fc", "classifier"))
    }

    assert str(found) == stages
    assert not head & {*found.stem, *found.neck, *(n for s in found.stages for n in s)}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"freeze": 5}, "resnet18 has 4 stages .stem, 1 layer1, 2 layer2, 3 layer3, 4 layer4."),
        ({"freeze": "backbone", "unfreeze_epochs": [2, 3, 4, 5, 6, 7]}, "5 are frozen"),
    ],
)
def test_more_stages_than_there_are_are_refused(settings, words):
    """With a list of those that there are, and before there are weights."""
    with pytest.raises(SettingsError, match=words):
        check_freezing(ModelSettings.model_validate({"name": "resnet18", **settings}))


def test_a_network_without_stages_freezes_its_backbone_or_nothing():
    """A plain module of torch's knows neither stages nor a classifier."""
    for freeze, flag in ((1, "--freeze 1"), ("backbone", "--freeze backbone")):
        with pytest.raises(SettingsError, match=flag):
            make_freezing(torch.nn.Linear(2, 2), ModelSettings(freeze=freeze))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"unfreeze_epochs": [2]}, "add --freeze|--unfreeze-epochs 2 thaws what nothing froze"),
        ({"freeze": 2, "unfreeze_epochs": [3, 2]}, "--unfreeze-epochs 3,2"),
        ({"freeze": 2, "unfreeze_epochs": [2, 2]}, "--unfreeze-epochs 2,2"),
        ({"freeze": 2, "unfreeze_epochs": [1]}, "never frozen"),
        ({"freeze": 2, "unfreeze_epochs": [2, 31]}, "beyond the end, --epochs 30"),
        ({"freeze": 1, "unfreeze_epochs": [2, 3, 4]}, "thaws 3 parts, --freeze 1 freezes 2"),
    ],
)
def test_impossible_thaws_are_refused_by_the_settings(model, words):
    """Before any data is read, with the flag concerned."""
    with pytest.raises(SettingsError, match=words):
        Settings.model_validate({"model": model})


@pytest.mark.slow
def test_parts_thaw_in_several_processes():
    """Two processes learn what one does: gradients of what thaws are averaged, too.

    Every batch norm is frozen, or processes would differ by it.
    """
    settings = {"model": {"freeze": 2, "unfreeze_epochs": [3]}}
    sizes = {"effective": 6, "train": 31, "val": 20}
    alone, two = (trained(size, settings, **sizes) for size in (1, 2))

    for key in ("train_loss", "val_loss"):
        found = [[row[key] for row in run["history"]] for run in (alone, two)]
        assert found[0][:2] == pytest.approx(found[1][:2], abs=1e-5)
        assert all(math.isfinite(v) for v in found[1])
    own = small_state(staged=True).model.state_dict()
    moved = {n for n, t in own.items() if "weight" in n and two["weights"][n] != t.tolist()}
    assert {_top(n) for n in moved} == {"s2", "neck", "head"}
