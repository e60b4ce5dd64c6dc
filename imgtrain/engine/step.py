"""One update of the weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import torch
from torch import nn

from imgtrain.engine.recompute import buffers_kept
from imgtrain.engine.scaling import RunningMeans
from imgtrain.engine.state import TrainState
from imgtrain.errors import SettingsError
from imgtrain.loading.loader import Batch
from imgtrain.loading.mix import mixed


def seed_step(state: TrainState) -> None:
    """Make what the step draws (dropout) a function of seed, step and process.

    So no state of any generator needs saving, and a repeated step draws the same.
    """
    key = ((state.seed * 1_000_003 + state.global_step) * 4099 + state.world.rank) % 2**63
    kind = state.compute.torch_device.type
    # torch.manual_seed writes down a traceback for each kind of device that was never used
    if kind in ("cpu", "cuda"):
        torch.default_generator.manual_seed(key)
    if kind == "cuda":
        torch.cuda.manual_seed(key)
    elif kind != "cpu":
        torch.manual_seed(key)


def train_step(state: TrainState, micro_batches: Iterator[Batch]) -> None:
    """Add up the gradients of the step's micro-batches, then move the weights once.

    The loss is the sum over pictures divided by the size of the whole effective batch; pictures
    that could not be read leave it. Never waits for the device.
    """
    planned = state.pictures_in(state.progress.step)
    seed_step(state)
    means = RunningMeans(state.model) if state.scale.enabled else None
    state.moved = False
    _drop_gradients(state.optimizer)
    found = 0
    for k in range(state.batches.passes):
        batch = next(micro_batches)
        found += batch.count
        with state.world.unsynced(state.net, last=k == state.batches.passes - 1):
            add_gradients(state, batch, planned)
    found = state.world.total(found)
    if found:  # of unreadable pictures alone there is nothing to learn
        if found != planned:
            _scale_gradients(state.model, planned / found)
        _move(state, means)
    state.progress.step += 1


def _move(state: TrainState, means: RunningMeans | None) -> None:
    """Clip, and let the optimizer step at this step's rate."""
    state.scale.unscale()
    groups = state.optimizer.param_groups
    if state.clip_norm is not None:  # all that has a gradient; walking the modules takes longer
        nn.utils.clip_grad_norm_([p for group in groups for p in group["params"]], state.clip_norm)
    lr = state.lr_at(state.global_step)
    for group in groups:
        group["lr"] = lr * group["lr_scale"]
    skipped = state.scale.step()
    state.moved = True
    if skipped is not None and means is not None:
        state.tally.forgive(skipped)
        means.restore(skipped)
    if state.ema is not None:
        state.ema.update(state.model, skipped)


def add_gradients(state: TrainState, batch: Batch, planned: int) -> None:
    """Forward, loss, backward of one micro-batch; its numbers go to the tally."""
    inputs, targets, labels = state.normalise(batch.pixels), batch.targets, batch.targets
    if batch.mix is not None:
        inputs, targets, labels = mixed(inputs, targets, batch.mix, classes=state.tally.classes)
    try:
        with state.compute.autocast():
            logits = state.net(inputs)
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise SettingsError(
            "batch normalisation cannot learn from a single picture of this size",
            "raise --batch-size or --image-size",
        ) from error
    losses = state.loss(logits, targets)
    if state.teacher is not None:
        losses = state.teacher.blended(losses, logits, batch, state.compute)
    # DistributedDataParallel averages over processes; the loss is a sum over them.
    counted = losses if batch.is_full else losses * batch.mask
    loss = counted.sum() * (state.world.size / planned)
    with buffers_kept(state.model) if state.recomputes else nullcontext():
        state.scale.scaled(loss).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    state.tally.add(logits.detach(), labels, losses.detach(), batch.mask)


def _drop_gradients(optimizer: torch.optim.Optimizer) -> None:
    """As ``zero_grad`` does, without the profiler's record that takes most of its time."""
    for group in optimizer.param_groups:
        for weight in group["params"]:
            weight.grad = None


def _scale_gradients(model: nn.Module, factor: float) -> None:
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.grad.mul_(factor)
