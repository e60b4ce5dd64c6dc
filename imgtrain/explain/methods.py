"""The methods by name: which fits a model, and the maps that it makes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from imgtrain.classical.artefact import ClassicalNet
from imgtrain.engine.features import example_for
from imgtrain.ensemble import Member
from imgtrain.errors import SettingsError, nearest
from imgtrain.explain.attention import (
    Grid,
    attention_grid,
    attention_map,
    gradient_attention,
    rollout,
)
from imgtrain.explain.cam import RULES, activation_maps, check_layer
from imgtrain.explain.layers import Layout, last_layer, named_layer
from imgtrain.explain.occlusion import occlusion_map, window_of
from imgtrain.explain.windows import Windows
from imgtrain.loading.loader import Batch

METHODS = (*RULES, "occlusion", "attention", "rollout", "gradient-attention")
"""What ``--method`` takes beside ``auto``."""

_WITHOUT_CLASS = ("attention", "rollout")
"""What these show is the same for every class."""

Maps = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a user wants.

    Args:
        method: A name of ``METHODS``; ``auto`` takes what fits the model.
        layer: A module's path, or a number: of a stage, for attention of a layer.
        window: Side of the occluding window in pixels.
    """

    method: str = "auto"
    layer: str | None = None
    window: int | None = None


@dataclass(frozen=True, slots=True)
class Explainer:
    """A method, settled for one model.

    Args:
        method: A name of ``METHODS``.
        layer: Where it looks, for people; empty where it looks at no layer.
        maps: Pictures (B, H, W, C), uint8, on the model's device, and classes (B,), int64 -> maps
            (B, h, w).
    """

    method: str
    layer: str
    maps: Callable[[Tensor, Tensor], Maps]

    @property
    def of_a_class(self) -> bool:
        """Whether another class has another map."""
        return self.method not in _WITHOUT_CLASS

    @property
    def from_least(self) -> bool:
        """Whether the least value of a map, not 0, is nothing: attention is above 0 everywhere."""
        return self.method in (*_WITHOUT_CLASS, "gradient-attention")


def explainer(member: Member, asked: Asked) -> Explainer:
    """The method that was asked for, or the one that fits.

    Raises:
        SettingsError: If it does not fit the model; the sentence names what does.
    """
    _check(asked)
    member.model.requires_grad_(requires_grad=False)  # gradients are those of layers, not weights
    if isinstance(member.model, ClassicalNet):
        if asked.method not in ("auto", "occlusion"):
            raise SettingsError(
                f"--method {asked.method} looks into a network, and this model is scikit-learn's",
                "take --method occlusion, which fits any model",
            )
        return _by_occlusion(member, asked)
    example = example_for(member.recipe, member.compute)[:1]
    if asked.method == "auto":
        asked = replace(asked, method=_fitting(member, asked, example))
    if asked.method == "occlusion":
        return _by_occlusion(member, asked)
    by = _by_cam if asked.method in RULES else _by_attention
    return by(member, asked, example)


def _fitting(member: Member, asked: Asked, example: Tensor) -> str:
    """What ``auto`` takes for a network."""
    if asked.layer is not None:
        return "gradcam"
    if attention_grid(member.model, example) is not None:
        return "gradient-attention"
    layer = last_layer(member.model, Layout.of(member.model), example)
    return "occlusion" if layer is None else "gradcam"


def _check(asked: Asked) -> None:
    """Refuse what does not go together whatever the model."""
    method = asked.method
    if method not in (*METHODS, "auto"):
        raise SettingsError(
            f"--method {method}: there is no such method{nearest(method, METHODS)}",
            f"methods: auto, {', '.join(METHODS)}",
        )
    if asked.window is not None and method != "occlusion":
        raise SettingsError("--window has an effect only with --method occlusion", "add that")
    if asked.layer is not None and method not in ("auto", "attention", *RULES):
        raise SettingsError(
            f"--layer has no effect with --method {method}, which looks at no single layer",
            "leave it out, or take --method gradcam, or attention",
        )


