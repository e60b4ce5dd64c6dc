"""Which weights decay, and that updates are torch's."""

import copy
import inspect
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
from imgtrain.errors import SettingsError
from imgtrain.resolve import decide_lr
from imgtrain.settings.schema import OptimSettings, Settings


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


def test_muon_leaves_a_transformers_stem_to_adamw():
    """The first matrix is that of the patches; positions and class token go aside anyway."""
    model = timm.create_model("test_vit", num_classes=3)
    aside = {
        name
        for group in parameter_groups(model, 0.05, aside=True)
        for name in names(model, group)
        if group["use_fallback"]
    }
    assert {"patch_embed.proj.weight", "head.weight", "cls_token", "pos_embed"} <= aside
    assert "blocks.0.attn.qkv.weight" not in aside


def test_both_heads_of_a_distilled_transformer_are_the_classifier():
    """Timm gives a pair of layers; each learns faster by the factor."""
    model = timm.create_model("deit_tiny_distilled_patch16_224", num_classes=3)
    faster = {
        name
        for group in parameter_groups(model, 0.05, head_factor=5.0)
        for name in names(model, group)
        if group["lr_scale"] == 5
    }
    assert faster == {"head.weight", "head.bias", "head_dist.weight", "head_dist.bias"}


def test_layer_decay_is_refused_where_the_layers_are_not_known():
    """A few of timm's families do not tell theirs."""
    with pytest.raises(SettingsError) as error:
        parameter_groups(timm.create_model("pit_ti_224", num_classes=3), 0.05, layer_decay=0.8)
    assert "--layer-decay: timm does not tell the layers" in error.value.message


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
        ("adam", lambda groups: torch.optim.Adam(groups, lr=0.01, betas=(0.8, 0.999))),
        (
            "lamb",
            lambda groups: timm.optim.Lamb(
                groups, lr=0.01, betas=(0.8, 0.999), max_grad_norm=None, decoupled_decay=True
            ),
        ),
        ("lion", lambda groups: timm.optim.Lion(groups, lr=0.01, betas=(0.8, 0.99))),
    ],
)
@pytest.mark.parametrize("fused", [True, False])
def test_updates_are_those_of_torch(name, reference, fused):
    """Three steps of each against torch's or timm's own over hand-made groups."""
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
        ("adamw", 64, False, 2e-3),
        ("adamw", 256, False, 4e-3),
        ("adamw", 8, False, 2e-3 / math.sqrt(8)),
        ("adamw", 100_000, False, 8e-3),
        ("adamw", 64, True, 5e-4),
        ("adam", 64, False, 2e-3),
        ("lamb", 64, False, 1e-2),
        ("lion", 64, False, 4e-4),
        ("muon", 64, False, 5e-3),
        ("muon", 256, False, 1e-2),
        ("sgd", 256, False, 0.2),
        ("sgd", 64, False, 0.05),
        ("sgd", 100_000, False, 0.8),
        ("sgd", 256, True, 0.05),
    ],
)
def test_the_rate_fits_optimizer_batch_and_start(name, effective, pretrained, expected):
    """Linear for SGD, square root for the others, all capped; a quarter for fine-tuning."""
    found = default_lr(name, effective=effective, pretrained=pretrained)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "lamb", "lion", "muon"])
def test_an_optimizer_is_fused_where_it_can_be(name):
    """Torch's three are; timm's know no fused kind: where one learns it, this fails."""
    optimizer = make_optimizer(
        torch.nn.Linear(2, 2), OptimSettings(name=name), lr=0.1, weight_decay=0.0, fused=True
    )
    can = "fused" in inspect.signature(type(optimizer).__init__).parameters
    assert can == (name in {"sgd", "adam", "adamw"})
    assert optimizer.defaults.get("fused", False) == can


def test_decay_without_a_word_is_the_usual():
    """0.05 for AdamW, 0.0005 for SGD, ten times AdamW's for Lion."""
    assert [default_weight_decay(n) for n in ("adamw", "sgd", "lion")] == [0.05, 5e-4, 0.5]


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_layer_decay_is_timms(name):
    """Every parameter's scale is that of timm's own groups."""
    model = timm.create_model(name, num_classes=3)
    theirs = timm.optim.param_groups_layer_decay(model, layer_decay=0.7)
    wanted = {id(p): group["lr_scale"] for group in theirs for p in group["params"]}
    ours = parameter_groups(model, 0.05, layer_decay=0.7)

    assert {id(p): group["lr_scale"] for group in ours for p in group["params"]} == wanted
    assert len({group["lr_scale"] for group in ours}) > 3


def test_the_classifier_may_learn_faster():
    """Ten times for the two tensors of the head, and nothing else."""
    model = timm.create_model("test_resnet", num_classes=3)
    groups = parameter_groups(model, 0.05, head_factor=10.0)
    fast = {name for g in groups if g["lr_scale"] == 10 for name in names(model, g)}

    assert fast == {"fc.weight", "fc.bias"}


def test_muon_turns_matrices_alone():
    """Stem, classifier and vectors are AdamW's; a step moves all that has a gradient."""
    model = timm.create_model("test_resnet", num_classes=3)
    before = copy.deepcopy(model.state_dict())
    optimizer = make_optimizer(
        model, OptimSettings(name="muon"), lr=0.01, weight_decay=0.05, fused=False
    )
    aside = {n for g in optimizer.param_groups if g["use_fallback"] for n in names(model, g)}
    model(torch.rand(4, 3, 32, 32)).square().sum().backward()
    optimizer.step()

    assert aside == {
        "conv1.0.weight" if "conv1.0.weight" in before else "conv1.weight",
        "fc.weight",
        "fc.bias",
    }
    for name, parameter in model.named_parameters():
        if parameter.grad.any():
            assert not torch.equal(parameter, before[name]), name


@pytest.mark.parametrize(
    ("model", "rate"),
    [
        ({"pretrained": False}, 2e-3),
        ({"pretrained": True}, 5e-4),
        ({"pretrained": True, "freeze": "backbone"}, 2e-3),
        ({"pretrained": False, "weights": "run"}, 2e-3),
    ],
)
def test_the_rate_fits_what_learns(model, rate):
    """Downloaded weights learn slowly; what is new, and weights of one's own, at the full rate."""
    settings = decide_lr(Settings.model_validate({"model": model}), effective=64)

    assert settings.optim.lr == rate
