"""Scoring pictures: sums for a part, or every picture's probabilities."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from imgtrain.engine.device import ComputePlan
from imgtrain.engine.loss import cross_entropy
from imgtrain.engine.state import Normalise
from imgtrain.engine.tally import Tally
from imgtrain.loading.loader import Batch

Probabilities = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Positions in the index (B,), and probabilities (B, C)."""


def count_part(
    model: nn.Module,
    batches: Iterable[Batch],
    tally: Tally,
    normalise: Normalise,
    compute: ComputePlan,
) -> Iterator[int]:
    """Add every batch to ``tally``; yields the number of batches done, so that one may stop."""
    model.eval()
    try:
        for number, batch in enumerate(batches, start=1):
            with torch.inference_mode():
                with compute.autocast():
                    logits = model(normalise(batch.pixels))
                losses = cross_entropy(logits, batch.targets)
                tally.add(logits, batch.targets, losses, batch.mask)
            yield number
    finally:
        model.train()


def probabilities(
    model: nn.Module,
    batches: Iterable[Batch],
    normalise: Normalise,
    compute: ComputePlan,
    *,
    watch: Callable[[int], None] = lambda _: None,
) -> Probabilities:
    """Every counting picture's probabilities, in the order of the batches.

    ``watch`` hears how many batches are done.
    """
    positions: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
    found: list[NDArray[np.float32]] = []
    model.eval()
    with torch.inference_mode():
        for number, batch in enumerate(batches, start=1):
            with compute.autocast():
                logits = model(normalise(batch.pixels))
            chances = logits.float().softmax(dim=1).cpu().numpy()  # waits for the device
            good = batch.mask.cpu().numpy()
            positions.append(batch.pictures[good])
            found.append(chances[good])
            watch(number)
    empty = np.empty((0, 0), np.float32)
    return np.concatenate(positions), np.concatenate(found) if found else empty
