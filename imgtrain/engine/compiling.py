"""Whether torch compiles the network: where it can, and where that repays."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from typing import Any, Literal, cast

import torch
from torch import nn

from imgtrain import console
from imgtrain.engine.device import ComputePlan
from imgtrain.engine.world import World
from imgtrain.errors import SettingsError

_REPAID = 20_000
"""Steps from which ``auto`` compiles for a GPU: twice a minute of compiling is saved by a twentieth
of steps of 0.12 s each."""

_SIZES = 64
"""So many shapes are compiled before torch gives up: picture sizes change during a training."""


def wants_compiling(choice: bool | Literal["auto"], device: torch.device, *, steps: int) -> bool:  # noqa: FBT001  # the setting
    """Whether to compile for ``steps`` steps on ``device``.

    ``auto`` never does on the CPU: there, a compiled resnet18 took 1.1 times as long as the plain
    one (bf16, 128 pixels).

    Raises:
        SettingsError: If it was asked for and cannot be had.
    """
    if choice is False or (choice == "auto" and (device.type != "cuda" or steps < _REPAID)):
        return False
    missing = what_is_missing(device)
    if missing is None:
        return True
    if choice == "auto":
        console.say(f"not compiled, though it would repay: {missing}")
        return False
    raise SettingsError(f"--compile: {missing}", "leave it out; training is the same, uncompiled")


def what_is_missing(device: torch.device) -> str | None:
    """What torch's compiler lacks here; None where it can work."""
    if device.type == "cuda":
        if importlib.util.find_spec("triton") is None:
            return "torch compiles for GPUs by way of Triton, which is not installed"
        return None
    if device.type != "cpu":
        return f"torch does not compile for {device.type} here"
    name = os.environ.get("CXX", {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++"))
    if shutil.which(name) is None:
        return f"torch compiles for the CPU by way of a C++ compiler, and there is no {name}"
    return None


def trained(model: nn.Module, compute: ComputePlan, world: World) -> nn.Module:
    """What steps call: ``model``, compiled if planned so, its gradients averaged over processes."""
    return world.wrap(_compiled(model) if compute.compiled else model, compute.torch_device)


def _compiled(model: nn.Module) -> nn.Module:
    """The same weights, compiled at the first call.

    One shape of batches is one compilation: nothing is guessed to be dynamic. Scoring, checkpoints
    and averages use ``model`` itself.
    """
    settings: Any = torch._dynamo.config  # noqa: SLF001  # the documented way to it
    settings.recompile_limit = _SIZES
    console.say("compiling the network: the first step takes longer")
    return cast("nn.Module", torch.compile(model, dynamic=False))
