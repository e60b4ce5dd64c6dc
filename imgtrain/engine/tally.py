"""Sums that metrics are made of: added on the device, exact, divided once at the end.

Losses are added as whole numbers of 2^-24, so that the sum does not depend on the order, on
the batches, or on how many processes share the work.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_UNIT = 1 << 24
_HUGE = 1e6
"""A loss of one picture beyond this is as good as infinite; 5e5 of them fit into 64 bits."""

_COUNT, _LOSS, _TOP1, _TOP5, _BROKEN = range(5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """A tally read and divided; None where there was no picture or too few classes."""

    n: int
    loss: float | None
    top1: float | None
    top5: float | None
    macro_f1: float | None
    is_finite: bool


class Tally:
    """Running sums over pictures, on one device.

    Args:
        classes: Number of classes.
        device: Where the sums lie.
    """

    def __init__(self, classes: int, device: torch.device) -> None:
        self.classes = classes
        self.sums = torch.zeros(5, dtype=torch.int64, device=device)
        self.per_class = torch.zeros(3, classes, dtype=torch.int64, device=device)
        self._forgiven = self.sums[_BROKEN].clone()

    def add(self, logits: Tensor, targets: Tensor, losses: Tensor, mask: Tensor) -> None:
        """Count a batch without waiting for the device.

        Args:
            logits: Shape (B, C).
            targets: Shape (B,), int64.
            losses: Shape (B,), float32.
            mask: Shape (B,), bool; False rows count nowhere.
        """
        with torch.no_grad():
            counts = mask.to(torch.int64)
            sane = losses < _HUGE  # False for NaN and infinity, too
            whole = torch.where(sane, losses, 0.0) * _UNIT  # exact: a power of two
            predicted = logits.argmax(dim=1)
            right = (predicted == targets).to(torch.int64) * counts
            found = [counts, whole.round().to(torch.int64) * counts, right]  # in the order of sums
            if self.classes > 5:  # noqa: PLR2004  # top-5 of five classes would always be right
                five = logits.topk(5, dim=1).indices
                hit = (five == targets[:, None]).any(dim=1).to(torch.int64)
                found.append(hit * counts)
            else:
                found.append(torch.zeros_like(counts))
            found.append((~sane & mask).to(torch.int64))
            self.sums += torch.stack(found).sum(dim=1)
            self.per_class[0].index_add_(0, targets, right)
            self.per_class[1].index_add_(0, predicted, counts)
            self.per_class[2].index_add_(0, targets, counts)

    def forgive(self, skipped: Tensor) -> None:
        """Broken losses of a step that fp16 left out do not count: ``skipped`` is 1 for such.

        Never waits for the device.
        """
        broken = torch.where(skipped > 0, self._forgiven, self.sums[_BROKEN])
        self.sums[_BROKEN] = self._forgiven = broken

    def state(self) -> dict[str, Tensor]:
        """A copy for a checkpoint."""
        return {"sums": self.sums.cpu().clone(), "per_class": self.per_class.cpu().clone()}

    def load(self, state: dict[str, Tensor]) -> None:
        """Go on from a checkpoint's copy."""
        self.sums.copy_(state["sums"])
        self.per_class.copy_(state["per_class"])
        self._forgiven = self.sums[_BROKEN].clone()

    def clear(self) -> None:
        """Start a new epoch."""
        self.sums.zero_()
        self.per_class.zero_()
        self._forgiven = self.sums[_BROKEN].clone()

    def read(self) -> Scores:
        """Divide. Waits for the device."""
        count, loss, top1, top5, broken = self.sums.tolist()
        if count == 0:
            return Scores(
                n=0, loss=None, top1=None, top5=None, macro_f1=None, is_finite=broken == 0
            )
        right, predicted, actual = self.per_class.cpu().double()
        present = (actual + predicted) > 0  # as scikit-learn's macro average
        f1 = 2 * right / (predicted + actual).clamp(min=1)
        return Scores(
            n=count,
            loss=loss / _UNIT / count,
            top1=top1 / count,
            top5=top5 / count if self.classes > 5 else None,  # noqa: PLR2004  # as in add
            macro_f1=float(f1[present].mean()),
            is_finite=broken == 0,
        )
