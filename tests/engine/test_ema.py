"""The moving average of the weights."""

import pytest
import torch
from small import checkpoints, small_state
from timm.utils import ModelEmaV3

from imgtrain.engine.checkpoint import load_tensors
from imgtrain.engine.ema import Ema, auto_decay
from imgtrain.engine.loop import fit


def _net():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(1, 3, 3), torch.nn.BatchNorm2d(3))


def _move(model):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1)
    model(torch.rand(4, 1, 5, 5))


def test_it_is_timms_once_warm():
    """With the decay reached from the start, every tensor is that of ModelEmaV3."""
    model = _net()
    ours, theirs = Ema(model, 0.05), ModelEmaV3(model, decay=0.05, use_warmup=False)
    for _ in range(5):
        _move(model)
        ours.update(model)
        theirs.update(model)

    for a, b in zip(
        ours.model.state_dict().values(), theirs.module.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(a, b)


def test_early_updates_follow_faster():
    """By hand: decays 1/10, 2/11, 3/12 until the decay itself is lower."""
    model = torch.nn.Linear(1, 1, bias=False)
    ema = Ema(model, 0.2)
    average = model.weight.item()
    for decay in (1 / 10, 2 / 11, 0.2, 0.2):
        with torch.no_grad():
            model.weight.add_(1.0)
        ema.update(model)
        average = decay * average + (1 - decay) * model.weight.item()
        assert ema.model.weight.item() == pytest.approx(average, rel=1e-6)
    assert ema.updates == 4


@pytest.mark.parametrize(
    ("steps", "decay"), [(10, 0.9), (2000, 0.99), (20_000, 0.999), (10**9, 0.9999)]
)
def test_the_horizon_is_a_twentieth_of_the_training(steps, decay):
    """Within bounds."""
    assert auto_decay(steps) == pytest.approx(decay)


def test_the_average_is_validated_and_kept_as_best(tmp_path):
    """``best.pt`` holds the average of its epoch; the raw weights go on learning."""
    settings = {"train": {"epochs": 3, "batch_size": 8, "ema": True}}
    kept = checkpoints(tmp_path / "c", every=1, keep=9)
    state = small_state(settings=settings, norm=True)
    list(fit(state, kept))
    best = load_tensors(kept.best)
    numbered = load_tensors(kept.folder / f"epoch_{best['epoch']:03d}.pt")

    for name, tensor in best["model"].items():
        assert torch.equal(tensor, numbered["ema"]["model"][name])
    assert any(not torch.equal(best["model"][n], t) for n, t in numbered["model"].items())


def test_shared_weights_are_averaged_once():
    """A layer used twice moves as far as any other; a buffer put in another's place is followed."""
    layer = torch.nn.Linear(2, 2, bias=False)
    model = torch.nn.Sequential(layer, layer)
    model.register_buffer("seen", torch.zeros(1))
    torch.nn.init.zeros_(layer.weight)
    ema = Ema(model, 0.9)
    torch.nn.init.ones_(layer.weight)
    model.seen = torch.ones(1)

    ema.update(model)  # the first decay is 1 / 10

    torch.testing.assert_close(ema.model[0].weight, torch.full((2, 2), 0.9))
    torch.testing.assert_close(ema.model.seen, torch.full((1,), 0.9))
