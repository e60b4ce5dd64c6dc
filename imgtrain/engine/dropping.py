"""Spatial dropout where training is in fp16."""

from __future__ import annotations

import torch
from timm.layers.drop import DropBlock2d
from torch import Tensor, nn


def spare_half_precision(model: nn.Module) -> None:
    """Let spatial dropout compute in fp32 where the rest is in fp16.

    What is left of a map is scaled up; of a map that is dropped whole, by more than fp16 can hold,
    and 0 x infinity would stay in the running means for good.
    """
    for module in model.modules():
        if isinstance(module, DropBlock2d):
            module.register_forward_pre_hook(_widened)


def _widened(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
    return (inputs[0].float(),) if inputs[0].dtype == torch.float16 else None
