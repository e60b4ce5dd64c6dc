"""One loss per picture."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def cross_entropy(logits: Tensor, targets: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy in float32, not yet averaged.

    Args:
        logits: Shape (B, C), any floating type.
        targets: Shape (B,) int64 class numbers, or (B, C) float32 probabilities.
        label_smoothing: Share of the target spread evenly over the classes.

    Returns:
        Shape (B,), float32.
    """
    return functional.cross_entropy(
        logits.to(torch.float32), targets, label_smoothing=label_smoothing, reduction="none"
    )
