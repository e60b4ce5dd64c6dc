"""Training, in the order in which things happen, told as a generator of events."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from imgtrain.engine.checkpoint import Checkpoints
from imgtrain.engine.compiling import trained
from imgtrain.engine.device import memory_in_use_mb
from imgtrain.engine.freeze import forget_steps
from imgtrain.engine.infer import count_part
from imgtrain.engine.judging import is_best_yet, is_good_enough
from imgtrain.engine.memory import Guard, guarded_step, rehearse
from imgtrain.engine.sharding import is_shared_out
from imgtrain.engine.state import SCORING_BATCH, Row, TrainState
from imgtrain.engine.syncbn import is_synchronised
from imgtrain.engine.tally import Scores, Tally
from imgtrain.engine.world import World
from imgtrain.errors import DataError, DivergedError
from imgtrain.events import EpochEnded, Evaluating, Event, RunEnded, RunStarted, StepEnded

LOOK_EVERY = 0.25
"""Seconds between two looks at the running numbers (each waits for the device)."""

_GO_ON, _PLAN, _SAVE, _STOP = range(4)


@dataclass(slots=True)
class Watch:
    """Time within one epoch, and what has to happen when."""

    checkpoint_seconds: float
    stopped: Callable[[], bool]
    started: float = field(default_factory=time.monotonic)
    trained: float = 0.0
    first_step: int = 0
    compiles: bool = False
    counted: float = field(default_factory=time.monotonic)
    looked: float = field(default_factory=time.monotonic)
    saved: float = field(default_factory=time.monotonic)

    def verdict(self, state: TrainState) -> int:
        """What all processes do at this step boundary: go on, plan, save, or stop."""
        due = time.monotonic() - self.saved > self.checkpoint_seconds
        rest = _SAVE if due else _PLAN if state.keeper.is_due(state) else _GO_ON
        return state.world.largest(_STOP if self.stopped() else rest)

    def stepped(self, step: int) -> None:
        """The first step of a network that is compiled says nothing about speed."""
        if self.compiles:
            self.compiles, self.first_step, self.counted = False, step, time.monotonic()

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
        epochs=state.plan.last_epoch,
        steps_per_epoch=state.plan.steps_per_epoch,
        epoch=progress.epoch,
        step=progress.step,
        history=tuple(dict(row) for row in progress.history),
        monitor=state.monitor,
    )
    rehearse(state)
    compiles = state.compute.compiled
    if progress.reason is None:
        state.keeper.begin(state)
    unsaved: list[EpochEnded] = []
    while progress.reason is None:
        watch = Watch(checkpoint_seconds, stopped, first_step=progress.step, compiles=compiles)
        compiles = False
        yield from _train_epoch(state, checkpoints, watch)
        val = Tally(state.tally.classes, state.compute.torch_device)
        checks = state.keeper.wants_check(state)
        if checks and not state.world.largest(int(watch.stopped())):
            yield from _settle_average(state, watch)
            yield from _validate(state, val, watch)
        if state.world.largest(int(watch.stopped())):
            _save_last(state, checkpoints)
            yield _ended(state, "signal")
            return
        row, is_best = _close_epoch(state, val, watch, checks=checks)
        progress.history.append(row)
        epoch, epochs = progress.epoch, state.plan.last_epoch
        if state.average is not None:
            state.average.add(state.model, epoch)
        _advance(state, checks=checks)
        unsaved.append(EpochEnded(epoch=epoch, epochs=epochs, row=row, is_best=is_best))
        if checks:
            _save_epoch(state, checkpoints, epoch=epoch, is_best=is_best)
            yield from unsaved
            unsaved.clear()
    yield _ended(state, progress.reason)


def _train_epoch(state: TrainState, checkpoints: Checkpoints, watch: Watch) -> Iterator[Event]:
    """What is left of the epoch's training part, or until a stop."""
    progress = state.progress
    _thaw(state)
    batches, guard = state.keeper.batches(state), Guard(state)
    while progress.step < state.plan.steps_in(progress.epoch):
        if not guarded_step(state, batches, guard):
            batches.close()
            batches = state.keeper.batches(state)
            _save_last(state, checkpoints)  # whoever goes on from here cuts as small
            continue
        watch.stepped(progress.step)
        if watch.wants_look() or progress.step == state.plan.steps_in(progress.epoch):
            yield _look(state, watch)
            state.keeper.looked(state)
        verdict = watch.verdict(state)
        if verdict == _STOP:
            break
        if verdict == _SAVE:
            _save_last(state, checkpoints)
            watch.saved = time.monotonic()
        if verdict == _PLAN:
            state.keeper.plan(state)
    batches.close()


