"""Mixing pairs of pictures: mixup and cutmix, drawn once for a whole effective batch.

A picture's partner is the one before it in the effective batch (the first one's is the last), as
batches are shuffled anyway. So a process needs a single picture beyond its own part of the batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

_MIX = 3
_EVEN = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """What happens to one effective batch.

    Args:
        share: Of the picture itself, in [0, 1]; its partner has the rest.
        centre: Of the box that is pasted, as fractions of height and width; None blends (mixup).
    """

    share: float
    centre: tuple[float, float] | None

    def box(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Top, bottom, left, right of the pasted box (Yun et al. 2019, arXiv:1905.04899).

        Its sides are ``sqrt(1 - share)`` of the picture's; what would stick out is cut off.
        """
        assert self.centre is not None
        half = 0.5 * (1 - self.share) ** 0.5
        edges = []
        for where, length in zip(self.centre, (height, width), strict=True):
            middle, reach = int(where * length), int(half * length)
            edges += [max(0, middle - reach), min(length, middle + reach)]
        top, bottom, left, right = edges
        return top, bottom, left, right

    def own_share(self, height: int, width: int) -> float:
        """Share of the target that stays: after the cut at the border, for a box."""
        if self.centre is None:
            return self.share
        top, bottom, left, right = self.box(height, width)
        return 1 - (bottom - top) * (right - left) / (height * width)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixing:
    """How batches are mixed in the course of a training.

    Args:
        mixup_alpha: Of Beta(alpha, alpha) (Zhang et al. 2017, arXiv:1710.09412); 0 is off.
        cutmix_alpha: The same for boxes; where both are on, each batch is one or the other.
        probability: Share of the batches that are mixed.
        off_epoch: Epoch from which none is.
    """

    mixup_alpha: float = 0.0
    cutmix_alpha: float = 0.0
    probability: float = 1.0
    off_epoch: int | None = None

    def draw(self, *, seed: int, epoch: int, step: int) -> Mix | None:
        """What happens to the batch of this step (from 0) of this epoch (from 1)."""
        if not (self.mixup_alpha or self.cutmix_alpha):
            return None
        if self.off_epoch is not None and epoch >= self.off_epoch:
            return None
        generator = np.random.Generator(np.random.Philox(seed=[seed, epoch, _MIX, step]))
        chance, which, row, column = generator.random(4)
        if chance >= self.probability:
            return None
        boxes = which < _EVEN if self.mixup_alpha and self.cutmix_alpha else self.cutmix_alpha > 0
        alpha = self.cutmix_alpha if boxes else self.mixup_alpha
        share = float(generator.beta(alpha, alpha))
        return Mix(share=share, centre=(float(row), float(column)) if boxes else None)


def mixed(
    inputs: Tensor, targets: Tensor, mix: Mix, *, classes: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Mix every picture with the one before it.

    Args:
        inputs: Shape (B + 1, C, H, W): the first row is the first picture's partner.
        targets: Shape (B + 1,), int64.
        mix: What to do.
        classes: How many there are.

    Returns:
        Inputs (B, C, H, W), targets (B, classes) float32, and the heavier label (B,) int64.
    """
    own, partner = inputs[1:], inputs[:-1]
    height, width = inputs.shape[2:]
    share = mix.own_share(height, width)
    if mix.centre is None:
        out = torch.lerp(partner, own, share)
    else:
        top, bottom, left, right = mix.box(height, width)
        out = own.clone()
        out[:, :, top:bottom, left:right] = partner[:, :, top:bottom, left:right]
    hot = functional.one_hot(targets, classes).to(torch.float32)
    soft = hot[1:] * share + hot[:-1] * (1 - share)
    return out, soft, targets[1:] if share >= _EVEN else targets[:-1]
