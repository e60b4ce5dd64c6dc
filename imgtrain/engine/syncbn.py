"""Batch normalisation over the pictures of all processes, not of each."""

from __future__ import annotations

from typing import Any

import timm.layers.norm_act
import torch
from torch import Tensor, nn

from imgtrain import console

_timm: Any = timm.layers.norm_act  # untyped
_Norm = nn.modules.batchnorm._BatchNorm  # noqa: SLF001  # what all of them are


def synchronised(model: nn.Module, device: torch.device) -> nn.Module:
    """The model whose batch normalisation counts all processes' pictures.

    Weights, their names and shapes stay; in evaluation nothing changes. GPUs use torch's own layers
    (by way of timm, whose layers hold activations), which the CPU does not have.
    """
    layers = [module for module in model.modules() if isinstance(module, _Norm)]
    if not layers:
        console.warn("--sync-bn changes nothing: the model has no batch normalisation")
    if device.type == "cuda":
        converted: nn.Module = _timm.convert_sync_batchnorm(model)
        return converted
    for layer in layers:
        holds_act = isinstance(layer, _timm.BatchNormAct2d)
        layer.__class__ = _HostSyncBatchNormAct if holds_act else _HostSyncBatchNorm
    return model


def is_synchronised(model: nn.Module) -> bool:
    """Whether a forward pass waits for the other processes."""
    kinds = (nn.SyncBatchNorm, _HostSyncBatchNorm, _HostSyncBatchNormAct)
    return any(isinstance(module, kinds) for module in model.modules())


def fewest_at_once(model: nn.Module) -> int:
    """Pictures that a pass must have: batch normalisation cannot learn from one."""
    return 2 if any(isinstance(module, _Norm) for module in model.modules()) else 1


class _Total(torch.autograd.Function):
    """The sum over all processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        return _summed(values)

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        return _summed(gradients[0])


def _summed(values: Tensor) -> Tensor:
    values = values.clone(memory_format=torch.contiguous_format)
    torch.distributed.all_reduce(values)
    return values


def _normalised(layer: Any, inputs: Tensor) -> Tensor:
    """(B, C, ...) of each process -> the same, with the means and variances of all of them.

    As Ioffe & Szegedy 2015 (arXiv:1502.03167), algorithm 1.
    """
    values = inputs.float()
    across = [d for d in range(values.ndim) if d != 1]
    shape = [-1 if d == 1 else 1 for d in range(values.ndim)]
    count = values.numel() // values.shape[1] * torch.distributed.get_world_size()
    mean: Tensor = _Total.apply(values.sum(across)) / count
    centred = values - mean.view(shape)
    variance: Tensor = _Total.apply(centred.square().sum(across)) / count
    _follow(layer, mean.detach(), variance.detach() * (count / max(1, count - 1)))
    scale = torch.rsqrt(variance + layer.eps)
    if not layer.affine:
        return (centred * scale.view(shape)).to(inputs.dtype)
    found: Tensor = centred * (scale * layer.weight).view(shape) + layer.bias.view(shape)
    return found.to(inputs.dtype)


@torch.no_grad()
def _follow(layer: Any, mean: Tensor, variance: Tensor) -> None:
    """Move the running means towards the batch's."""
    if not layer.track_running_stats:
        return
    layer.num_batches_tracked.add_(1)
    share = 1 / int(layer.num_batches_tracked) if layer.momentum is None else layer.momentum
    layer.running_mean.lerp_(mean, share)
    layer.running_var.lerp_(variance, share)


class _HostSyncBatchNorm(nn.BatchNorm2d):
    """torch's layer, for processes on CPUs."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # torch's name
        return _normalised(self, input) if self.training else super().forward(input)

    def _check_input_dim(self, _: Tensor) -> None:
        """Any number of dimensions."""


class _HostSyncBatchNormAct(_timm.BatchNormAct2d):  # type: ignore[misc]  # untyped
    """timm's layer with an activation behind the normalisation, for processes on CPUs."""

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = (
            self.act(self.drop(_normalised(self, x))) if self.training else super().forward(x)
        )
        return found
