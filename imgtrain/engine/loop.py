"""Training, in the order in which things happen, told as a generator of events."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from imgtrain.engine.checkpoint import Checkpoints
from imgtrain.engine.device import memory_in_use_mb
from imgtrain.engine.infer import count_part
from imgtrain.engine.state import SCORING_BATCH, Row, TrainState
from imgtrain.engine.step import train_step
from imgtrain.engine.tally import Scores, Tally
from imgtrain.errors import DataError, DivergedError
from imgtrain.events import EpochEnded, Evaluating, Event, RunEnded, RunStarted, StepEnded

LOOK_EVERY = 0.25
"""Seconds between two looks at the running numbers (each waits for the device)."""

_GO_ON, _SAVE, _STOP = 0, 1, 2


@dataclass(slots=True)
class Watch:
    """Time within one epoch, and what has to happen when."""

    checkpoint_seconds: float
    stopped: Callable[[], bool]
    started: float = field(default_factory=time.monotonic)
    trained: float = 0.0
    first_step: int = 0
    looked: float = field(default_factory=time.monotonic)
    saved: float = field(default_factory=time.monotonic)

    def verdict(self, state: TrainState) -> int:
        """What all processes do at this step boundary: go on, save, or stop."""
        due = time.monotonic() - self.saved > self.checkpoint_seconds
        mine = _STOP if self.stopped() else _SAVE if due else _GO_ON
        return state.world.largest(mine)

    def wants_look(self) -> bool:
        """Whether the display is due."""
        now = time.monotonic()
        if now - self.looked < LOOK_EVERY:
            return False
        self.looked = now
        return True


def fit(
    state: TrainState,
    checkpoints: Checkpoints,
    *,
    checkpoint_seconds: float = 300.0,
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Train from where ``state.progress`` stands to the end.

    When an ``EpochEnded`` is told, that epoch is on disk. Once ``stopped()`` is true, the step in
    hand is finished, the state saved, and the last event is a ``RunEnded`` for ``signal``.

    Raises:
        DivergedError: If the training loss is no longer a number.
        DiskError: If a checkpoint cannot be written.
    """
    progress = state.progress
    progress.planned = state.plan.epochs
    yield RunStarted(
        epochs=state.plan.epochs,
        steps_per_epoch=state.plan.steps_per_epoch,
        epoch=progress.epoch,
        step=progress.step,
        history=tuple(dict(row) for row in progress.history),
        monitor=state.monitor,
    )
    while progress.reason is None:
        watch = Watch(checkpoint_seconds, stopped, first_step=progress.step)
        yield from _train_epoch(state, checkpoints, watch)
        val = Tally(state.tally.classes, state.compute.torch_device)
        if not state.world.largest(int(watch.stopped())):
            yield from _validate(state, val, watch)
        if state.world.largest(int(watch.stopped())):
            _save_last(state, checkpoints)
            yield _ended(state, "signal")
            return
        row, is_best = _close_epoch(state, val, watch)
        progress.history.append(row)
        epoch = progress.epoch
        _advance(state)
        _save_epoch(state, checkpoints, epoch=epoch, is_best=is_best)
        yield EpochEnded(epoch=epoch, epochs=state.plan.epochs, row=row, is_best=is_best)
    yield _ended(state, progress.reason)


def _train_epoch(state: TrainState, checkpoints: Checkpoints, watch: Watch) -> Iterator[Event]:
    """What is left of the epoch's training part, or until a stop."""
    progress, steps = state.progress, state.plan.steps_per_epoch
    state.net.train()
    batches = state.training_batches()
    while progress.step < steps:
        train_step(state, batches)
        if watch.wants_look() or progress.step == steps:
            yield _look(state, watch)
        verdict = watch.verdict(state)
        if verdict == _STOP:
            break
        if verdict == _SAVE:
            _save_last(state, checkpoints)
            watch.saved = time.monotonic()


def _look(state: TrainState, watch: Watch) -> StepEnded:
    """Read the running numbers. Waits for the device."""
    scores = state.tally.read()
    _check_finite(state, scores)
    progress = state.progress
    watch.trained = max(time.monotonic() - watch.started, 1e-9)
    done = progress.step - watch.first_step
    return StepEnded(
        epoch=progress.epoch,
        step=progress.step,
        global_step=state.global_step,
        lr=state.plan.lr_at(state.global_step - 1),
        train_loss=scores.loss if scores.loss is not None else math.nan,
        train_top1=scores.top1 if scores.top1 is not None else math.nan,
        images_per_second=done * state.batches.effective / watch.trained,
        memory_mb=memory_in_use_mb(state.compute.torch_device),
    )


def _check_finite(state: TrainState, scores: Scores) -> None:
    if scores.is_finite:
        return
    raise DivergedError(
        f"training diverged: the loss became NaN or infinite in epoch {state.progress.epoch} "
        f"(learning rate {state.plan.lr_at(max(0, state.global_step - 1)):.3g})",
        "lower --lr, raise --warmup-epochs, keep --clip-norm, or try --precision fp32",
    )