def _thaw(state: TrainState) -> None:
    """Let what is due in this epoch learn; keep still what stays frozen."""
    if not state.learns():
        return
    if not state.progress.step:
        forget_steps(state.optimizer, state.progress.epoch)
    if state.net is not state.model:  # a wrapper knows only what learnt when it was made
        state.net = state.model
        gc.collect()
        state.net = trained(state.model, state.compute, state.world)


def _look(state: TrainState, watch: Watch) -> StepEnded:
    """Read the running numbers. Waits for the device."""
    scores = state.tally.read()
    _check_finite(state, scores)
    progress = state.progress
    watch.trained = max(time.monotonic() - watch.counted, 1e-9)
    done = progress.step - watch.first_step
    return StepEnded(
        epoch=progress.epoch,
        step=progress.step,
        global_step=state.global_step,
        lr=state.lr_at(state.global_step - 1),
        train_loss=scores.loss if scores.loss is not None else math.nan,
        train_top1=scores.top1 if scores.top1 is not None else math.nan,
        images_per_second=done * state.batches.effective / watch.trained,
        memory_mb=memory_in_use_mb(state.compute.torch_device),
        epochs=state.plan.last_epoch,
    )


def _check_finite(state: TrainState, scores: Scores) -> None:
    """Refuse to go on with what is no number. Waits for the device."""
    if state.scale.is_spent():
        raise DivergedError(
            f"training diverged: gradients overflow fp16 in epoch {state.progress.epoch}, "
            "however small the scale of the loss",
            "lower --lr, or try --precision bf16 or fp32",
        )
    if scores.is_finite:
        return
    raise DivergedError(
        f"training diverged: the loss became NaN or infinite in epoch {state.progress.epoch} "
        f"(learning rate {state.lr_at(max(0, state.global_step - 1)):.3g})",
        "lower --lr, raise --warmup-epochs, keep --clip-norm, or try --precision fp32",
    )


def _settle_average(state: TrainState, watch: Watch) -> Iterator[Event]:
    """After the last epoch, the mean of the weights of the last ones is what is scored."""
    average = state.average
    if average is None or state.progress.epoch < state.plan.epochs:
        return
    average.make(state.model)
    part = np.unique(state.train.train)
    total = math.ceil(len(part) / SCORING_BATCH)
    together = is_synchronised(state.model)  # passes wait for one another: all make every pass
    batches = (replace(state, world=World()) if together else state).scoring_batches(part)
    for number in average.estimate_norms(batches, state.normalise, state.world):
        if watch.wants_look():
            yield Evaluating(part="train", batch=number * state.world.size, batches=total)


def _validate(state: TrainState, val: Tally, watch: Watch) -> Iterator[Event]:
    """Count the validation part, in all processes together."""
    if not len(state.val):
        state.keeper.checked(state, time.monotonic())
        return
    since = time.monotonic()
    state.world.same_buffers(state.scored)
    total = math.ceil(len(state.val) / SCORING_BATCH)
    batches = state.scoring_batches(state.val)
    compute = state.compute
    alone = not is_shared_out(state.model)  # else all processes go through every batch together
    for number in count_part(
        state.scored, batches, val, state.normalise, compute, pieces=state.scoring
    ):
        if alone and watch.stopped():
            return
        if watch.wants_look():
            yield Evaluating(part="val", batch=number * state.world.size, batches=total)
    state.keeper.checked(state, since)


