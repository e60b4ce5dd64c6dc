"""Which weights move, and how."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from operator import itemgetter
from typing import Any

import torch
from torch import nn

from imgtrain.errors import SettingsError
from imgtrain.settings.schema import OptimSettings

_DECAY = {"sgd": 5e-4, "adam": 0.0, "adamw": 0.05, "lamb": 0.02, "lion": 0.5, "muon": 0.05}
_AT_64 = {"adam": 2e-3, "adamw": 2e-3, "lamb": 1e-2, "lion": 4e-4, "muon": 5e-3}
_Kind = tuple[bool, float, bool, int]
"""Spared decay, factor of the rate, left to AdamW, epoch of the thaw (0: it always learns)."""


def default_lr(name: str, *, effective: int, pretrained: bool) -> float:
    """Peak learning rate when none is given.

    From scratch, AdamW takes 2e-3 at 64 pictures and grows with the square root of the batch
    (Malladi et al. 2022, arXiv:2205.10287), and so do its kin, to four times that at most. SGD
    takes 0.2 at 256 and grows with the batch (Goyal et al. 2017, arXiv:1706.02677). Fine-tuning
    of downloaded weights takes a quarter. The values are from
    ``tests/benchmarks/default_rates.py``: below the best of the rates tried there, on the safe
    side.
    """
    if name == "sgd":
        lr = min(0.2 * effective / 256, 0.8)
    else:
        lr = min(_AT_64[name] * math.sqrt(effective / 64), 4 * _AT_64[name])
    return lr / 4 if pretrained else lr


def default_weight_decay(name: str) -> float:
    """The usual value: 0.05 for AdamW, 0.0005 for SGD, ten times AdamW's for Lion."""
    return _DECAY[name]


def parameter_groups(
    model: nn.Module,
    weight_decay: float,
    *,
    layer_decay: float | None = None,
    head_factor: float = 1.0,
    aside: bool = False,
    waves: Mapping[str, int] | None = None,
) -> list[dict[str, Any]]:
    """Matrices and kernels decay; norms, biases and other vectors do not.

    Args:
        model: A network of timm's, or any other where there is no ``layer_decay``.
        weight_decay: Of those that decay.
        layer_decay: Factor of the learning rate from each layer to the one before it; layers are
            timm's (Bao et al. 2021, arXiv:2106.08254, section 3.2).
        head_factor: What the classifier's learning rate is multiplied by.
        aside: Mark the first layer and the classifier with ``use_fallback``, for Muon.
        waves: Epochs at which frozen parameters thaw, by name; each has groups of its own from the
            start, so that checkpoints of all epochs are alike. What never thaws is in no group.

    Returns:
        Groups with ``lr_scale``, and ``thaws`` for those that do.

    Raises:
        SettingsError: If there is a ``layer_decay`` and nobody knows the model's layers.
    """
    scales = _layer_scales(model, layer_decay)
    listed = getattr(model, "no_weight_decay", None)
    spared = set(listed()) if callable(listed) else set()
    head = classifier_names(model)
    waves = waves or {}
    groups: dict[_Kind, list[nn.Parameter]] = defaultdict(list)
    first = True
    for name, parameter in model.named_parameters():
        matrix = parameter.ndim > 1 and name not in spared
        scale = scales.get(name, 1.0) * (head_factor if name in head else 1.0)
        apart = aside and (name in head or name in spared or (matrix and first))
        first = first and not matrix
        if parameter.requires_grad or name in waves:
            groups[not matrix, scale, apart, waves.get(name, 0)].append(parameter)
    return [
        {
            "params": parameters,
            "weight_decay": 0.0 if spares else weight_decay,
            "lr_scale": scale,
            **({"use_fallback": apart} if aside else {}),
            **({"thaws": wave} if wave else {}),
        }
        for (spares, scale, apart, wave), parameters in sorted(groups.items(), key=itemgetter(0))
    ]


def _layer_scales(model: nn.Module, layer_decay: float | None) -> dict[str, float]:
    """Factor of the learning rate by the name of the parameter; the last layer has 1."""
    if layer_decay is None:
        return {}
    from timm.models import group_parameters

    matcher = getattr(model, "group_matcher", None)
    if not callable(matcher):
        raise SettingsError(
            f"--layer-decay: timm does not tell the layers of a {type(model).__name__}",
            "leave it out, or take another model; --head-lr-factor works with all",
        )
    layers = group_parameters(model, matcher(coarse=False), reverse=True)
    last = max(layers.values())
    return {name: layer_decay ** (last - layer) for name, layer in layers.items()}


def classifier_names(model: nn.Module) -> frozenset[str]:
    """Names of the classifier's parameters, where the model has one of timm's (or two)."""
    find: Any = getattr(model, "get_classifier", None)
    if not callable(find):
        return frozenset()
    found: nn.Module | tuple[nn.Module, ...] = find()
    layers = found if isinstance(found, tuple) else (found,)
    mine = {id(p) for layer in layers for p in layer.parameters()}
    return frozenset(name for name, p in model.named_parameters() if id(p) in mine)


def make_optimizer(
    model: nn.Module,
    settings: OptimSettings,
    *,
    lr: float,
    weight_decay: float,
    fused: bool,
    waves: Mapping[str, int] | None = None,
) -> torch.optim.Optimizer:
    """The optimizer of the settings over the model's parameter groups."""
    groups = parameter_groups(
        model,
        weight_decay,
        layer_decay=settings.layer_decay,
        head_factor=settings.head_lr_factor,
        aside=settings.name == "muon",
        waves=waves,
    )
    momentum = settings.momentum
    betas = (momentum, 0.999)
    match settings.name:
        case "sgd":
            return torch.optim.SGD(
                groups, lr=lr, momentum=momentum, nesterov=momentum > 0, fused=fused
            )
        case "adam":
            return torch.optim.Adam(groups, lr=lr, betas=betas, fused=fused)
        case "adamw":
            return torch.optim.AdamW(groups, lr=lr, betas=betas, fused=fused)
    from timm.optim.lamb import Lamb
    from timm.optim.lion import Lion
    from timm.optim.muon import Muon

    if settings.name == "lamb":
        return Lamb(groups, lr=lr, betas=betas, max_grad_norm=None, decoupled_decay=True)
    if settings.name == "lion":
        return Lion(groups, lr=lr, betas=(momentum, 0.99))
    return Muon(groups, lr=lr, momentum=momentum, nesterov=True, betas=betas)
