"""Sums that metrics are made of: added on the device, exact, divided once at the end.

Losses are added as whole numbers of 2^-24, so that the sum does not depend on the order, on
the batches, or on how many processes share the work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

_UNIT = 1 << 24
_HUGE = 1e6
"""A loss of one picture beyond this is as good as infinite; 5e5 of them fit into 64 bits."""

_COUNT, _LOSS, _TOP1, _TOP5, _BROKEN = range(5)

_TOGETHER, _MOST = 16, 2**18
"""Batches that are counted at once, and logits that may wait for that: what counting costs is
mostly the number of calls. The sums are of whole numbers, so that it changes nothing."""

Batched = tuple[Tensor, Tensor, Tensor, Tensor]
"""Logits, targets, losses and mask of a batch, as ``Tally.add`` takes them."""

Held = tuple[Tensor, Tensor, Tensor, tuple[Batched, ...]]
"""All that a tally knows."""


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

    No tensor is changed in place, so that what is ``held`` stays as it is.

    Args:
        classes: Number of classes.
        device: Where the sums lie.
    """

    def __init__(self, classes: int, device: torch.device) -> None:
        self.classes, self._device = classes, device
        self._waiting: list[Batched] = []
        self.clear()

    def clear(self) -> None:
        """Start a new epoch."""
        self._sums = torch.zeros(5, dtype=torch.int64, device=self._device)
        self._per_class = torch.zeros(3, self.classes, dtype=torch.int64, device=self._device)
        self._forgiven = self._sums[_BROKEN]
        self._waiting.clear()

    def add(self, logits: Tensor, targets: Tensor, losses: Tensor, mask: Tensor) -> None:
        """Count a batch, perhaps with later ones: its tensors must stay as they are. Never waits.

        Args:
            logits: Shape (B, C).
            targets: Shape (B,), int64.
            losses: Shape (B,), float32.
            mask: Shape (B,), bool; False rows count nowhere.
        """
        self._waiting.append((logits, targets, losses, mask))
        waits = len(self._waiting)
        if waits >= _TOGETHER or waits * logits.numel() >= _MOST:
            self._count()

    @torch.no_grad()
    def _count(self) -> None:
        """Add what waits to the sums."""
        if not self._waiting:
            return
        logits, targets, losses, mask = (
            torch.cat(parts) for parts in zip(*self._waiting, strict=True)
        )
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
        of_classes = torch.zeros_like(self._per_class)
        of_classes[0].index_add_(0, targets, right)
        of_classes[1].index_add_(0, predicted, counts)
        of_classes[2].index_add_(0, targets, counts)
        self._sums = self._sums + torch.stack(found).sum(dim=1)
        self._per_class = self._per_class + of_classes
        self._waiting.clear()

    def held(self) -> Held:
        """All that was added so far, to be put back by ``restore``; nothing is copied."""
        return self._sums, self._per_class, self._forgiven, tuple(self._waiting)

    def restore(self, held: Held) -> None:
        """As it was when that was held."""
        self._sums, self._per_class, self._forgiven, waiting = held
        self._waiting[:] = waiting

    def summed(self, add: Callable[[Tensor], Tensor]) -> Tally:
        """Another one that holds what ``add`` makes of the sums: those of all processes."""
        self._count()
        found = Tally(self.classes, self._device)
        found._sums, found._per_class = add(self._sums), add(self._per_class)
        return found

    def forgive(self, skipped: Tensor) -> None:
        """Broken losses of a step that fp16 left out do not count: ``skipped`` is 1 for such.

        Never waits for the device.
        """
        self._count()
        broken = torch.where(skipped > 0, self._forgiven, self._sums[_BROKEN])
        self._sums = torch.cat((self._sums[:_BROKEN], broken.reshape(1)))
        self._forgiven = broken

    def state(self) -> dict[str, Tensor]:
        """A copy for a checkpoint."""
        self._count()
        return {"sums": self._sums.cpu().clone(), "per_class": self._per_class.cpu().clone()}

    def load(self, state: dict[str, Tensor]) -> None:
        """Go on from a checkpoint's copy."""
        self.clear()
        self._sums = self._sums + state["sums"].to(self._device)
        self._per_class = self._per_class + state["per_class"].to(self._device)
        self._forgiven = self._sums[_BROKEN]

    def read(self) -> Scores:
        """Divide. Waits for the device."""
        self._count()
        count, loss, top1, top5, broken = self._sums.tolist()
        if count == 0:
            return Scores(
                n=0, loss=None, top1=None, top5=None, macro_f1=None, is_finite=broken == 0
            )
        right, predicted, actual = self._per_class.cpu().double()
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
