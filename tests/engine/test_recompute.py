"""Gradient checkpointing: activations computed again change no bit."""

import contextlib

import pytest
import timm
import torch

from imgtrain.engine.recompute import buffers_kept, check_recomputing, recompute
from imgtrain.errors import SettingsError


def _backward(name, *, again, precision=None):
    """Gradients and buffers after one backward pass, and the bytes that autograd kept."""
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=5, drop_rate=0.2, drop_path_rate=0.2).train()
    if again:
        recompute(model, name)
    inputs = torch.randn(2, *model.default_cfg["input_size"])
    torch.manual_seed(2)
    seen = {}

    def keep(tensor):
        seen[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    auto = torch.autocast("cpu", torch.bfloat16) if precision else contextlib.nullcontext()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t), auto:
        loss = model(inputs).square().sum()
    with buffers_kept(model) if again else contextlib.nullcontext():
        loss.backward()
    weights = {p.data_ptr() for p in model.parameters()}
    kept = sum(size for where, size in seen.items() if where not in weights)
    found = [p.grad for p in model.parameters()], [b.clone() for b in model.buffers()]
    return *found, kept


@pytest.mark.parametrize("precision", [None, "bf16"])
@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_vit"])
def test_gradients_and_running_means_are_those_of_the_plain_pass(name, precision):
    """Bit for bit, with dropout, stochastic depth and batch norm; and less is kept."""
    plain, again = (_backward(name, again=a, precision=precision) for a in (False, True))

    for ours, theirs in zip(again[:2], plain[:2], strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert again[2] < plain[2]


def test_alone_torch_would_update_running_means_twice():
    """Why buffers are put back: the second forward pass moves them again."""
    model = timm.create_model("test_resnet", num_classes=5).train()
    recompute(model, "test_resnet")
    loss = model(torch.randn(2, *model.default_cfg["input_size"])).sum()
    before = [b.clone() for b in model.buffers()]
    loss.backward()

    assert any(not torch.equal(a, b) for a, b in zip(before, model.buffers(), strict=True))


@pytest.mark.parametrize("name", ["inception_v3", "dla34"])
def test_a_network_without_pieces_is_refused(name):
    """By name, with the flag."""
    with pytest.raises(SettingsError, match=f"--gradient-checkpointing: {name}"):
        check_recomputing(name)
