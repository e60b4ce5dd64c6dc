"""Activation maps against closed forms, and against what they must find."""

import copy

import numpy as np
import pytest
import torch
from nets import Pooled, planted, prepared
from scipy.stats import spearmanr

from imgtrain.errors import SettingsError
from imgtrain.explain.cam import RULES, activation_maps, check_layer, gradcam_plus_plus


def upsampled(maps, side=32):
    return torch.nn.functional.interpolate(maps[:, None], (side, side), mode="bilinear")[:, 0]


@pytest.mark.parametrize("method", ["gradcam", "hirescam"])
def test_they_are_cam_where_cam_is_defined(method):
    """Behind a global average and a linear layer, both are the classifier's weights on the map.

    CAM (Zhou et al. 2016) is the sum of the channels, weighted as the class weighs them; the
    average over n places makes every gradient 1 / n of the weight.
    """
    torch.manual_seed(3)
    model, inputs, targets = (
        Pooled().eval(),
        torch.randn(5, 3, 12, 12),
        torch.tensor([0, 1, 2, 3, 0]),
    )
    features = model.act(model.conv(inputs)).detach()
    cam = torch.einsum("bk,bkhw->bhw", model.fc.weight[targets], features)

    found = activation_maps(model, "act", RULES[method], inputs, targets)

    torch.testing.assert_close(found, (cam / 36).relu().detach())


def test_hirescam_adds_up_to_the_logit():
    """Before what is negative is left out, the map's sum and the bias make the logit."""
    torch.manual_seed(3)
    model, inputs, targets = Pooled().eval(), torch.randn(2, 3, 12, 12), torch.tensor([1, 3])

    signed = activation_maps(model, "act", lambda a, g: (a * g).sum(dim=1), inputs, targets)

    logits = model(inputs)[[0, 1], targets].detach()
    torch.testing.assert_close(signed.sum(dim=(1, 2)) + model.fc.bias[targets].detach(), logits)


def test_gradcam_plus_plus_is_its_formula():
    """Place by place and channel by channel, in plain numbers."""
    rng = np.random.default_rng(0)
    a, g = rng.normal(size=(2, 3, 4, 4)), rng.normal(size=(2, 3, 4, 4))
    g[0, 0] = 0
    expected = np.zeros((2, 4, 4))
    for b in range(2):
        for k in range(3):
            whole = weight = 0.0
            for value in a[b, k].ravel():
                whole += value
            for slope in g[b, k].ravel():
                below = 2 * slope**2 + whole * slope**3
                weight += slope**2 / below * max(slope, 0) if below else 0
            expected[b] += weight * a[b, k]

    found = gradcam_plus_plus(torch.from_numpy(a), torch.from_numpy(g))

    np.testing.assert_allclose(found.numpy(), np.maximum(expected, 0))


@pytest.mark.parametrize("method", sorted(RULES))
def test_a_planted_patch_lights_up(spotter, method):
    """The class is the colour of a patch: the map peaks there, and weighs more than its share."""
    pixels, labels, corners = planted(40, seed=9)

    found = upsampled(activation_maps(spotter, "body", RULES[method], prepared(pixels), labels))

    peaks, masses = [], []
    for each, (y, x) in zip(found, corners.tolist(), strict=True):
        row, column = divmod(int(each.argmax()), 32)
        peaks.append(y <= row < y + 9 and x <= column < x + 9)
        masses.append(float(each[y : y + 9, x : x + 9].sum() / each.sum()))
    assert (spotter(prepared(pixels)).argmax(dim=1) == labels).float().mean() > 0.95
    assert np.mean(peaks) > 0.9
    assert np.mean(masses) > 3 * 81 / 1024


def test_random_weights_make_another_map(spotter):
    """A map is of what was learnt: with new weights it falls apart (Adebayo et al. 2018)."""
    pixels, labels, _ = planted(24, seed=10)
    strange = copy.deepcopy(spotter)
    torch.manual_seed(5)
    for module in strange.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()

    def correlation(model):
        torch.manual_seed(6)
        own = activation_maps(spotter, "body", RULES["hirescam"], prepared(pixels), labels)
        noise = prepared(pixels) + 0.01 * torch.randn(24, 3, 32, 32)
        other = activation_maps(model, "body", RULES["hirescam"], noise, labels)
        pairs = zip(own.flatten(1).numpy(), other.flatten(1).numpy(), strict=True)
        return np.mean([spearmanr(*pair).statistic for pair in pairs if np.ptp(pair[1]) > 0])

    assert correlation(spotter) > 0.9
    assert abs(correlation(strange)) < 0.5


@pytest.mark.parametrize("method", sorted(RULES))
def test_a_mirrored_picture_has_a_mirrored_map(method):
    """Where the network does not tell left from right."""
    torch.manual_seed(1)
    model = Pooled().eval()
    with torch.no_grad():
        model.conv.stride = (1, 1)
        model.conv.weight += model.conv.weight.flip(3)
    inputs, targets = torch.randn(3, 3, 10, 10), torch.tensor([0, 2, 3])

    plain = activation_maps(model, "act", RULES[method], inputs, targets)
    mirrored = activation_maps(model, "act", RULES[method], inputs.flip(3), targets)

    torch.testing.assert_close(mirrored, plain.flip(2))


def test_what_works_in_place_changes_nothing():
    """The map of a layer is of what it put out, not of what the next one made of it."""
    torch.manual_seed(3)
    model, inputs, targets = Pooled().eval(), torch.randn(2, 3, 12, 12), torch.tensor([1, 3])

    found = activation_maps(model, "conv", RULES["hirescam"], inputs, targets)
    model.act = torch.nn.ReLU(inplace=False)

    expected = activation_maps(model, "conv", RULES["hirescam"], inputs, targets)
    assert torch.equal(found, expected)


def test_useless_layers_are_refused():
    """One without places, and one that the answer does not depend on."""

    class Idle(Pooled):
        def __init__(self):
            super().__init__()
            self.idle = torch.nn.Conv2d(3, 2, 1)

        def forward(self, inputs):
            self.idle(inputs)
            return super().forward(inputs)

    model, inputs = Idle().eval(), torch.randn(1, 3, 12, 12)

    with pytest.raises(SettingsError, match="no places"):
        check_layer(model, "fc", inputs)
    with pytest.raises(SettingsError, match="does not depend"):
        check_layer(model, "idle", inputs)
