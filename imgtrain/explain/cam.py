"""Class activation maps: what a layer's channels say for a class, place by place.

Each rule weighs a layer's output A (B, C, h, w) by the gradient G of the class's logit with respect
to it, and keeps what speaks for the class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from imgtrain.errors import SettingsError
from imgtrain.explain.layers import Layout

Rule = Callable[[Tensor, Tensor], Tensor]
"""A and G, (B, C, h, w) each -> (B, h, w), not negative."""


def gradcam(a: Tensor, g: Tensor) -> Tensor:
    """A channel counts by the mean of its gradient (Selvaraju et al. 2017, arXiv:1610.02391)."""
    return (g.mean(dim=(2, 3), keepdim=True) * a).sum(dim=1).relu()


def gradcam_plus_plus(a: Tensor, g: Tensor) -> Tensor:
    """A channel counts by a weighted sum of its positive gradients.

    The weights are those of Chattopadhay et al. 2018 (arXiv:1710.11063) for a score that is the
    exponential of the logit, in a net that is linear piece by piece: higher derivatives are powers
    of the first. The exponential itself scales a whole map, and is left out.
    """
    whole = a.sum(dim=(2, 3), keepdim=True)
    below = 2 * g**2 + whole * g**3
    alpha = torch.where(below == 0, 0, g**2 / torch.where(below == 0, 1, below))
    weights = (alpha * g.relu()).sum(dim=(2, 3), keepdim=True)
    return (weights * a).sum(dim=1).relu()


def hirescam(a: Tensor, g: Tensor) -> Tensor:
    """Every place of a channel counts by its own gradient (Draelos & Carin 2020, arXiv:2011.08891).

    In a net that ends in pooling and a linear layer, the map adds up to what the logit is made of.
    """
    return (a * g).sum(dim=1).relu()


RULES: Mapping[str, Rule] = {
    "gradcam": gradcam,
    "gradcam++": gradcam_plus_plus,
    "hirescam": hirescam,
}


class _Kept:
    """A layer's last output, from which a graph of gradients begins."""

    output: Tensor | None = None

    def __call__(self, layer: nn.Module, inputs: Any, output: Any) -> Tensor | None:  # noqa: ARG002  # torch's signature
        if not isinstance(output, Tensor):
            return None
        self.output = output.detach().requires_grad_()
        return self.output.clone()  # what comes next may work in place


def activation_maps(
    model: nn.Module, layer: str, rule: Rule, inputs: Tensor, targets: Tensor
) -> Tensor:
    """What a layer says for each picture's class, (B, h, w) in the layer's own resolution.

    Args:
        model: In evaluation mode.
        layer: Path of the layer.
        rule: One of ``RULES``.
        inputs: Shape (B, channels, H, W), as the model takes them.
        targets: Shape (B,), int64: the classes.

    Raises:
        SettingsError: If the layer puts out no map, or is not on the way to the answer.
    """
    return rule(*_with_gradient(model, layer, inputs, targets))


def check_layer(model: nn.Module, layer: str, inputs: Tensor) -> None:
    """Refuse a layer that is of no use; see ``activation_maps``.

    Raises:
        SettingsError: If the layer puts out no map, or the answer does not depend on its places.
    """
    targets = torch.zeros(len(inputs), dtype=torch.int64, device=inputs.device)
    if not bool(_with_gradient(model, layer, inputs, targets)[1].any()):
        raise _unread(layer)


def _with_gradient(
    model: nn.Module, layer: str, inputs: Tensor, targets: Tensor
) -> tuple[Tensor, Tensor]:
    """The layer's output and the gradient of each picture's logit, (B, C, h, w) both."""
    layout, kept = Layout.of(model), _Kept()
    handle = model.get_submodule(layer).register_forward_hook(kept)
    try:
        with torch.enable_grad():
            logits = model(inputs)
    finally:
        handle.remove()
    maps = layout.maps(kept.output)
    if maps is None or kept.output is None:
        raise SettingsError(
            f"--layer {layer}: what it puts out has no places, so there is no map of it",
            "leave out --layer to take the last that has",
        )
    score = logits.gather(1, targets[:, None]).sum()
    if not score.requires_grad:
        raise _unread(layer)
    (gradient,) = torch.autograd.grad(score, [kept.output], allow_unused=True)
    moved = layout.maps(gradient)
    if moved is None:
        raise _unread(layer)
    return maps.detach(), moved


def _unread(layer: str) -> SettingsError:
    return SettingsError(
        f"--layer {layer}: the answer does not depend on its places",
        "take an earlier layer, or leave out --layer",
    )
