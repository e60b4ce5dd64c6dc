"""A network that only scores: batch normalisation inside the convolutions, weights cast once."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, fx, nn

from imgtrain.engine.device import ComputePlan

_CONVOLUTIONS = (nn.Conv2d, Conv2dSame)
_NORMS = (nn.BatchNorm2d, BatchNormAct2d)
"""Exactly these: what is derived from them may treat weights or means in its own way."""

_NARROW = {"bf16": torch.bfloat16, "fp16": torch.float16}


class _Tracer(fx.Tracer):
    """Takes convolutions and normalisations as they are, whatever module they come from."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module is one step."""
        is_step = type(m) in (*_CONVOLUTIONS, *_NORMS)
        return is_step or super().is_leaf_module(m, module_qualified_name)


def fold(model: nn.Module) -> int:
    """Put each batch normalisation that follows a convolution into its weights; returns how many.

    A network in evaluation mode then says the same but for rounding, with less traffic through
    memory: running means and deviations are constants (Jacob et al. 2018, arXiv:1712.05877,
    section 3.2). Where the way through the network depends on the pictures, it stays as it is.
    The weights are the network's own no more: it can score, and not be saved.
    """
    pairs = list(_pairs(model))
    for convolution, norm, place, name in pairs:
        _absorb(convolution, norm)
        left: nn.Module = nn.Identity()
        if isinstance(norm, BatchNormAct2d):
            left = nn.Sequential(norm.drop, norm.act)
        setattr(place, name, left)
    return len(pairs)


def _pairs(model: nn.Module) -> Iterator[tuple[nn.Conv2d, nn.BatchNorm2d, nn.Module, str]]:
    """Convolutions whose results go into a normalisation and nowhere else; where that stands."""
    try:
        graph = _Tracer().trace(model)
    except Exception:  # noqa: BLE001  # a network may do anything; then nothing is known of its way
        return
    steps = [node for node in graph.nodes if node.op == "call_module"]
    modules = dict(model.named_modules(remove_duplicate=False))
    uses = [id(modules[str(step.target)]) for step in steps]
    for step in steps:
        norm, source = modules[str(step.target)], step.args[0] if step.args else None
        if type(norm) not in _NORMS or not isinstance(source, fx.Node):
            continue
        convolution = modules.get(str(source.target)) if source.op == "call_module" else None
        if type(convolution) not in _CONVOLUTIONS or len(source.users) > 1:
            continue
        once = uses.count(id(norm)) == uses.count(id(convolution)) == 1
        if once and norm.track_running_stats and not norm.training:
            above, _, name = str(step.target).rpartition(".")
            yield convolution, norm, model.get_submodule(above), name  # type: ignore[misc]  # as its type was looked at


def _absorb(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    """Make weight * g / s, and (bias - mean) * g / s + shift, in float64: rounded once."""
    mean, variance = (_double(each) for each in (norm.running_mean, norm.running_var))
    factor = (variance + norm.eps).rsqrt()
    if norm.weight is not None:
        factor = factor * _double(norm.weight)
    bias = (_double(convolution.bias) if convolution.bias is not None else 0) - mean
    shift = bias * factor
    if norm.bias is not None:
        shift = shift + _double(norm.bias)
    old = convolution.weight
    weight = (_double(old) * factor.view(-1, 1, 1, 1)).to(old.dtype)
    convolution.weight = nn.Parameter(weight, requires_grad=False)
    convolution.bias = nn.Parameter(shift.to(old.dtype), requires_grad=False)


def _double(value: Tensor | None) -> Tensor:
    assert value is not None
    return value.detach().double()


def narrow(model: nn.Module, compute: ComputePlan) -> None:
    """Keep the weights that autocast would cast for each batch as it would cast them."""
    kind = _NARROW.get(compute.precision)
    if kind is None:
        return
    for module in model.modules():
        if type(module) in (*_CONVOLUTIONS, nn.Linear):
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(False)  # its signature
                parameter.data = parameter.data.to(kind)
