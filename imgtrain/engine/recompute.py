"""Activations computed again in the backward pass, instead of kept (Chen et al. 2016).

timm cuts its networks into pieces and torch runs each piece twice (arXiv:1604.06174). Torch gives
the second run the same random numbers, so dropout agrees; nobody keeps it from updating the running
means of batch normalisation a second time, so that is done here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import timm
import torch
from torch import nn

from imgtrain.errors import SettingsError


def check_recomputing(architecture: str) -> None:
    """Refuse ``--gradient-checkpointing`` where timm has no pieces to compute again.

    One of a plugin's is looked at when it is built.

    Raises:
        SettingsError: With the model's name.
    """
    if not timm.is_model(architecture):
        return
    with torch.device("meta"):
        recompute(timm.create_model(architecture), architecture)


def recompute(model: nn.Module, architecture: str) -> None:
    """Let ``model`` keep the borders of its pieces alone.

    Raises:
        SettingsError: If it has no pieces.
    """
    try:
        model.set_grad_checkpointing(enable=True)  # type: ignore[operator]  # a method of timm's
    except (AttributeError, AssertionError) as error:
        raise SettingsError(
            f"--gradient-checkpointing: {architecture} cannot compute its activations again",
            "leave it out, or take another model, such as resnet18 or vit_tiny_patch16_224",
        ) from error


@contextlib.contextmanager
def buffers_kept(model: nn.Module) -> Iterator[None]:
    """Whatever the block does to the model's buffers is undone. Never waits for the device."""
    now = list(model.buffers())
    if not now:
        yield
        return
    before = [buffer.clone() for buffer in now]
    yield
    with torch.no_grad():
        torch._foreach_copy_(now, before)
