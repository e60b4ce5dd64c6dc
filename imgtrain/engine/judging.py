"""Which epoch is the best, and whether it is good enough."""

from __future__ import annotations

import math

from imgtrain.engine.state import Row, TrainState


def is_best_yet(state: TrainState, row: Row) -> bool:
    """Whether the row beats all before it; of equals, the one with the lower validation loss.

    Without a validation part the newest always does, and so does the mean of the last epochs.
    """
    progress = state.progress
    if state.monitor is None:
        return True
    value, loss = row[state.monitor], row["val_loss"]
    if value is None or loss is None or not math.isfinite(loss):
        return False
    sign = -1 if state.monitor == "val_loss" else 1
    compared = state.average is None or state.average.model is None  # the mean is kept anyway
    if compared and progress.best_value is not None and progress.best_loss is not None:
        before = (sign * progress.best_value, -progress.best_loss)
        if (sign * value, -loss) <= before:
            return False
    progress.best_value, progress.best_loss = value, loss
    return True


def is_good_enough(state: TrainState, value: float | None) -> bool:
    """Whether the monitored value has reached the target."""
    if state.target is None or value is None:
        return False
    return value <= state.target if state.monitor == "val_loss" else value >= state.target
