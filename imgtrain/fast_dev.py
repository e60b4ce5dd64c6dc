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
    batch = settings.train.batch_size
    size = (8 if batch == "auto" else batch) * settings.train.accumulation_steps

    def some(part: Ints, most: int) -> Ints:
        order = np.argsort(_turn(index.labels[part]), kind="stable")
        return np.sort(part[order[:most]])

    cut = Split(
        train=some(split.train, max(2 * size, len(index.classes))),
        val=some(split.val, size),
        test=some(split.test, size),
        calibration=some(split.calibration, size),
    )
    last = settings.train.average_last
    fewer = {
        "epochs": 2,
        "budget": None,
        "realised": None,
        "average_last": None if last is None else min(last, 2),
    }
    train = settings.train.model_copy(update=fewer)
    thaws = (2,) if settings.model.unfreeze_epochs else None
    model = settings.model.model_copy(update={"unfreeze_epochs": thaws})
    schedule = settings.schedule
    warmup: dict[str, object] = {"warmup_epochs": min(schedule.warmup_epochs, 1.0)}
    if schedule.warmup_steps is not None:
        warmup["warmup_steps"] = min(schedule.warmup_steps, 1)
    schedule = schedule.model_copy(update=warmup)
    update = {"train": train, "schedule": schedule, "model": model}
    return settings.model_copy(update=update), cut


def _turn(labels: Ints) -> Ints:
    """For each picture, how many of its class came before it."""
    order = np.argsort(labels, kind="stable")
    first = np.searchsorted(labels[order], labels[order], side="left")
    turns = np.empty(len(labels), np.int64)
    turns[order] = np.arange(len(labels)) - first
    return turns