def _validate(state: TrainState, val: Tally, watch: Watch) -> Iterator[Event]:
    """Count the validation part, in all processes together."""
    if not len(state.val):
        return
    state.world.same_buffers(state.model)
    total = math.ceil(len(state.val) / SCORING_BATCH)
    batches = state.scoring_batches(state.val)
    compute = state.compute
    for number in count_part(state.model, batches, val, state.normalise, compute):
        if watch.stopped():
            return
        if watch.wants_look():
            yield Evaluating(part="val", batch=number * state.world.size, batches=total)


def _close_epoch(state: TrainState, val: Tally, watch: Watch) -> tuple[Row, bool]:
    """Divide the sums of all processes into the epoch's row; decide whether it is the best."""
    for tally in (state.tally, val):
        tally.sums = state.world.add(tally.sums)
        tally.per_class = state.world.add(tally.per_class)
    trained, held_out = state.tally.read(), val.read()
    _check_finite(state, trained)
    _check_finite(state, held_out)
    _check_some(trained, "training")
    if len(state.val):
        _check_some(held_out, "validation")
    seconds = time.monotonic() - watch.started
    device = state.compute.torch_device
    row: Row = {
        "epoch": state.progress.epoch,
        "step": state.global_step,
        "lr": state.plan.lr_at(state.global_step - 1),
        "train_loss": trained.loss,
        "train_top1": trained.top1,
        "val_loss": held_out.loss,
        "val_top1": held_out.top1,
        "val_top5": held_out.top5,
        "val_macro_f1": held_out.macro_f1,
    }
    is_best = _is_best(state, row)
    if is_best:
        state.progress.best_epoch = state.progress.epoch
    row["is_best"] = int(is_best)
    row["gpu_memory_mb"] = round(memory_in_use_mb(device), 1) if device.type == "cuda" else None
    row["seconds"] = round(seconds, 3)
    share = 1 - watch.first_step / state.plan.steps_per_epoch
    row["images_per_second"] = round(trained.n * share / max(watch.trained, 1e-9), 1)
    return row, is_best


def _check_some(scores: Scores, part: str) -> None:
    if not scores.n:
        raise DataError(
            f"none of the {part} pictures can be read",
            "look at one of them; --on-bad-image error names the first",
        )


def _is_best(state: TrainState, row: Row) -> bool:
    """Whether the row beats all before it; of equals, the one with the lower validation loss.

    Without a validation part the newest always does.
    """
    progress = state.progress
    if state.monitor is None:
        return True
    value, loss = row[state.monitor], row["val_loss"]
    if value is None or loss is None or not math.isfinite(loss):
        return False
    sign = -1 if state.monitor == "val_loss" else 1
    if progress.best_value is not None and progress.best_loss is not None:
        before = (sign * progress.best_value, -progress.best_loss)
        if (sign * value, -loss) <= before:
            return False
    progress.best_value, progress.best_loss = value, loss
    return True


def _advance(state: TrainState) -> None:
    """To the next epoch, or to the end."""
    progress = state.progress
    ended, best = progress.epoch, progress.best_epoch or 0
    progress.epoch, progress.step = ended + 1, 0
    state.tally.clear()
    if ended >= state.plan.epochs:
        progress.reason = "finished"
    elif state.patience is not None and ended - max(best, progress.patient_from) >= state.patience:
        progress.reason = "patience"


def _save_epoch(state: TrainState, checkpoints: Checkpoints, *, epoch: int, is_best: bool) -> None:
    """The best first: if the last is lost, the epoch is repeated and the best written again."""
    _share_bad(state)
    if state.world.is_first:
        if is_best:
            checkpoints.save_best(state)
        checkpoints.save_last(state, epoch=epoch)
    state.world.wait()


def _share_bad(state: TrainState) -> None:
    """Let every process know all unreadable pictures, and the store outlive this process."""
    pictures = state.loader.pictures
    pictures.store.save()
    for found in state.world.gather(dict(pictures.bad)):
        pictures.bad.update(found)


def _save_last(state: TrainState, checkpoints: Checkpoints) -> None:
    """Inside an epoch: the sums of all processes go into the first one's checkpoint."""
    _share_bad(state)
    _check_finite(state, state.tally.read())
    sums, per_class = state.tally.sums, state.tally.per_class
    state.tally.sums = state.world.add(sums)
    state.tally.per_class = state.world.add(per_class)
    if state.world.is_first:
        checkpoints.save_last(state)
    state.tally.sums, state.tally.per_class = sums, per_class
    state.world.wait()


def _ended(state: TrainState, reason: str) -> RunEnded:
    progress = state.progress
    return RunEnded(
        reason=reason,
        epoch=len(progress.history),
        best_epoch=progress.best_epoch,
        best_value=progress.best_value,
    )
