"""``--fast-dev``: the same command, tiny, to see whether it works."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imgtrain.data.index import Index
from imgtrain.data.split import Split
from imgtrain.settings.schema import Settings

Ints = NDArray[np.int64]


def tiny(settings: Settings, index: Index, split: Split) -> tuple[Settings, Split]:
    """Two epochs of about two batches, and one batch to score; every class in turn."""
    size = settings.train.batch_size * settings.train.accumulation_steps

    def some(part: Ints, most: int) -> Ints:
        order = np.argsort(_turn(index.labels[part]), kind="stable")
        return np.sort(part[order[:most]])

    cut = Split(
        train=some(split.train, max(2 * size, len(index.classes))),
        val=some(split.val, size),
        test=some(split.test, size),
    )
    train = settings.train.model_copy(update={"epochs": 2})
    warmup = min(settings.schedule.warmup_epochs, 1.0)
    schedule = settings.schedule.model_copy(update={"warmup_epochs": warmup})
    return settings.model_copy(update={"train": train, "schedule": schedule}), cut


def _turn(labels: Ints) -> Ints:
    """For each picture, how many of its class came before it."""
    order = np.argsort(labels, kind="stable")
    first = np.searchsorted(labels[order], labels[order], side="left")
    turns = np.empty(len(labels), np.int64)
    turns[order] = np.arange(len(labels)) - first
    return turns