def _by_cam(member: Member, asked: Asked, example: Tensor) -> Explainer:
    model = member.model
    if asked.layer is not None:
        layer: str | None = named_layer(model, asked.layer)
    else:
        layer = last_layer(model, Layout.of(model), example)
    if layer is None:
        raise SettingsError(
            f"--method {asked.method} wants a layer of feature maps, and "
            f"{member.recipe.architecture} has none of more than one place at this picture size",
            "take --method occlusion, which fits any model",
        )
    if asked.layer is not None:
        check_layer(model, layer, example)
    rule = partial(activation_maps, model, layer, RULES[asked.method])
    return Explainer(asked.method, layer, _on_pixels(member, rule))


def _by_attention(member: Member, asked: Asked, example: Tensor) -> Explainer:
    architecture, model, method = member.recipe.architecture, member.model, asked.method
    grid = attention_grid(model, example)
    if grid is None:
        raise SettingsError(
            f"--method {method} reads attention over a grid of patches, as ViT and Swin have it, "
            f"and {architecture} has none that can be read",
            "take --method gradcam, or occlusion, which fits any model",
        )
    count = len(grid.layers)
    if method == "attention":
        number = _attention_layer(grid, asked.layer)
        where, rule = f"layer {number + 1} of {count}", partial(_attention, model, grid, number)
    elif isinstance(grid, Windows) and method == "rollout":
        raise SettingsError(
            f"--method rollout follows patches through all layers, and {architecture} merges them "
            "between stages and looks at windows of them",
            "take --method gradient-attention (its last stage), attention --layer N, or gradcam",
        )
    elif isinstance(grid, Windows):
        last = grid.last_stage()
        where = f"the {len(last.layers)} layers of the last stage"
        rule = partial(gradient_attention, model, last)
    else:
        where = f"all {count} layers"
        rule = partial(_rollout if method == "rollout" else gradient_attention, model, grid)
    return Explainer(method, where, _on_pixels(member, rule))


def _attention(model: nn.Module, grid: Grid, layer: int, inputs: Tensor, _: Tensor) -> Tensor:
    """The classes do not matter."""
    return attention_map(model, grid, inputs, layer)


def _rollout(model: nn.Module, grid: Grid, inputs: Tensor, _: Tensor) -> Tensor:
    """The classes do not matter."""
    return rollout(model, grid, inputs)


def _attention_layer(grid: Grid, asked: str | None) -> int:
    """Position of a layer by its number from 1, or the path of it or of what holds it."""
    count = len(grid.layers)
    if asked is None:
        return count - 1
    if asked.isdecimal() and 1 <= int(asked) <= count:
        return int(asked) - 1
    within = [n for n, path in enumerate(grid.layers) if path.startswith(f"{asked}.")]
    if len(within) == 1:
        return within[0]
    raise SettingsError(
        f"--layer {asked}: the model has {count} layers of attention",
        f"give a number from 1 to {count}, or a name such as {grid.layers[-1].rsplit('.', 2)[0]}",
    )


def _on_pixels(member: Member, rule: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Maps]:
    """A rule on prepared pictures, as one on pixels."""

    def maps(pixels: Tensor, targets: Tensor) -> Maps:
        found: Maps = rule(member.prepare(pixels), targets).float().cpu().numpy()
        return found  # waits for the device

    return maps


def _by_occlusion(member: Member, asked: Asked) -> Explainer:
    p = member.recipe.preprocess
    window = asked.window or window_of(p.size)
    if window > p.size:
        raise SettingsError(
            f"--window {window} is larger than the picture that the model sees ({p.size} pixels)",
            f"give at most {p.size}",
        )
    fill = [min(255, max(0, round(255 * mean))) for mean in p.mean] or [127] * p.channels

    def scores(pixels: Tensor) -> NDArray[np.floating]:
        return member.probabilities([_batch_of(pixels)], member.recipe.classes)[1]

    def maps(pixels: Tensor, targets: Tensor) -> Maps:
        pairs = zip(pixels, targets.tolist(), strict=True)
        found = [occlusion_map(scores, one, k, window=window, fill=fill) for one, k in pairs]
        return np.stack(found)

    return Explainer("occlusion", f"a window of {window} pixels", maps)


def _batch_of(pixels: Tensor) -> Batch:
    """Pictures as the loader hands them over."""
    count = len(pixels)
    return Batch(
        pixels=pixels,
        targets=torch.zeros(count, dtype=torch.int64, device=pixels.device),
        mask=torch.ones(count, dtype=torch.bool, device=pixels.device),
        count=count,
        pictures=np.arange(count, dtype=np.int64),
    )
