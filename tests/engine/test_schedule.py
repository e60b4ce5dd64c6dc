"""Durations and learning rates."""

import pytest
import torch

from imgtrain.engine.plateau import Plateau
from imgtrain.engine.schedule import cut_batches, make_plan
from imgtrain.engine.state import Progress
from imgtrain.errors import SettingsError
from imgtrain.settings.schema import ScheduleSettings, Settings, TrainSettings


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


def test_step_is_torchs_step():
    """Drops every two epochs: torch.optim.lr_scheduler.StepLR, stepped once an epoch."""
    plan = _made(name="step", step_size=2, gamma=0.3, warmup_epochs=0)
    expected = _torch_rates(lambda o: torch.optim.lr_scheduler.StepLR(o, 2, gamma=0.3), 5)

    assert _by_epoch(plan) == pytest.approx(expected)


def test_multistep_is_torchs_multistep():
    """Drops after epochs 1 and 4: torch.optim.lr_scheduler.MultiStepLR."""
    plan = _made(name="multistep", milestones=(4, 1), gamma=0.5, warmup_epochs=0)
    expected = _torch_rates(lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [1, 4], gamma=0.5), 5)

    assert _by_epoch(plan) == pytest.approx(expected)


def test_drops_come_at_the_ends_of_epochs_whatever_the_warm_up():
    """A warm-up of an epoch and a half does not move the drop after the second epoch."""
    plan = _made(name="step", step_size=2, gamma=0.1, warmup_epochs=1.5)

    assert plan.lr_at(19) == pytest.approx(0.1)
    assert plan.lr_at(20) == pytest.approx(0.01)


@pytest.mark.parametrize("rise", [0.1, 0.3, 0.9])
def test_onecycle_is_torchs_onecycle(rise):
    """Rise and fall of torch.optim.lr_scheduler.OneCycleLR with its default divisors."""
    plan = _made(name="onecycle", pct_start=rise)
    expected = _torch_rates(
        lambda o: torch.optim.lr_scheduler.OneCycleLR(
            o, max_lr=0.1, total_steps=50, pct_start=rise, cycle_momentum=False
        ),
        50,
    )

    assert [plan.lr_at(s) for s in range(50)] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("lower", [True, False])
def test_plateau_is_torchs_reduce_on_plateau(lower):
    """The same factor after each of 60 noisy values."""
    progress = Progress()
    plateau = Plateau(gamma=0.5, patience=2, lower_is_better=lower)
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    reference = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, "min" if lower else "max", factor=0.5, patience=2
    )
    values = torch.rand(60, generator=torch.Generator().manual_seed(4)).tolist()
    for value in values:
        plateau.heard(progress, value)
        reference.step(value)
        assert progress.lr_factor == pytest.approx(optimizer.param_groups[0]["lr"])
    assert progress.lr_factor < 0.01


@pytest.mark.parametrize(
    ("given", "steps"),
    [
        ({"warmup_epochs": 0.5}, 5),
        ({"warmup_steps": 7}, 7),
        ({"warmup_fraction": 0.2}, 10),
        ({"warmup_steps": 0}, 0),
    ],
)
def test_a_warm_up_in_epochs_steps_or_a_fraction(given, steps):
    """Of 5 epochs with 10 steps each."""
    assert _made(**given).warmup_steps == steps


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"warmup_steps": 3, "warmup_fraction": 0.1}, "--warmup-steps and --warmup-fraction"),
        ({"name": "onecycle", "warmup_epochs": 2.0}, "onecycle brings its own warm-up"),
        ({"name": "multistep"}, "multistep needs --milestones"),
        ({"milestones": (3,)}, "--milestones belongs to --lr-scheduler multistep, not to cosine"),
    ],
)
def test_schedules_that_contradict_themselves_are_refused(given, says):
    """Each with the flags concerned."""
    with pytest.raises(SettingsError) as error:
        Settings.model_validate({"schedule": given})
    assert says in error.value.message


def _made(**given):
    settings = ScheduleSettings(**(given or {"warmup_epochs": 0}))
    return make_plan(settings, epochs=5, pictures=80, effective=8, peak_lr=0.1)


def _by_epoch(plan):
    rates = [plan.lr_at(step) for step in range(50)]
    assert all(len(set(rates[k : k + 10])) == 1 for k in range(0, 50, 10))
    return rates[::10]


def test_constant_is_torchs_constant():
    """torch.optim.lr_scheduler.ConstantLR with the factor 1."""
    expected = _torch_rates(lambda o: torch.optim.lr_scheduler.ConstantLR(o, factor=1.0), 50)

    assert [_plan("constant").lr_at(s) for s in range(50)] == pytest.approx(expected)


@pytest.mark.parametrize("floor", [0.0, 0.01])
def test_linear_to_a_floor_is_torchs_linear(floor):
    """From the peak to the floor: LinearLR from 1 to their ratio."""
    expected = _torch_rates(
        lambda o: torch.optim.lr_scheduler.LinearLR(o, 1.0, floor / 0.1, total_iters=50), 50
    )

    assert [_plan("linear", floor=floor).lr_at(s) for s in range(50)] == pytest.approx(expected)


@pytest.mark.parametrize("first", [0.0, 0.02])
def test_warm_up_and_cosine_are_torchs_one_after_the_other(first):
    """LinearLR, then CosineAnnealingLR; ours is a step ahead, so that no step has the rate 0."""
    settings = ScheduleSettings(name="cosine", warmup_steps=8, warmup_lr=first, min_lr=0.001)
    plan = make_plan(settings, epochs=5, pictures=80, effective=8, peak_lr=0.1)

    def torchs(optimizer):
        schedulers = torch.optim.lr_scheduler
        # torch refuses a factor of 0; a thousandth of a millionth is none
        rise = schedulers.LinearLR(optimizer, max(first / 0.1, 1e-9), 1.0, total_iters=8)
        fall = schedulers.CosineAnnealingLR(optimizer, 42, eta_min=0.001)
        return schedulers.SequentialLR(optimizer, [rise, fall], milestones=[8])

    expected = _torch_rates(torchs, 50)
    found = [plan.lr_at(s) for s in range(50)]
    assert found[:8] == pytest.approx(expected[1:9], abs=1e-8)
    assert found[8:] == pytest.approx(expected[8:], abs=1e-8)


def test_a_floor_holds_in_every_schedule_after_the_warm_up():
    """Drops, falls and plateaus end at --min-lr."""
    for given in (
        {"name": "step", "step_size": 1},
        {"name": "multistep", "milestones": (1, 2)},
        {"name": "onecycle"},
        {"name": "linear", "warmup_epochs": 0},
        {"name": "plateau", "warmup_epochs": 0},
    ):
        settings = ScheduleSettings(min_lr=0.02, **given)
        plan = make_plan(settings, epochs=5, pictures=80, effective=8, peak_lr=0.1)
        assert plan.lr_at(49, factor=0.01) == pytest.approx(0.02), given
