"""Which weights move, and how."""

from __future__ import annotations

import math

import torch
from torch import nn

from imgtrain.settings.schema import OptimSettings

_DECAY = {"adamw": 0.05, "sgd": 5e-4}


def default_lr(name: str, *, effective: int, pretrained: bool) -> float:
    """Peak learning rate when none is given.

    From scratch, AdamW takes 1e-3 at 64 pictures and grows with the square root of the batch
    (Malladi et al. 2022, arXiv:2205.10287); SGD takes 0.1 at 256 and grows with the batch
    (Goyal et al. 2017, arXiv:1706.02677). Fine-tuning takes a tenth.
    """
    if name == "adamw":
        lr = min(1e-3 * math.sqrt(effective / 64), 4e-3)
    else:
        lr = min(0.1 * effective / 256, 0.8)
    return lr / 10 if pretrained else lr


def default_weight_decay(name: str) -> float:
    """0.05 for AdamW, 0.0005 for SGD: the usual values."""
    return _DECAY[name]


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Matrices and kernels decay; norms, biases and other vectors do not."""
    trained = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    listed = getattr(model, "no_weight_decay", None)
    spared = set(listed()) if callable(listed) else set()

    def decays(name: str, parameter: nn.Parameter) -> bool:
        return parameter.ndim > 1 and name not in spared

    return [
        {"params": [p for n, p in trained if decays(n, p)], "weight_decay": weight_decay},
        {"params": [p for n, p in trained if not decays(n, p)], "weight_decay": 0.0},
    ]


def make_optimizer(
    model: nn.Module, settings: OptimSettings, *, lr: float, weight_decay: float, fused: bool
) -> torch.optim.Optimizer:
    """The optimizer of the settings over the model's parameter groups."""
    groups = parameter_groups(model, weight_decay)
    if settings.name == "sgd":
        momentum = settings.momentum
        return torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=momentum > 0, fused=fused)
    return torch.optim.AdamW(groups, lr=lr, betas=(settings.momentum, 0.999), fused=fused)
