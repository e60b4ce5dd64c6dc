"""Which weights decay, and that updates are torch's."""

import copy
import math

import pytest
import timm
import torch

from imgtrain.engine.optim import (
    default_lr,
    default_weight_decay,
    make_optimizer,
    parameter_groups,
)
from imgtrain.settings.schema import OptimSettings


def small_net():
    torch.manual_seed(3)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3),
        torch.nn.GroupNorm(1, 4),
        torch.nn.Flatten(),
        torch.nn.LazyLinear(2),
    )


def names(model, group):
    known = {id(p): name for name, p in model.named_parameters()}
    return {known[id(p)] for p in group["params"]}


def test_norms_and_biases_do_not_decay():
    """A convolution, a norm and a linear layer, by hand."""
    model = small_net()
    model(torch.zeros(2, 3, 5, 5))
    decays, spared = parameter_groups(model, 0.05)

    assert (decays["weight_decay"], spared["weight_decay"]) == (0.05, 0.0)
    assert names(model, decays) == {"0.weight", "3.weight"}
    assert names(model, spared) == {"0.bias", "1.weight", "1.bias", "3.bias"}


def test_what_the_model_spares_does_not_decay():
    """A transformer names its own: positions and class token, which are no vectors."""
    model = timm.create_model("test_vit", num_classes=3)
    decays, spared = parameter_groups(model, 0.05)

    assert {"pos_embed", "cls_token"} <= names(model, spared)
    assert "blocks.0.attn.qkv.weight" in names(model, decays)
    assert "blocks.0.norm1.weight" in names(model, spared)


def test_every_trained_parameter_is_in_one_group():
    """None twice, none forgotten; frozen ones in none."""
    model = timm.create_model("test_resnet", num_classes=3)
    model.conv1.requires_grad_(requires_grad=False)
    found = [id(p) for group in parameter_groups(model, 0.05) for p in group["params"]]

    assert len(found) == len(set(found))
    assert set(found) == {id(p) for p in model.parameters() if p.requires_grad}


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("adamw", lambda groups: torch.optim.AdamW(groups, lr=0.01, betas=(0.8, 0.999))),
        ("sgd", lambda groups: torch.optim.SGD(groups, lr=0.01, momentum=0.8, nesterov=True)),
    ],
)
@pytest.mark.parametrize("fused", [True, False])
def test_updates_are_those_of_torch(name, reference, fused):
    """Three steps of AdamW and of Nesterov SGD against torch's own over hand-made groups."""
    model = small_net()
    model(torch.zeros(2, 3, 5, 5))
    other = copy.deepcopy(model)
    settings = OptimSettings(name=name, momentum=0.8)
    ours = make_optimizer(model, settings, lr=0.01, weight_decay=0.1, fused=fused)
    theirs = reference(
        [
            {"params": [other[0].weight, other[3].weight], "weight_decay": 0.1},
            {
                "params": [other[0].bias, other[1].weight, other[1].bias, other[3].bias],
                "weight_decay": 0.0,
            },
        ]
    )
    pictures = torch.rand(6, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    for _ in range(3):
        for net, optimizer in ((model, ours), (other, theirs)):
            optimizer.zero_grad()
            net(pictures).square().sum().backward()
            optimizer.step()

    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


def test_sgd_without_momentum_is_plain():
    """Nesterov needs a momentum; none is plain descent: w - lr * gradient."""
    weight = torch.nn.Linear(1, 1, bias=False)
    before = weight.weight.item()
    settings = OptimSettings(name="sgd", momentum=0.0)
    optimizer = make_optimizer(weight, settings, lr=0.5, weight_decay=0.0, fused=False)
    weight(torch.tensor([[2.0]])).sum().backward()
    optimizer.step()
    assert weight.weight.item() == pytest.approx(before - 0.5 * 2.0)


@pytest.mark.parametrize(
    ("name", "effective", "pretrained", "expected"),
    [
        ("adamw", 64, False, 1e-3),
        ("adamw", 256, False, 2e-3),
        ("adamw", 8, False, 1e-3 / math.sqrt(8)),
        ("adamw", 100_000, False, 4e-3),
        ("adamw", 64, True, 1e-4),
        ("sgd", 256, False, 0.1),
        ("sgd", 64, False, 0.025),
        ("sgd", 100_000, False, 0.8),
        ("sgd", 256, True, 0.01),
    ],
)
def test_the_rate_fits_optimizer_batch_and_start(name, effective, pretrained, expected):
    """Square root for AdamW, linear for SGD, both capped; a tenth for fine-tuning."""
    found = default_lr(name, effective=effective, pretrained=pretrained)
    assert found == pytest.approx(expected)


def test_decay_without_a_word_is_the_usual():
    """0.05 for AdamW, 0.0005 for SGD."""
    assert [default_weight_decay(name) for name in ("adamw", "sgd")] == [0.05, 5e-4]
