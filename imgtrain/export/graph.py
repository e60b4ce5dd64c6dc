"""All that an exported file computes: pixels in, logits and probabilities out."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace

import torch
from torch import Tensor, nn

from imgtrain.engine.recipe import Recipe
from imgtrain.errors import RunError, SettingsError
from imgtrain.export.about import About
from imgtrain.metrics.combining import SMALLEST

RULES = ("mean", "greedy", "logits")
"""What a graph can combine by."""

_TINY = float(torch.finfo(torch.float32).tiny)
"""What a probability of 0 counts as where its logarithm is put out."""


class Sight(nn.Module):
    """One network with what comes before and after it.

    Args:
        network: The network.
        recipe: What it is.
        classes: The order in which its answers are wanted.
    """

    scale: Tensor
    shift: Tensor
    order: Tensor

    def __init__(self, network: nn.Module, recipe: Recipe, classes: Sequence[str]) -> None:
        super().__init__()
        copied = deepcopy(network).to("cpu").eval()
        self.network = copied.to(memory_format=torch.contiguous_format)
        p = recipe.preprocess
        mean, std = torch.tensor(p.mean), torch.tensor(p.std)
        self.register_buffer("scale", (1 / (255 * std)).view(1, -1, 1, 1))
        self.register_buffer("shift", (-mean / std).view(1, -1, 1, 1))
        self.register_buffer("order", torch.tensor([recipe.classes.index(n) for n in classes]))
        self.temperature = recipe.temperature
        self.reorders = tuple(classes) != recipe.classes

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, channels, H, W), float32 in [0, 255] -> logits over the temperature, (B, C)."""
        logits: Tensor = self.network(inputs * self.scale + self.shift) / self.temperature
        return logits[:, self.order] if self.reorders else logits


class Graph(nn.Module):
    """Networks that look at the same pixels, as one.

    Args:
        sights: The networks.
        how: How several are combined; see ``imgtrain.metrics.combining``.
        weights: How much each counts.
    """

    def __init__(self, sights: Sequence[Sight], how: str, weights: Sequence[float]) -> None:
        super().__init__()
        self.sights = nn.ModuleList(sights)
        self.how = how
        self.shares = [weight / sum(weights) for weight in weights]

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels (B, H, W, channels), uint8 -> logits and probabilities, (B, C), float32.

        The probabilities are the softmax of the logits; of several networks, the logits are the
        logarithm of the combined probabilities.
        """
        inputs = pixels.permute(0, 3, 1, 2).to(torch.float32)
        found = [sight(inputs) for sight in self.sights]
        if len(found) == 1:
            return found[0], found[0].softmax(dim=1)
        probs = torch.stack([logits.softmax(dim=1) for logits in found])
        shares = torch.tensor(self.shares).view(-1, 1, 1)
        if self.how == "logits":
            logs = (probs.clamp(min=SMALLEST).log() * shares).sum(dim=0)
            combined = logs.softmax(dim=1)
        else:
            combined = (probs * shares).sum(dim=0)
        return combined.clamp(min=_TINY).log(), combined


def about_all(recipes: Sequence[Recipe], how: str) -> About:
    """What the file of these models says of itself.

    Args:
        recipes: One each.
        how: How they are combined.

    Raises:
        SettingsError: If a graph cannot combine by that rule.
        RunError: If they see pictures in other ways: a file has one input.
    """
    first, *others = recipes
    if not others:
        return About(recipe=first, how=None, precision="fp32")
    if how not in RULES:
        raise SettingsError(
            f"--ensemble {how} is no rule that one file can combine by",
            "take mean or logits, or export each run by itself",
        )
    for other in others:
        if _seen(other) != _seen(first):
            raise RunError(
                f"one file has one input, and these runs see pictures in other ways: "
                f"{_told(first)}, {_told(other)}",
                "export runs together that have the same --image-size, --channels, --background",
            )
    names = dict.fromkeys(recipe.architecture for recipe in recipes)
    whole = replace(
        first, architecture="+".join(names), temperature=1.0, conformity=(), pruned=None
    )
    return About(recipe=whole, how=how, precision="fp32")


def _seen(recipe: Recipe) -> object:
    return replace(recipe.preprocess, mean=(), std=())


def _told(recipe: Recipe) -> str:
    p = recipe.preprocess
    return f"{p.size} of {p.side} pixels and {p.channels} channels on {p.background}"
