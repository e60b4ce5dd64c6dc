"""The layer that is found by itself, family by family."""

import pytest
import timm
import torch
from timm.models.densenet import DenseNet
from timm.models.swin_transformer import SwinTransformer

from imgtrain.errors import SettingsError
from imgtrain.explain.cam import RULES, activation_maps
from imgtrain.explain.layers import Layout, last_layer, named_layer


def densenet():
    return DenseNet(growth_rate=4, block_config=(2, 2), num_classes=3)


def swin():
    """Grids of 10 and 5 in windows of 4: shifted, and padded."""
    return SwinTransformer(
        img_size=40, patch_size=4, window_size=4, embed_dim=16, depths=(2, 2), num_heads=(2, 4),
        num_classes=3,
    )  # fmt: skip


def of_timm(name, **more):
    return lambda: timm.create_model(name, num_classes=3, **more)


FAMILIES = {
    "resnet": (of_timm("test_resnet"), 64, "layer4"),
    "efficientnet": (of_timm("test_efficientnet"), 64, "bn2"),
    "convnext": (of_timm("test_convnext"), 64, "stages.3"),
    "mobilenet": (of_timm("mobilenetv3_small_050"), 64, "blocks.5"),
    "regnet": (of_timm("regnetx_002"), 64, "s4"),
    "densenet": (densenet, 64, "features.norm5"),
    "mambaout": (of_timm("test_mambaout"), 64, "stages.3"),
    "swin": (swin, 40, "norm"),
    "vit without a class token": (of_timm("test_vit_relpos", img_size=64), 64, "blocks.8"),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_it_is_what_the_pooling_gets(family):
    """Grad-CAM there is that of timm's own features, as it pools them; channels last, or tokens."""
    make, side, layer = FAMILIES[family]
    torch.manual_seed(0)
    model = make().eval()
    inputs, targets = torch.randn(2, 3, side, side), torch.tensor([2, 0])
    features = model.forward_features(inputs)
    logits = model.forward_head(features)
    (gradient,) = torch.autograd.grad(logits.gather(1, targets[:, None]).sum(), features)
    if features.ndim == 4 and features.shape[1] != features.shape[2]:  # channels first
        features, gradient = (t.permute(0, 2, 3, 1) for t in (features, gradient))
    features, gradient = (t.flatten(1, -2) for t in (features, gradient))
    expected = torch.einsum("bc,bnc->bn", gradient.mean(dim=1), features).relu().detach()

    found = last_layer(model, Layout.of(model), inputs[:1])
    maps = activation_maps(model, found, RULES["gradcam"], inputs, targets)

    assert found == layer
    torch.testing.assert_close(maps.flatten(1), expected)


def test_of_a_vit_it_is_before_the_last_attention():
    """Behind it only the class token is read; before it, patches count by keys and values."""
    torch.manual_seed(0)
    model = timm.create_model("test_vit", num_classes=3, img_size=64).eval()
    inputs, targets = torch.randn(2, 3, 64, 64), torch.tensor([1, 2])
    with torch.no_grad():
        tokens = model.patch_embed(inputs)
        tokens = model.norm_pre(model.patch_drop(model._pos_embed(tokens)))
        for block in model.blocks[:-1]:
            tokens = block(tokens)
    last = model.blocks[-1]
    normed = last.norm1(tokens).detach().requires_grad_()
    behind = tokens + last.ls1(last.attn(normed))
    behind = behind + last.ls2(last.mlp(last.norm2(behind)))
    logits = model.forward_head(model.norm(behind))
    (gradient,) = torch.autograd.grad(logits.gather(1, targets[:, None]).sum(), normed)
    patches, slopes = normed[:, 1:].detach(), gradient[:, 1:]
    expected = torch.einsum("bc,bnc->bn", slopes.mean(dim=1), patches).relu().view(2, 4, 4)

    found = last_layer(model, Layout.of(model), inputs[:1])

    assert found == "blocks.5.norm1"
    maps = activation_maps(model, found, RULES["gradcam"], inputs, targets)
    torch.testing.assert_close(maps, expected)


def test_one_place_is_no_map():
    """At 32 pixels the last stage of a resnet has one place: the one before is taken."""
    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=3).eval()

    assert last_layer(model, Layout.of(model), torch.randn(1, 3, 32, 32)) == "layer3"


def test_layers_by_name_and_number():
    """A module's path; a stage counted from 1; else the nearest name and what there is."""
    model = timm.create_model("test_resnet", num_classes=3)

    assert named_layer(model, "layer2.0.conv1") == "layer2.0.conv1"
    assert named_layer(model, "3") == "layer3"
    with pytest.raises(SettingsError, match="did you mean 'layer4'") as told:
        named_layer(model, "layer9")
    assert told.value.hint == "its stages are 1 layer1, 2 layer2, 3 layer3, 4 layer4"
    with pytest.raises(SettingsError, match="--layer 5"):
        named_layer(model, "5")
    with pytest.raises(SettingsError) as told:
        named_layer(torch.nn.Sequential(torch.nn.ReLU()), "2")
    assert "its parts are 0" in told.value.hint
