"""Interrupted anywhere and resumed: the same bits as uninterrupted."""

import pytest
import torch
from small import After, checkpoints, small_state

from imgtrain.engine.loop import fit
from imgtrain.errors import DivergedError
from imgtrain.events import EpochEnded, RunEnded, RunStarted

TIMES = {"seconds", "images_per_second"}


def _stripped(state):
    rows = [{k: v for k, v in row.items() if k not in TIMES} for row in state.progress.history]
    averaged = {} if state.ema is None else state.ema.model.state_dict()
    weights = {**state.model.state_dict(), **{f"ema.{k}": v for k, v in averaged.items()}}
    return rows, {k: v.clone() for k, v in weights.items()}


def _same(a, b):
    assert a[0] == b[0]
    for name in a[1]:
        assert torch.equal(a[1][name], b[1][name]), name


VARIED = {
    "augment": {"mixup_alpha": 0.3, "cutmix_alpha": 1.0, "mix_prob": 0.7},
    "balance": {"strategy": "oversample"},
    "train": {"epochs": 3, "batch_size": 4, "accumulation_steps": 2},
}
"""Everything that is drawn in the course of an epoch."""


def _make(settings=None):
    return small_state(settings=settings, norm=True, dropout=0.3)


def _whole(folder, settings=None):
    state = _make(settings)
    list(fit(state, checkpoints(folder)))
    return _stripped(state)


@pytest.mark.parametrize("moment", range(0, 27, 2))
def test_a_signal_at_any_moment_changes_nothing(tmp_path, moment):
    """Stopped at any question, in training or validation, and resumed: the same bits."""
    kept = checkpoints(tmp_path / "stopped")
    first = _make()
    events = list(fit(first, kept, stopped=After(moment)))

    second = _make()
    if kept.exist():
        kept.restore(second)
    again = list(fit(second, kept))

    assert isinstance(events[-1], RunEnded)
    assert isinstance(again[0], RunStarted)
    assert again[-1].reason == "finished"
    _same(_stripped(second), _whole(tmp_path / "whole"))


@pytest.mark.parametrize("moment", [3, 8, 14, 20])
def test_a_signal_changes_nothing_in_what_is_mixed_and_oversampled(tmp_path, moment):
    """Partners, boxes and repeated pictures are functions of seed, epoch and step."""
    kept = checkpoints(tmp_path / "stopped")
    list(fit(_make(VARIED), kept, stopped=After(moment)))
    second = _make(VARIED)
    kept.restore(second)
    list(fit(second, kept))

    _same(_stripped(second), _whole(tmp_path / "whole", VARIED))


@pytest.mark.parametrize("name", ["lamb", "lion", "muon"])
def test_a_signal_changes_nothing_with_any_optimizer_and_plateau(tmp_path, name):
    """Timm's optimizers, the plateau schedule and the moving average are in the checkpoint."""
    settings = {
        "optim": {"name": name, "lr": 0.01, "weight_decay": 0.05},
        "schedule": {"name": "plateau", "plateau_patience": 0, "gamma": 0.5},
        "train": {"epochs": 4, "batch_size": 8, "ema": True},
    }
    kept = checkpoints(tmp_path / "stopped")
    list(fit(_make(settings), kept, stopped=After(14)))
    second = _make(settings)
    kept.restore(second)
    list(fit(second, kept))

    _same(_stripped(second), _whole(tmp_path / "whole", settings))


def test_saving_inside_an_epoch_changes_nothing(tmp_path):
    """A checkpoint at every step is no event for the numbers, and each can be gone on from."""
    kept = checkpoints(tmp_path / "a")
    state = _make()
    seen = []
    for event in fit(state, kept, checkpoint_seconds=0.0):
        seen.append(event)
        if isinstance(event, EpochEnded) and event.epoch == 2:
            break
    other = _make()
    kept.restore(other)
    list(fit(other, kept))

    _same(_stripped(other), _whole(tmp_path / "whole"))


