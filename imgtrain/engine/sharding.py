"""A model whose weights, gradients and optimizer state are shared out over the processes (FSDP2).

Each block is gathered when its turn comes and let go after it (Rajbhandari et al. 2020, stage 3,
arXiv:1910.02054). What is written is whole, so that files are those of any other training.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

T = TypeVar("T")


def share_out(model: nn.Module, device: torch.device) -> nn.Module:
    """Share out ``model`` in place, block by block."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    for block in _blocks(model):
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model


def _blocks(model: nn.Module) -> Iterator[nn.Module]:
    """What is gathered at a time: blocks in a row. The rest goes with the model itself."""
    for child in model.children():
        if isinstance(child, nn.Sequential):
            yield from (member for member in child if any(True for _ in member.children()))


def is_shared_out(model: nn.Module) -> bool:
    """Whether every process holds but a part of the weights."""
    return any(map(_is_part, model.parameters()))


def _is_part(value: object) -> bool:
    """Whether it is a ``DTensor``: torch's tensor of which each process holds a part."""
    return hasattr(value, "full_tensor")


def without_gradients(model: nn.Module) -> torch.inference_mode | torch.no_grad:
    """The cheapest mode to score in: what ``inference_mode`` gathers could not train again."""
    return torch.no_grad() if is_shared_out(model) else torch.inference_mode()


def exchange_gradients(model: nn.Module, *, now: bool) -> None:
    """Whether the next backward pass adds up all processes' gradients, or keeps them here."""
    shared: Any = model
    shared.set_requires_gradient_sync(now)


def whole(value: T) -> T:
    """Tensors in dicts and lists as if nothing were shared out: all processes call it together."""
    found: Any = value
    if _is_part(value):
        found = found.full_tensor()
    elif isinstance(value, dict):
        found = {key: whole(item) for key, item in value.items()}
    elif isinstance(value, list):
        found = [whole(item) for item in value]
    return found  # type: ignore[no-any-return]  # of the same kind


def load_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """``load_state_dict`` with whole tensors, whether the model is shared out or not."""
    if is_shared_out(model):
        mine = model.state_dict()
        weights = {name: _like(mine.get(name), tensor) for name, tensor in weights.items()}
    model.load_state_dict(weights)


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """The same for an optimizer: what has the shape of its weight is shared out like it."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    held = {
        number: {name: _like(weights[number], value) for name, value in kept.items()}
        for number, kept in state["state"].items()
    }
    optimizer.load_state_dict(state | {"state": held})


def _like(mine: Any, value: Any) -> Any:
    """This process's share of ``value``, where ``mine`` is shared out and of that shape."""
    if not _is_part(mine) or getattr(value, "shape", None) != mine.shape:
        return value
    from torch.distributed.tensor import distribute_tensor

    there = value.to(mine.device, mine.dtype)
    return distribute_tensor(there, mine.device_mesh, mine.placements)
