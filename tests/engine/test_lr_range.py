"""The test of learning rates: on problems whose answer is known, and on curves drawn by hand."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from small import small_state

from imgtrain.engine.lr_curve import LrCurve, Running, rates_between
from imgtrain.engine.lr_range import constant_loss, range_test
from imgtrain.engine.step import train_step

PLAIN = {
    "optim": {"name": "sgd", "lr": 0.1, "momentum": 0.0, "weight_decay": 0.0, "clip_norm": None},
    "train": {"batch_size": 50},
    "augment": {"policy": "none"},
    "loss": {"label_smoothing": 0.0},
}


def curve_of(losses, *, low=1e-6, high=1.0, know_nothing=9.0):
    """A curve with these losses."""
    running, curve = Running(), LrCurve(know_nothing)
    for rate, loss in zip(rates_between(low, high, len(losses)), losses, strict=True):
        curve.add(rate, loss, running.add(loss))
    return curve


def test_rates_rise_in_equal_ratios_from_end_to_end():
    """Nine rates over eight powers of ten are the powers of ten."""
    assert rates_between(1e-7, 10, 9) == pytest.approx([10.0**k for k in range(-7, 2)])


def test_the_running_loss_is_torchs_average_without_bias():
    """Adam's first moment, divided by 1 - 0.9^t, over ten losses."""
    losses = np.random.default_rng(0).random(10)
    moment, expected = 0.0, []
    for t, loss in enumerate(losses.tolist(), start=1):
        moment = 0.9 * moment + 0.1 * loss
        expected.append(moment / (1 - 0.9**t))

    assert curve_of(losses.tolist()).running == pytest.approx(expected)


def test_on_a_quadratic_the_suggestion_is_below_the_rate_that_diverges():
    """Plain descent on least squares falls below 2 / L, L the Hessian's largest eigenvalue."""
    state = small_state(train=50, val=0, settings=PLAIN)
    batch = next(state.training_batches())
    flat = state.normalise(batch.pixels).flatten(1)
    state.model = state.net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3))
    state.optimizer.param_groups[0]["params"] = list(state.model.parameters())
    for group in state.optimizer.param_groups[1:]:
        group["params"] = []
    state.loss = lambda logits, targets: (
        0.5 * (logits - torch.nn.functional.one_hot(targets, 3)).square().sum(dim=1)
    )
    inputs = torch.cat([flat, torch.ones(len(flat), 1)], dim=1).double()
    edge = 2 / torch.linalg.eigvalsh(inputs.T @ inputs / len(inputs)).max().item()

    curve = range_test(state, rates_between(edge / 1e4, edge * 100, 120))

    valley = curve.valley
    assert curve.blew_up
    assert curve.rates[-1] > edge
    assert valley is not None
    assert edge / 100 < valley.rate < edge
    assert valley.begin < valley.rate < valley.lowest < 10 * edge  # it takes steps to blow up


def test_the_steps_are_those_of_training_at_the_rates_given():
    """Two epochs of a range whose ends are equal: the weights of an ordinary training."""
    constant = {"schedule": {"name": "constant", "warmup_epochs": 0}, "train": {"batch_size": 8}}
    tested, trained = (small_state(train=48, val=0, settings=constant) for _ in range(2))
    curve = range_test(tested, [0.02] * 12)
    losses = []
    for epoch in (1, 2):
        trained.progress.epoch, trained.progress.step = epoch, 0
        batches = trained.training_batches()
        for _ in range(6):
            trained.tally.clear()
            train_step(trained, batches)
            losses.append(trained.tally.read().loss)

    assert curve.losses == losses
    for a, b in zip(tested.model.parameters(), trained.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_test_repeats_to_the_bit():
    """Two states of equal settings give equal losses."""
    first, second = (
        range_test(small_state(train=48, val=0), rates_between(1e-6, 1, 30)) for _ in range(2)
    )
    assert first == second


def test_a_loss_that_blows_up_ends_the_test():
    """Four times the lowest running loss, or what is no number."""
    wild = {"optim": {"name": "sgd", "lr": 0.1, "clip_norm": None, "weight_decay": 0.0}}
    curve = range_test(small_state(settings=wild), rates_between(1e-4, 1e6, 60))

    assert curve.blew_up
    assert len(curve.rates) < 60
    assert not curve_of([2.0] * 30).blew_up
    assert curve_of([*[2.0] * 30, math.inf]).blew_up
    assert curve_of([*[1.0] * 30, 32.0]).blew_up  # the running loss is 4.2 or so


def test_what_knowing_nothing_costs():
    """Cross-entropy of the classes' shares is their entropy: 16, 16 and 16 pictures, ln 3."""
    plain = {"loss": {"label_smoothing": 0.0}}
    assert constant_loss(small_state(train=48, settings=plain)) == pytest.approx(math.log(3))


def test_the_suggestion_lies_a_third_of_the_way_into_the_valley():
    """Flat to 1e-4, a straight fall to 1e-2, and up again."""
    logs = np.linspace(-6, 0, 601)
    losses = np.interp(logs, [-6, -4, -2, 0], [3.0, 3.0, 1.0, 5.0])
    valley = curve_of(losses.tolist()).valley

    assert valley is not None
    assert valley.begin == pytest.approx(1e-4, rel=1.1)
    assert valley.lowest == pytest.approx(1e-2, rel=0.3)
    share = math.log(valley.rate / valley.begin) / math.log(valley.lowest / valley.begin)
    assert share == pytest.approx(1 / 3)


@pytest.mark.parametrize("seed", range(20))
def test_noise_has_no_minimum(seed):
    """Losses that only scatter around their mean suggest nothing."""
    losses = np.random.default_rng(seed).normal(2.3, 0.1, 100)
    assert curve_of(losses.tolist(), know_nothing=2.3).valley is None


def test_a_fall_to_what_knowing_nothing_costs_is_none():
    """An unsure start that falls to the entropy of the classes has learnt their shares alone."""
    rng = np.random.default_rng(1)
    losses = np.interp(range(100), [0, 40, 60, 99], [2.6, 2.6, 2.3, 2.3]) + rng.normal(0, 0.02, 100)

    assert curve_of(losses.tolist(), know_nothing=2.3).valley is None
    assert curve_of(losses.tolist(), know_nothing=2.6).valley is not None


def test_rates_that_are_all_too_low_suggest_nothing():
    """Nothing moves below 1e-7, whatever the pictures are."""
    assert range_test(small_state(), rates_between(1e-12, 1e-8, 40)).valley is None


def test_random_labels_suggest_nothing():
    """Each picture is seen once, and what its label is means nothing: the loss falls at no rate."""
    state = small_state(train=400, val=0, settings={"train": {"batch_size": 8}})
    shuffled = np.random.default_rng(2).permutation(400)
    state.loader.labels = state.loader.labels[shuffled]

    assert range_test(state, rates_between(1e-6, 1e-1, 50)).valley is None


def test_rates_never_fall():
    """The curve's rates rise from step to step."""
    curve = range_test(small_state(), rates_between(1e-6, 1, 25))
    assert all(a < b for a, b in pairwise(curve.rates))
    assert LrCurve.from_dict(curve.to_dict()) == curve
