"""One loss per picture, whatever the targets: class numbers, or shares of classes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from imgtrain.errors import SettingsError
from imgtrain.registry import LOSSES, options_of
from imgtrain.settings.schema import LossSettings

Loss = Callable[[Tensor, Tensor], Tensor]
"""Logits (B, C) and targets, (B,) int64 or (B, C) float32 -> losses (B,), float32."""


_SURE = 1e-8
"""Below this, 1 - p counts as this: a power below 1 has no slope at 0."""


def cross_entropy(
    logits: Tensor,
    targets: Tensor,
    *,
    label_smoothing: float = 0.0,
    weights: Tensor | None = None,
) -> Tensor:
    """Cross-entropy in float32, not yet averaged.

    Args:
        logits: Shape (B, C), any floating type.
        targets: Shape (B,) int64 class numbers, or (B, C) float32 probabilities.
        label_smoothing: Share of the target spread evenly over the classes.
        weights: Shape (C,), what a picture of a class counts; see ``weighted``.

    Returns:
        Shape (B,), float32.
    """
    if weights is not None:
        targets, label_smoothing = weighted(targets, weights, label_smoothing), 0.0
    return functional.cross_entropy(
        logits.to(torch.float32), targets, label_smoothing=label_smoothing, reduction="none"
    )


def focal(
    logits: Tensor,
    targets: Tensor,
    *,
    gamma: float,
    label_smoothing: float = 0.0,
    weights: Tensor | None = None,
) -> Tensor:
    """Focal loss for several classes: ``-sum_c w_c y_c (1 - p_c)^gamma log p_c``.

    Lin et al. 2017 (arXiv:1708.02002, equation 5) with softmax probabilities, its alpha as the
    class weights; gamma 0 is cross-entropy.

    Args:
        logits: Shape (B, C), any floating type.
        targets: Shape (B,) int64 class numbers, or (B, C) float32 probabilities.
        gamma: How much less easy pictures count, at least 0.
        label_smoothing: Share of the target spread evenly over the classes.
        weights: Shape (C,), what a picture of a class counts; see ``weighted``.

    Returns:
        Shape (B,), float32.
    """
    logs = logits.to(torch.float32).log_softmax(dim=1)
    if weights is None:
        soft = smoothed(targets, logits.shape[1], label_smoothing)
    else:
        soft = weighted(targets, weights, label_smoothing)
    return -(soft * (-torch.expm1(logs)).clamp(min=_SURE) ** gamma * logs).sum(dim=1)


def binary_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    *,
    pos_weight: float | None = None,
    label_smoothing: float = 0.0,
    weights: Tensor | None = None,
) -> Tensor:
    """Each class against the rest, by a sigmoid; the mean over the classes.

    As torch's ``BCEWithLogitsLoss`` on targets of 0 and 1, smoothed and mixed as for the others
    (Wightman et al. 2021, arXiv:2110.00476, section 2.1).

    Args:
        logits: Shape (B, C), any floating type.
        targets: Shape (B,) int64 class numbers, or (B, C) float32 probabilities.
        pos_weight: How much more being of a class counts than not being of it.
        label_smoothing: Share of the target spread evenly over the classes.
        weights: Shape (C,), what a class counts.

    Returns:
        Shape (B,), float32.
    """
    logits = logits.to(torch.float32)
    more = None if pos_weight is None else logits.new_tensor(pos_weight)
    losses = functional.binary_cross_entropy_with_logits(
        logits,
        smoothed(targets, logits.shape[1], label_smoothing),
        weight=weights,
        pos_weight=more,
        reduction="none",
    )
    return losses.mean(dim=1)


def smoothed(targets: Tensor, classes: int, label_smoothing: float) -> Tensor:
    """Targets as shares of the classes, (B, C) float32, some of each spread evenly."""
    return _shares(targets, classes) * (1 - label_smoothing) + label_smoothing / classes


def weighted(targets: Tensor, weights: Tensor, label_smoothing: float) -> Tensor:
    """Smoothed targets (B, C) whose sum is what the picture counts.

    What is spread counts as the picture's own class does. Torch weights it by the class that it
    goes to: with a class a hundred times heavier than the others, the best guess for each of their
    pictures would be that class.
    """
    own = _shares(targets, len(weights)) * weights
    spread = own.sum(dim=1, keepdim=True) * (label_smoothing / len(weights))
    return own * (1 - label_smoothing) + spread


def _shares(targets: Tensor, classes: int) -> Tensor:
    """Class numbers as shares of the classes, (B, C) float32."""
    soft = targets if targets.is_floating_point() else functional.one_hot(targets, classes)
    return soft.to(torch.float32)


def make_loss(settings: LossSettings, weights: Tensor | None) -> Loss:
    """What training makes small; ``weights`` (C,) are on the device of the logits.

    ``nll`` is the log-likelihood of the softmax, which is cross-entropy.

    Raises:
        SettingsError: If the classes are weighted and a plugin's loss cannot do so.
    """
    name = settings.name
    function = LOSSES[name]
    given = {
        "label_smoothing": settings.label_smoothing,
        "weights": weights,
        "gamma": settings.focal_gamma,
        "pos_weight": settings.pos_weight,
    }
    taken = options_of(function)
    if weights is not None and "weights" not in taken:
        raise SettingsError(
            f"--loss {name} of plugin {LOSSES.plugin(name)} does not weight classes",
            "leave out --class-weights, --auto-weights or --balance-strategy weights",
        )
    chosen = partial(function, **{key: given[key] for key in taken.keys() & given.keys()})
    return chosen if LOSSES.plugin(name) is None else _checked(chosen, name)


def _checked(loss: Loss, name: str) -> Loss:
    """A plugin's loss, which may give anything: one float32 number a picture, or an error."""

    def one_a_picture(logits: Tensor, targets: Tensor) -> Tensor:
        losses: object = loss(logits, targets)
        shape = tuple(losses.shape) if isinstance(losses, Tensor) else type(losses).__name__
        if not isinstance(losses, Tensor) or shape != (len(logits),):
            raise SettingsError(
                f"--loss {name} of plugin {LOSSES.plugin(name)} gives {shape} for {len(logits)} "
                "pictures",
                f"it must give one loss a picture, ({len(logits)},), not their mean",
            )
        return losses.to(torch.float32)

    return one_a_picture
