"""Lowering the learning rate when the monitored value gets no better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

_ENOUGH = 1e-4
"""Relative progress that counts, as in torch's ReduceLROnPlateau."""


class Plateaued(Protocol):
    """What is remembered between epochs; part of the checkpoint."""

    lr_factor: float
    plateau_best: float | None
    plateau_bad: int


@dataclass(frozen=True, slots=True)
class Plateau:
    """When the rate drops, and by how much.

    Args:
        gamma: What it is multiplied by.
        patience: Epochs without progress that are borne.
        lower_is_better: Whether the monitored value is a loss.
    """

    gamma: float
    patience: int
    lower_is_better: bool

    def heard(self, progress: Plateaued, value: float) -> None:
        """Note the value of an epoch that ended; drop the rate where patience is over."""
        best = progress.plateau_best
        if best is None or self._is_progress(value, best):
            progress.plateau_best, progress.plateau_bad = value, 0
            return
        progress.plateau_bad += 1
        if progress.plateau_bad > self.patience:
            progress.lr_factor *= self.gamma
            progress.plateau_bad = 0

    def _is_progress(self, value: float, best: float) -> bool:
        if self.lower_is_better:
            return value < best * (1 - _ENOUGH)
        return value > best * (1 + _ENOUGH)
