"""Durations and learning rates."""

import pytest
import torch

from imgtrain.engine.schedule import cut_batches, make_plan
from imgtrain.errors import SettingsError
from imgtrain.settings.schema import ScheduleSettings, TrainSettings


def _plan(name, *, warmup=0.0, epochs=5, pictures=80, effective=8, peak=0.1, floor=0.0):
    settings = ScheduleSettings(name=name, warmup_epochs=warmup, min_lr=floor)
    return make_plan(settings, epochs=epochs, pictures=pictures, effective=effective, peak_lr=peak)


def _torch_rates(make, steps):
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    scheduler = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize("floor", [0.0, 0.003])
def test_cosine_is_torchs_cosine(floor):
    """The cosine without warm-up is torch.optim.lr_scheduler.CosineAnnealingLR."""
    plan = _plan("cosine", floor=floor)
    expected = _torch_rates(
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 50, eta_min=floor), 50
    )

    assert [plan.lr_at(s) for s in range(50)] == pytest.approx(expected, abs=1e-9)


def test_linear_is_torchs_linear():
    """The straight decay is torch.optim.lr_scheduler.LinearLR from 1 to 0."""
    plan = _plan("linear")
    expected = _torch_rates(
        lambda o: torch.optim.lr_scheduler.LinearLR(o, 1.0, 0.0, total_iters=50), 50
    )

    assert [plan.lr_at(s) for s in range(50)] == pytest.approx(expected, abs=1e-9)


def test_warm_up_rises_linearly_and_then_the_decay_begins_at_the_peak():
    """One epoch of 10 steps: a tenth, two tenths, ... of the peak; then the peak."""
    plan = _plan("cosine", warmup=1.0)

    assert [plan.lr_at(s) for s in range(10)] == pytest.approx([0.01 * k for k in range(1, 11)])
    assert plan.lr_at(10) == pytest.approx(0.1)
    assert plan.lr_at(49) < 0.001


def test_constant_stays():
    """After the warm-up nothing changes."""
    plan = _plan("constant", warmup=1.0)

    assert {plan.lr_at(s) for s in range(9, 50)} == {0.1}


@pytest.mark.parametrize(
    ("pictures", "effective", "steps"),
    [(80, 8, 10), (81, 8, 10), (82, 8, 11), (3, 8, 1), (2, 1, 2)],
)
def test_steps_in_an_epoch(pictures, effective, steps):
    """A last step of one picture is left out; one of two is not."""
    assert _plan("cosine", pictures=pictures, effective=effective).steps_per_epoch == steps


@pytest.mark.parametrize(
    ("train", "world_size", "expected"),
    [
        ({"batch_size": 64}, 1, (64, 1)),
        ({"batch_size": 32, "accumulation_steps": 4}, 1, (32, 4)),
        ({"batch_size": 32, "global_batch_size": 128}, 2, (32, 2)),
        ({"batch_size": 64, "global_batch_size": 32}, 2, (16, 1)),
        ({"batch_size": 16, "accumulation_steps": 80}, 1, (16, 63)),
        ({"batch_size": 2000}, 3, (334, 1)),
    ],
)
def test_effective_batch(train, world_size, expected):
    """Effective = batch x accumulation x processes; the global batch fixes it."""
    cut = cut_batches(TrainSettings(**train), world_size=world_size, pictures=1000)

    assert (cut.micro, cut.accumulation) == expected


def test_a_global_batch_that_cannot_be_cut_is_refused():
    """The message names both numbers."""
    with pytest.raises(SettingsError, match=r"--global-batch-size 100 .*--batch-size 64"):
        cut_batches(
            TrainSettings(batch_size=64, global_batch_size=100), world_size=1, pictures=1000
        )


def test_a_floor_above_the_peak_is_refused():
    """A learning rate that would rise at the end is a mistake."""
    with pytest.raises(SettingsError, match="--min-lr"):
        _plan("cosine", floor=1.0)


def test_a_warm_up_is_taken_as_it_is_or_refused():
    """5 of 6 epochs warm up when asked to; 6 of 6 leave nothing; the default yields."""
    assert _plan("cosine", warmup=5.0, epochs=6).warmup_steps == 50
    with pytest.raises(SettingsError, match="--warmup-epochs 6 leaves nothing of 6 epochs"):
        _plan("cosine", warmup=6.0, epochs=6)
    assert _plan("cosine", warmup=1.0, epochs=1).warmup_steps == 5
