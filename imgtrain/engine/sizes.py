"""Progressive sizes: which networks take them, and which sizes fit a network and its pictures."""

from __future__ import annotations

from collections.abc import Sequence

import timm
import torch

from imgtrain.engine.model import build
from imgtrain.engine.recipe import Recipe
from imgtrain.errors import SettingsError

_SMALLER = ((5 / 8, 0.4), (13 / 16, 0.3), (1.0, 0.3))
"""Sides as parts of the scored one, and their shares of the training."""


def usual_sizes(size: int) -> str:
    """What a budget trains photos with: ``80:0.4,104:0.3,128:0.3`` for 128."""
    sides = [round(part * size / 8) * 8 for part, _ in _SMALLER[:-1]]
    shares = [f"{share:g}" for _, share in _SMALLER]
    return ",".join(f"{side}:{share}" for side, share in zip([*sides, size], shares, strict=True))


def takes_any_size(architecture: str) -> bool:
    """Whether the same weights see pictures of several sizes."""
    cfg = timm.get_pretrained_cfg(architecture)
    return cfg is None or not cfg.fixed_input_size


def is_known_to_take_any_size(architecture: str) -> bool:
    """Whether timm says so."""
    return timm.get_pretrained_cfg(architecture) is not None and takes_any_size(architecture)


def check_sizes(recipe: Recipe, sizes: Sequence[int]) -> None:
    """Refuse sizes that the network cannot see, before it has trained with the others.

    Raises:
        SettingsError: If it takes pictures of one size only, or a picture is too small for it.
    """
    if not sizes:
        return
    name, shown = recipe.architecture, ", ".join(map(str, sizes))
    if not takes_any_size(name):
        raise SettingsError(
            f"--image-sizes {shown}: {name} takes pictures of one size only",
            "leave it out, or take a convolutional net such as resnet18",
        )
    with torch.device("meta"), torch.no_grad():
        model = build(recipe).eval()
        for size in sizes:
            try:
                model(torch.empty(2, recipe.preprocess.channels, size, size))
            except (RuntimeError, ValueError, AssertionError) as error:
                reason = (str(error).splitlines() or [""])[0]
                raise SettingsError(
                    f"--image-sizes {shown}: {name} cannot see {size} pixels ({reason[:100]})",
                    "take a larger size",
                ) from error
