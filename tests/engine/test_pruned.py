"""Narrow networks are built again from what is written of them."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from imgtrain.engine.model import build
from imgtrain.engine.pruned import describe, narrow
from imgtrain.engine.recipe import Recipe
from imgtrain.engine.weights import read_model, save_model
from imgtrain.errors import RunError, SettingsError
from imgtrain.loading.preprocess import Preprocess


def net(width=8):
    return nn.Sequential(
        nn.Conv2d(3, width, 3),
        nn.BatchNorm2d(width),
        nn.Conv2d(width, width, 3, groups=width, bias=False),
        nn.Conv2d(width, 2 * width, 1, groups=2),
        nn.Flatten(),
        nn.Linear(2 * width, 5),
    )


def test_what_is_described_is_built():
    """Convolutions, depthwise and in groups, norms, classifiers; the inputs and classes stay."""
    widths = describe(net(), net(4))

    found = net()
    narrow(found, widths)

    assert widths == "0=:4,1=:4,2=4:4,3=4:8,5=8:"
    assert found[2].groups == 4
    expected = net(4)
    found.load_state_dict(expected.state_dict())
    pixels = torch.rand(2, 3, 5, 5)
    torch.testing.assert_close(found.eval()(pixels), expected.eval()(pixels), rtol=0, atol=0)
    assert describe(net(), net()) == ""


@pytest.mark.parametrize(
    "widths", ["7=:4", "0=:9", "0=:0", "4=:2", "0", "0=4", "=:4", "0=x:4", "0=:4,", "5=99:"]
)
def test_what_does_not_fit_is_refused(widths):
    """In one sentence, whatever a file says."""
    with pytest.raises(SettingsError, match="pruned"):
        narrow(net(), widths)


def test_recipes_carry_it(tmp_path):
    """Weights and widths travel in one file; a broken description is an error of the file."""
    p = Preprocess(
        size=32, side=32, channels=3, background=(0, 0, 0), max_pixels=10**6, mean=(0.5,) * 3,
        std=(0.5,) * 3,
    )  # fmt: skip
    recipe = Recipe(
        architecture="test_resnet",
        classes=("a", "b"),
        stem="standard",
        drop_rate=0.0,
        drop_path=0.0,
        preprocess=p,
        pruned="layer1.0.conv1=:8,layer1.0.bn1=:8,layer1.0.conv2=8:",
    )
    model = build(recipe).eval()
    save_model(tmp_path / "m.safetensors", model, recipe)

    again, found = read_model(tmp_path / "m.safetensors")

    assert found == recipe
    assert again.layer1[0].conv1.out_channels == 8
    pixels = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(again(pixels), model(pixels), rtol=0, atol=0)
    save_model(tmp_path / "n.safetensors", model, replace(recipe, pruned="nowhere=1:1"))
    with pytest.raises(RunError, match="does not fit its own recipe"):
        read_model(tmp_path / "n.safetensors")
