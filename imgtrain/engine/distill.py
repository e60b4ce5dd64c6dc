"""Learning from a trained model, too: distillation (Hinton et al. 2015, arXiv:1503.02531)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from imgtrain.engine.device import ComputePlan
from imgtrain.loading.loader import Batch
from imgtrain.loading.mix import mixed

_GREY = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in what is seen without colour (ITU-R BT.601), as when decoding."""
_COLOURS = 3


def divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """``T^2 KL(teacher_T || student_T)`` of the softmax at temperature T, in float32.

    The square keeps the gradient's size whatever the temperature (section 2 of the paper).

    Args:
        student: Logits (B, C), any floating type.
        teacher: Logits (B, C), any floating type, without gradient.
        temperature: T, above 0.

    Returns:
        Shape (B,), float32, at least 0 but for rounding.
    """
    mine = functional.log_softmax(student.to(torch.float32) / temperature, dim=1)
    theirs = functional.log_softmax(teacher.to(torch.float32) / temperature, dim=1)
    per_class = functional.kl_div(mine, theirs, reduction="none", log_target=True)
    return per_class.sum(dim=1) * temperature**2


def as_channels(pixels: Tensor, channels: int) -> Tensor:
    """Pixels (B, H, W, C) with the teacher's channels: colour from grey, or grey from colour."""
    if pixels.shape[-1] == channels:
        return pixels
    if pixels.shape[-1] == 1:
        return pixels.expand(-1, -1, -1, channels)
    shares = torch.tensor(_GREY, device=pixels.device)
    return (pixels.to(torch.float32) * shares).sum(dim=-1, keepdim=True)


def can_convert(own: int, theirs: int) -> bool:
    """Whether pictures of ``own`` channels can be shown to a teacher of ``theirs``."""
    return own == theirs or {own, theirs} == {1, _COLOURS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Teacher:
    """A trained network beside the one that learns; it sees the same pictures, mixed or not.

    Args:
        model: In evaluation mode, on the device.
        normalise: Makes of uint8 pixels (B, H, W, channels) what it takes.
        size: Side of the pictures that it was trained with, in pixels.
        channels: Of those pictures.
        order: Where each class of the student is among the teacher's, (C,); None: the same order.
        alpha: Its share of the loss, in (0, 1].
        temperature: How far both sides' probabilities are softened.
    """

    model: nn.Module
    normalise: Callable[[Tensor], Tensor]
    size: int
    channels: int
    order: Tensor | None
    alpha: float
    temperature: float

    def blended(self, losses: Tensor, logits: Tensor, batch: Batch, compute: ComputePlan) -> Tensor:
        """The whole loss of each picture: ``(1 - A) own + A T^2 KL``.

        Args:
            losses: The student's own, (B,).
            logits: The student's, (B, C).
            batch: What both see.
            compute: The arithmetic of training.
        """
        theirs = self._logits(batch, logits.shape[1], compute)
        return (1 - self.alpha) * losses + self.alpha * divergence(logits, theirs, self.temperature)

    @torch.no_grad()
    def _logits(self, batch: Batch, classes: int, compute: ComputePlan) -> Tensor:
        """What the teacher says, in the student's order of classes. Never waits for the device."""
        inputs = self.normalise(as_channels(batch.pixels, self.channels))
        if batch.mix is not None:
            inputs, _, _ = mixed(inputs, batch.targets, batch.mix, classes=classes)
        if inputs.shape[-1] != self.size:
            inputs = functional.interpolate(
                inputs, size=(self.size, self.size), mode="bilinear", antialias=True
            )
        with compute.autocast():
            logits: Tensor = self.model(inputs)
        return logits if self.order is None else logits[:, self.order]
