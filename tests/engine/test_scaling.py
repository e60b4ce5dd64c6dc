"""fp16: the scale of the loss, steps that overflow, going on from both (on the CPU, for real)."""

import pytest
import torch
from small import After, checkpoints, small_state

from imgtrain.engine.ema import Ema
from imgtrain.engine.loop import fit
from imgtrain.engine.scaling import LossScale
from imgtrain.engine.step import train_step
from imgtrain.engine.tally import Tally
from imgtrain.errors import DivergedError

CPU = torch.device("cpu")
FP16 = {"hardware": {"precision": "fp16"}}
OPTIM = {"lr": 0.02, "weight_decay": 0.05}
KNOWN = {"growth_factor": 2.0, "backoff_factor": 0.5, "_growth_tracker": 0}


def scaled_state(scale, *, growth_interval=2000, **more):
    """A training in fp16 whose loss is multiplied by ``scale`` at first."""
    settings = FP16 | {"optim": OPTIM | more.pop("optim", {})}
    settings |= {"train": more.pop("train", {"batch_size": 8})}
    state = small_state(settings=settings, **more)
    state.scale.load(KNOWN | {"scale": scale, "growth_interval": growth_interval})
    return state


def copied(state):
    return {name: t.clone() for name, t in state.model.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("name", ["sgd", "adamw", "lion"])
def test_a_step_that_overflows_is_left_out(name):
    """Weights, momentum and average stay to the bit; the scale halves; the schedule goes on."""
    state = scaled_state(2.0**60, optim={"name": name}, train={"ema": True, "batch_size": 8})
    before, average = copied(state), {k: v.clone() for k, v in state.ema.state()["model"].items()}
    train_step(state, state.training_batches())

    assert same(copied(state), before)
    assert same(state.ema.state()["model"], average)
    for kept in state.optimizer.state.values():
        for value in kept.values():
            assert torch.as_tensor(value).eq(0).all()
    assert state.scale.state()["scale"] == 2.0**59
    assert state.progress.step == 1
    assert state.tally.read().is_finite


def test_running_means_are_those_before_a_step_that_was_left_out():
    """A forward pass beyond fp16 leaves no infinity behind, nor in the average."""
    state = scaled_state(2.0**4, norm=True, train={"ema": True, "batch_size": 8})
    batches = state.training_batches()
    train_step(state, batches)
    before, average = copied(state), {k: v.clone() for k, v in state.ema.state()["model"].items()}
    assert before["1.running_mean"].ne(0).all()
    with torch.no_grad():
        state.model[0].weight.mul_(1e7)
    train_step(state, batches)
    with torch.no_grad():
        state.model[0].weight.copy_(before["0.weight"])

    for now, then in ((copied(state), before), (state.ema.state()["model"], average)):
        del now["1.num_batches_tracked"], then["1.num_batches_tracked"]
        assert same(now, then)


def test_the_size_of_the_scale_changes_no_gradient():
    """Clipping sees true gradients: two scales, the same weights (powers of two are exact)."""
    found = []
    for scale in (2.0**4, 2.0**9):
        state = scaled_state(scale, optim={"clip_norm": 0.1})
        batches = state.training_batches()
        for _ in range(4):
            train_step(state, batches)
        found.append(copied(state))
    for name, weight in found[0].items():
        torch.testing.assert_close(weight, found[1][name], rtol=1e-3, atol=1e-5)


def test_fp16_learns_what_fp32_learns(tmp_path):
    """Where nothing overflows, the losses stay close to each other."""
    half = scaled_state(2.0**10, train={"epochs": 3, "batch_size": 8})
    full = small_state(settings={"train": {"epochs": 3, "batch_size": 8}})
    for name, state in (("half", half), ("full", full)):
        list(fit(state, checkpoints(tmp_path / name)))
    ends = [state.progress.history[-1]["train_loss"] for state in (half, full)]

    assert half.scale.state()["scale"] == 2.0**10
    assert ends[0] == pytest.approx(ends[1], abs=0.02)


@pytest.mark.parametrize("moment", [1, 4, 9])
@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_stopped_and_resumed_in_fp16_the_bits_are_the_same(tmp_path, name, moment):
    """The scale and its count of good steps are part of the checkpoint."""
    more = {"optim": OPTIM | {"name": name}, "train": {"epochs": 2, "batch_size": 8}}
    whole = scaled_state(2.0**18, growth_interval=2, **more)
    list(fit(whole, checkpoints(tmp_path / "whole")))
    kept = checkpoints(tmp_path / "stopped")
    first = scaled_state(2.0**18, growth_interval=2, **more)
    list(fit(first, kept, stopped=After(moment)))
    second = small_state(settings=FP16 | more)
    kept.restore(second)
    list(fit(second, kept))

    assert second.scale.state() == whole.scale.state()
    assert same(copied(second), copied(whole))


def test_gradients_that_always_overflow_are_a_divergence(tmp_path):
    """Logits beyond fp16: step after step is left out until no scale is left."""
    state = scaled_state(2.0**-8, train={"epochs": 1, "batch_size": 8})
    with torch.no_grad():
        state.model[-1].bias.fill_(1e6)
    with pytest.raises(DivergedError, match="gradients overflow fp16") as error:
        list(fit(state, checkpoints(tmp_path / "x")))
    assert "bf16" in error.value.hint


def test_a_broken_loss_counts_unless_its_step_was_left_out():
    """Forgiven once per step, not for good."""
    tally = Tally(2, CPU)
    one, zero = torch.ones(()), torch.zeros(())

    def add(loss):
        logits, target = torch.zeros(1, 2), torch.zeros(1, dtype=torch.int64)
        tally.add(logits, target, torch.tensor([loss]), torch.ones(1, dtype=torch.bool))

    add(float("inf"))
    tally.forgive(one)
    add(1.0)
    tally.forgive(zero)
    assert tally.read().is_finite
    add(float("nan"))
    tally.forgive(zero)
    assert not tally.read().is_finite


def test_an_average_that_may_be_skipped_is_the_same_average():
    """As without fp16, where no step is left out."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(5, 5)
    plain, careful = Ema(layer, 0.9), Ema(layer, 0.9)
    for _ in range(5):
        with torch.no_grad():
            layer.weight.add_(torch.randn(5, 5))
        plain.update(layer)
        careful.update(layer, torch.zeros(()))
    torch.testing.assert_close(plain.model.weight, careful.model.weight)


def test_without_fp16_there_is_no_scale():
    """Nothing is multiplied, nothing is saved, and nobody is told of skipped steps."""
    layer = torch.nn.Linear(1, 1)
    scale = LossScale(torch.optim.SGD(layer.parameters(), lr=0.1), CPU, enabled=False)
    loss = torch.ones((), requires_grad=True)

    assert scale.scaled(loss) is loss
    assert scale.state() == {}
    assert not scale.is_spent()
    scale.unscale()
    assert scale.step() is None
