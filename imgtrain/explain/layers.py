"""The layer that an activation map is made of, and its output as a map."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from imgtrain.engine.attention import stages_of
from imgtrain.errors import SettingsError, nearest

_MOST_NAMED = 8
"""Layers that a message lists."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a network's layers keep places and channels. Pictures are squares, and so are maps.

    Args:
        prefix: Tokens before those of the patches: the class token and registers.
        channels_last: Whether maps are (B, h, w, C) where their shape does not tell.
    """

    prefix: int
    channels_last: bool

    @classmethod
    def of(cls, model: nn.Module) -> Layout:
        """As timm's networks say of themselves; a plugin's has maps (B, C, h, w)."""
        prefix = getattr(model, "num_prefix_tokens", 0)
        form = getattr(model, "output_fmt", "")
        return cls(prefix if isinstance(prefix, int) else 0, str(form).endswith("NHWC"))

    def maps(self, output: object) -> Tensor | None:
        """A layer's output as (B, C, h, w); None where it has no places."""
        if not isinstance(output, Tensor) or not output.is_floating_point():
            return None
        if output.ndim == 3:  # noqa: PLR2004  # B, tokens, C
            tokens = output[:, self.prefix :]
            batch, count, channels = tokens.shape
            side = math.isqrt(count)
            whole = side > 0 and side**2 == count
            return tokens.mT.reshape(batch, channels, side, side) if whole else None
        if output.ndim != 4:  # noqa: PLR2004  # B and three more
            return None
        _, first, second, third = output.shape
        if second == third and not (first == second and self.channels_last):
            return output
        return output.permute(0, 3, 1, 2) if first == second else None


def last_layer(model: nn.Module, layout: Layout, inputs: Tensor) -> str | None:
    """The last layer with more than one place on which the answer depends; None without such.

    Of a convolutional net that is what goes into the global pooling. Of a transformer with a class
    token it is what goes into the last attention: behind that, patches are no longer read.

    Args:
        model: In evaluation mode.
        layout: The model's.
        inputs: Shape (1, channels, H, W), as the model takes them.
    """
    kept: list[tuple[str, Tensor]] = []
    with _all_watched(model, kept), torch.enable_grad():
        logits = model(inputs.detach().requires_grad_())
        found = [(name, out) for name, out in kept if _extent(layout.maps(out)) > 1]
        score = logits[0].max()
        gradients = torch.autograd.grad(score, [out for _, out in found], allow_unused=True)
    for (name, output), gradient in zip(reversed(found), reversed(gradients), strict=True):
        moved = layout.maps(gradient)
        if moved is not None and int(moved.ne(0).any(dim=1).sum()) > 1:
            return _best_name(model, [own for own, out in found if out is output]) or name
    return None


def _extent(maps: Tensor | None) -> int:
    return 0 if maps is None else maps.shape[2] * maps.shape[3]


def _best_name(model: nn.Module, names: list[str]) -> str | None:
    """Of names for the same tensor, that of a stage."""
    stages = layers_of(model)
    return next((name for name in names if name in stages), None)


def layers_of(model: nn.Module) -> list[str]:
    """Paths of what ``--layer`` counts: stages behind the stem, or the blocks of a transformer."""
    info: Any = getattr(model, "feature_info", None)
    known = {name for name, _ in model.named_modules()}
    stages = [stage.path for stage in stages_of(model)]
    return stages or [path for each in info or () if (path := each["module"]) in known]


@contextmanager
def _all_watched(model: nn.Module, kept: list[tuple[str, Tensor]]) -> Iterator[None]:
    """Outputs of all layers in the order in which they are done; the insides of attention apart."""
    attentions = tuple(
        f"{name}." for name, module in model.named_modules() if hasattr(module, "num_heads")
    )

    def watch(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.requires_grad:
                kept.append((name, output))

        return hook

    handles = [
        module.register_forward_hook(watch(name))
        for name, module in model.named_modules()
        if name and not name.startswith(attentions)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def named_layer(model: nn.Module, asked: str) -> str:
    """The path of the layer that ``--layer`` names: a module, or a stage by its number.

    Raises:
        SettingsError: If there is none of that name or number.
    """
    paths = [name for name, _ in model.named_modules() if name]
    if asked in paths:
        return asked
    stages = [] if not asked.isdecimal() else layers_of(model)
    if stages and 1 <= int(asked) <= len(stages):
        return stages[int(asked) - 1]
    raise SettingsError(
        f"--layer {asked}: the model has no such layer{nearest(asked, paths)}", _offered(model)
    )


def _offered(model: nn.Module) -> str:
    """The stages, or else the children of the network."""
    stages = layers_of(model)
    if not stages:
        names = [name for name, _ in model.named_children()]
        return f"its parts are {_some(names)}; names of layers in them follow a dot"
    return f"its stages are {_some([f'{n} {path}' for n, path in enumerate(stages, start=1)])}"


def _some(names: list[str]) -> str:
    return ", ".join(names[:_MOST_NAMED]) + (", ..." if len(names) > _MOST_NAMED else "")
