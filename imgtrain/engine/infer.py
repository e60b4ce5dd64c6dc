"""Scoring pictures: sums for a part, or every picture's probabilities."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from imgtrain.engine.device import ComputePlan
from imgtrain.engine.loss import cross_entropy
from imgtrain.engine.pieces import Pieces
from imgtrain.engine.sharding import without_gradients
from imgtrain.engine.tally import Tally
from imgtrain.loading.loader import Batch

Probabilities = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Positions in the index (B,), and probabilities (B, C)."""


def count_part(
    model: nn.Module,
    batches: Iterable[Batch],
    tally: Tally,
    normalise: Callable[[Tensor], Tensor],
    compute: ComputePlan,
    *,
    pieces: Pieces | None = None,
) -> Iterator[int]:
    """Add every batch to ``tally``; yields the number of batches done, so that one may stop."""
    pieces = pieces or Pieces()
    model.eval()
    try:
        for number, batch in enumerate(batches, start=1):
            with without_gradients(model):
                with compute.autocast():
                    logits = pieces.logits(model, batch.pixels, normalise)
                losses = cross_entropy(logits, batch.targets)
                tally.add(logits, batch.targets, losses, batch.mask)
            yield number
    finally:
        model.train()


def probabilities(
    model: nn.Module,
    batches: Iterable[Batch],
    normalise: Callable[[Tensor], Tensor],
    compute: ComputePlan,
    *,
    watch: Callable[[int], None] = lambda _: None,
    pieces: Pieces | None = None,
    temperature: float = 1.0,
) -> Probabilities:
    """Every counting picture's probabilities, in the order of the batches.

    ``watch`` hears how many batches are done; ``pieces`` remembers how batches are cut; logits are
    divided by ``temperature``.
    """
    positions: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
    found: list[NDArray[np.float32]] = []
    pieces = pieces or Pieces()
    model.eval()
    with without_gradients(model):
        for number, batch in enumerate(batches, start=1):
            with compute.autocast():
                logits = pieces.logits(model, batch.pixels, normalise)
            scaled = logits.float() / temperature
            chances = scaled.softmax(dim=1).cpu().numpy()  # waits for the device
            good = batch.mask.cpu().numpy()
            positions.append(batch.pictures[good])
            found.append(chances[good])
            watch(number)
    empty = np.empty((0, 0), np.float32)
    return np.concatenate(positions), np.concatenate(found) if found else empty


def averaged(views: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """The mean of every view's probabilities, (B, C) each; of one view, itself."""
    if len(views) == 1:
        return views[0]
    mean: NDArray[np.float64] = np.stack(views).mean(axis=0, dtype=np.float64)
    return mean.astype(np.float32)