def test_when_the_screen_says_epoch_two_epoch_two_is_on_disk(tmp_path):
    """An EpochEnded is told after its checkpoint is written."""
    kept = checkpoints(tmp_path)
    for event in fit(_make(), kept):
        if isinstance(event, EpochEnded):
            other = _make()
            kept.restore(other)
            assert other.progress.history[-1]["epoch"] == event.epoch


def test_best_and_patience_outlive_an_interruption(tmp_path):
    """After a resume a worse epoch does not become the best, and patience goes on counting."""
    kept = checkpoints(tmp_path)
    first = _make()
    for event in fit(first, kept):
        if isinstance(event, EpochEnded):
            break
    second = _make()
    kept.restore(second)

    assert second.progress.best_value == first.progress.best_value
    assert second.progress.best_epoch == 1


def test_patience_ends_the_run(tmp_path):
    """With a learning rate that changes nothing, the first epoch stays the best."""
    state = small_state(
        settings={
            "train": {"epochs": 9, "batch_size": 8, "patience": 2, "monitor": "val_top1"},
            "optim": {"lr": 1e-30, "weight_decay": 0.0},
        }
    )
    *_, end = fit(state, checkpoints(tmp_path))

    assert (end.reason, end.epoch, end.best_epoch) == ("patience", 3, 1)


def test_more_epochs_derive_the_schedule_anew(tmp_path):
    """A finished training of 3 epochs given 5 goes on at the rate that 5 epochs have there."""
    kept = checkpoints(tmp_path)
    list(fit(_make(), kept))
    longer = small_state(settings={"train": {"epochs": 5, "batch_size": 8}}, norm=True, dropout=0.3)
    kept.restore(longer)
    longer.progress.reason = None
    list(fit(longer, kept))
    rates = [row["lr"] for row in longer.progress.history]

    assert len(rates) == 5
    assert rates[3] == longer.plan.lr_at(4 * longer.plan.steps_per_epoch - 1)


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_last_good_state(tmp_path):
    """DivergedError names the epoch and the rate; nothing broken is written."""
    kept = checkpoints(tmp_path)
    state = small_state(
        settings={
            "train": {"epochs": 3, "batch_size": 8},
            "optim": {"lr": 1e30, "weight_decay": 0.0, "name": "sgd", "clip_norm": None},
            "schedule": {"warmup_epochs": 0},
        }
    )
    with pytest.raises(DivergedError, match=r"epoch 1 .*learning rate [0-9.]+e[+]29"):
        list(fit(state, kept))
    assert not kept.exist()


def test_without_a_validation_part_the_last_weights_count(tmp_path):
    """No best value, no validation numbers, and the last epoch is the best."""
    state = small_state(val=0)
    *_, end = fit(state, checkpoints(tmp_path))

    assert (end.reason, end.best_epoch, end.best_value) == ("finished", 3, None)
    assert {row["val_loss"] for row in state.progress.history} == {None}


def test_unreadable_pictures_are_remembered(tmp_path):
    """What an earlier process could not read is still known, with its reason."""
    kept = checkpoints(tmp_path)
    first = small_state(bad=frozenset({3}))
    list(fit(first, kept))
    second = small_state(bad=frozenset({3}))
    kept.restore(second)

    assert second.loader.pictures.bad == first.loader.pictures.bad
    assert set(second.loader.pictures.bad) == {3}


@pytest.mark.parametrize(
    ("monitor", "target", "reason"),
    [("val_top1", 0.0, "target"), ("val_top1", 1.1, "finished"), ("val_loss", 99.0, "target")],
)
def test_training_ends_once_the_target_is_reached(tmp_path, monitor, target, reason):
    """At least as good: as high for a score, as low for a loss; said as the reason."""
    settings = {
        "train": {"epochs": 3, "batch_size": 8, "monitor": monitor, "target_metric": target}
    }
    state = small_state(settings=settings)
    *_, end = fit(state, checkpoints(tmp_path / "c"))

    assert end.reason == reason
    assert end.epoch == (1 if reason == "target" else 3)