def _close_epoch(state: TrainState, val: Tally, watch: Watch, *, checks: bool) -> tuple[Row, bool]:
    """Divide the sums of all processes into the epoch's row; decide whether it is the best."""
    trained, held_out = (t.summed(state.world.add).read() for t in (state.tally, val))
    _check_finite(state, trained)
    _check_finite(state, held_out)
    _check_some(trained, "training")
    if len(state.val) and checks:
        _check_some(held_out, "validation")
    seconds = time.monotonic() - watch.started
    device = state.compute.torch_device
    row: Row = {
        "epoch": state.progress.epoch,
        "step": state.global_step,
        "lr": state.lr_at(state.global_step - 1),
        "train_loss": trained.loss,
        "train_top1": trained.top1,
        "val_loss": held_out.loss,
        "val_top1": held_out.top1,
        "val_top5": held_out.top5,
        "val_macro_f1": held_out.macro_f1,
    }
    is_best = checks and is_best_yet(state, row)
    if is_best:
        state.progress.best_epoch = state.progress.epoch
    row["is_best"] = int(is_best)
    row["gpu_memory_mb"] = round(memory_in_use_mb(device), 1) if device.type == "cuda" else None
    row["seconds"] = round(seconds, 3)
    row["image_size"] = state.plan.size_at(state.global_step - 1)
    share = 1 - watch.first_step / max(1, state.progress.step)
    row["images_per_second"] = round(trained.n * share / max(watch.trained, 1e-9), 1)
    return row, is_best


def _check_some(scores: Scores, part: str) -> None:
    if not scores.n:
        raise DataError(
            f"none of the {part} pictures can be read",
            "look at one of them; --on-bad-image error names the first",
        )


def _advance(state: TrainState, *, checks: bool = True) -> None:
    """To the next epoch, or to the end."""
    progress = state.progress
    ended, best = progress.epoch, progress.best_epoch or 0
    value = progress.history[-1][state.monitor] if state.monitor else None
    if state.plateau is not None and value is not None:
        state.plateau.heard(progress, value)
    progress.epoch, progress.step = ended + 1, 0
    state.tally.clear()
    if is_good_enough(state, value):
        progress.reason = "target"
    elif ended >= state.plan.last_epoch:
        progress.reason = "finished"
    elif (
        checks
        and state.patience is not None
        and ended - max(best, progress.patient_from) >= state.patience
    ):
        progress.reason = "patience"


def _save_epoch(state: TrainState, checkpoints: Checkpoints, *, epoch: int, is_best: bool) -> None:
    """The best first: if the last is lost, the epoch is repeated and the best written again."""
    since = time.monotonic()
    _share_bad(state)
    state.keeper.saves(state)
    if is_best:
        checkpoints.save_best(state)
    checkpoints.save_last(state, epoch=epoch)
    state.world.wait()
    state.keeper.saved(state, since)


def _share_bad(state: TrainState) -> None:
    """Let every process know all unreadable pictures, and the store outlive this process."""
    pictures = state.loader.pictures
    pictures.store.save()
    for found in state.world.gather(dict(pictures.bad)):
        pictures.bad.update(found)


def _save_last(state: TrainState, checkpoints: Checkpoints) -> None:
    """Inside an epoch: the sums of all processes go into the first one's checkpoint."""
    since = time.monotonic()
    _share_bad(state)
    state.keeper.saves(state)
    _check_finite(state, state.tally.read())
    own, state.tally = state.tally, state.tally.summed(state.world.add)
    checkpoints.save_last(state)
    state.tally = own
    state.world.wait()
    state.keeper.saved(state, since)


def _ended(state: TrainState, reason: str) -> RunEnded:
    progress = state.progress
    return RunEnded(
        reason=reason,
        epoch=len(progress.history),
        best_epoch=progress.best_epoch,
        best_value=progress.best_value,
    )
