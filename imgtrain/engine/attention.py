"""An attention block after a stage of a staged convolutional net."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

import timm
import torch
from timm.layers.create_attn import create_attn
from torch import Tensor, nn

from imgtrain.errors import SettingsError

Kind = Literal["se", "eca", "cbam"]
"""Squeeze-and-excitation (Hu et al. 2018, arXiv:1709.01507), ECA (Wang et al. 2020,
arXiv:1910.03151), CBAM (Woo et al. 2018, arXiv:1807.06521); all are timm's."""

NAME = "attention"
"""Name of the block among the modules, and so of its weights."""

_CONVOLUTIONS = 2
"""So many a stage has; what has fewer before the first is the stem."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage as timm's ``feature_info`` has it: path of its module, channels it puts out."""

    path: str
    channels: int


class _After:
    """A forward hook that sends a stage's output through a block.

    An object, not a function: a copy of the network gets a copy that knows the copied block.
    """

    def __init__(self, block: nn.Module) -> None:
        self.block = block

    def __call__(self, stage: nn.Module, inputs: Any, output: Tensor) -> Tensor:  # noqa: ARG002  # torch's signature
        attended: Tensor = self.block(output)
        return attended


def stages_of(model: nn.Module) -> list[Stage]:
    """The stages behind the stem, in order, where timm knows them."""
    info: Any = getattr(model, "feature_info", None)
    if info is None:
        return []
    listed = [Stage(entry["module"], entry["num_chs"]) for entry in info]
    modules = dict(model.named_modules())
    first = next((i for i, stage in enumerate(listed) if _is_stage(stage, modules)), len(listed))
    return [stage for stage in listed[first:] if stage.path in modules]


def _is_stage(stage: Stage, modules: dict[str, nn.Module]) -> bool:
    if re.match(r"stem|$", stage.path) or stage.path not in modules:
        return False
    inside = modules[stage.path].modules()
    return sum(isinstance(module, nn.Conv2d) for module in inside) >= _CONVOLUTIONS


def check_attention(architecture: str, index: int | None) -> None:
    """Refuse attention where there are no stages of feature maps, or not so many.

    Raises:
        SettingsError: With the stages that there are.
    """
    with torch.device("meta"):
        model = timm.create_model(architecture).eval()
        stages = stages_of(model)
        is_staged = _puts_out_maps(model, stages, architecture)
    if not is_staged:
        raise SettingsError(
            f"--attention: {architecture} is no staged convolutional net"
            + (f" ({_listed(stages)} put out no feature maps)" if stages else ""),
            "leave it out, or take one such as resnet18",
        )
    if index is not None and index > len(stages):
        raise SettingsError(
            f"--attention-index {index}: {architecture} has {len(stages)} stages: "
            f"{_listed(stages)}",
            "give the number of one of them, from 1",
        )


def _listed(stages: list[Stage], most: int = 8) -> str:
    shown = ", ".join(f"{n} {stage.path}" for n, stage in enumerate(stages[:most], start=1))
    return shown + (", ..." if len(stages) > most else "")


def _puts_out_maps(model: nn.Module, stages: list[Stage], architecture: str) -> bool:
    """Whether each stage's output is (B, channels, H, W), once a pass; tried on no real data."""
    seen: dict[str, list[tuple[int, ...]]] = {stage.path: [] for stage in stages}

    def watch(path: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            seen[path].append(tuple(output.shape) if isinstance(output, Tensor) else ())

        return hook

    for path in seen:
        model.get_submodule(path).register_forward_hook(watch(path))
    cfg = timm.get_pretrained_cfg(architecture)
    shape = (3, 224, 224) if cfg is None else tuple(cfg.input_size)
    try:
        model(torch.zeros(1, *shape))
    except (RuntimeError, AssertionError):  # the model does what meta tensors cannot
        return False
    return bool(stages) and all(
        len(seen[stage.path]) == 1
        and len(seen[stage.path][0]) == 4  # noqa: PLR2004  # B, C, H, W
        and seen[stage.path][0][1] == stage.channels
        for stage in stages
    )


def add_attention(model: nn.Module, kind: Kind, index: int | None) -> None:
    """Put a block after stage ``index`` (from 1; None: the last); other names stay as they are.

    In a stage that is a sequence the block becomes its last member, so that whatever runs the
    members one by one (gradient checkpointing) runs it too; elsewhere it is the model's own and
    a hook calls it.

    Raises:
        SettingsError: If there is no such stage.
    """
    stages = stages_of(model)
    number = len(stages) if index is None else index
    if not 1 <= number <= len(stages):
        raise SettingsError(
            f"--attention-index {number}: the stages are {_listed(stages) or 'none'}",
            "give the number of one of them, from 1",
        )
    stage = stages[number - 1]
    module = model.get_submodule(stage.path)
    block: nn.Module = create_attn(kind, stage.channels)  # type: ignore[no-untyped-call]  # timm leaves it untyped
    if isinstance(module, nn.Sequential):
        module.add_module(NAME, block)
        return
    model.add_module(NAME, block)
    module.register_forward_hook(_After(block))
