"""Networks that only score: the same answers, faster."""

import copy

import pytest
import timm
import torch
from torch import nn

from imgtrain.engine.device import ComputePlan
from imgtrain.engine.folding import fold, narrow


def lived_in(model):
    """The network with running means and variances as a training leaves them, not 0 and 1."""
    torch.manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            if module.running_mean is not None:
                module.running_mean.normal_()
                module.running_var.uniform_(0.3, 3)
            if module.weight is not None:
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias)
    return model.eval()


class Branching(nn.Module):
    """One convolution seen by its normalisation and past it, one that two normalisations share."""

    def __init__(self):
        super().__init__()
        self.past = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.shared = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.first, self.second = nn.BatchNorm2d(4), nn.BatchNorm2d(4, affine=False)
        self.last, self.batch = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)
        self.good, self.taken = nn.Conv2d(4, 5, 1), nn.BatchNorm2d(5, affine=False)

    def forward(self, x):
        seen = self.past(x)
        seen = seen + self.norm(seen)
        seen = self.first(self.shared(seen)) + self.second(self.shared(seen))
        return self.taken(self.good(self.batch(self.last(seen)))).mean((2, 3))


@pytest.mark.parametrize(
    ("model", "folded"),
    [
        (lambda: timm.create_model("test_resnet", num_classes=5), 15),
        (lambda: timm.create_model("test_efficientnet", num_classes=5), 13),  # activations inside
        (lambda: timm.create_model("tf_mobilenetv3_small_minimal_100", num_classes=5), 34),
        (lambda: timm.create_model("test_vit", num_classes=5), 0),
        (Branching, 1),
    ],
)
def test_a_folded_network_says_the_same(model, folded):
    """But for rounding; what goes elsewhere too, or is used twice, stays as it is."""
    torch.manual_seed(0)
    plain = lived_in(model())
    quick = copy.deepcopy(plain)
    size = 160 if folded == 0 else 64
    pixels = torch.rand(3, 3, size, size)
    with torch.inference_mode():
        wanted = plain(pixels).softmax(1)

        assert fold(quick) == folded
        torch.testing.assert_close(quick(pixels).softmax(1), wanted, rtol=0, atol=1e-5)


def test_a_network_that_looks_at_its_pictures_stays_as_it_is():
    """Where the way depends on them, nothing is known beforehand."""

    class Choosing(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

        def forward(self, x):
            return self.b(self.a(x)) if x.sum() > 0 else x

    assert fold(lived_in(Choosing())) == 0


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_weights_cast_once_give_the_bits_of_autocast(name):
    """bf16 is what autocast makes of it at every batch."""
    torch.manual_seed(0)
    plain = lived_in(timm.create_model(name, num_classes=5))
    once = copy.deepcopy(plain)
    compute = ComputePlan(
        device="cpu", precision="bf16", channels_last=True, threads=1, fused=False
    )
    narrow(once, compute)
    pixels = torch.rand(2, 3, 160, 160)
    with torch.inference_mode(), compute.autocast():
        torch.testing.assert_close(once(pixels), plain(pixels), rtol=0, atol=0)
