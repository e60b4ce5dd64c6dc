"""One update of the weights."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from imgtrain.engine.loss import cross_entropy
from imgtrain.engine.state import TrainState
from imgtrain.errors import SettingsError
from imgtrain.loading.loader import Batch


def seed_step(state: TrainState) -> None:
    """Make what the step draws (dropout) a function of seed, step and process.

    So no state of any generator needs saving, and a repeated step draws the same.
    """
    key = (state.seed * 1_000_003 + state.global_step) * 4099 + state.world.rank
    torch.manual_seed(key % 2**63)


def train_step(state: TrainState, micro_batches: Iterator[Batch]) -> None:
    """Add up the gradients of the step's micro-batches, then move the weights once.

    The loss is the sum over pictures divided by the size of the whole effective batch; pictures
    that could not be read leave it. Never waits for the device.
    """
    planned = state.pictures_in(state.progress.step)
    seed_step(state)
    state.optimizer.zero_grad(set_to_none=True)
    found = 0
    for k in range(state.batches.accumulation):
        batch = next(micro_batches)
        found += batch.count
        with state.world.unsynced(state.net, last=k == state.batches.accumulation - 1):
            _add_gradients(state, batch, planned)
    found = state.world.total(found)
    if found:  # of unreadable pictures alone there is nothing to learn
        if found != planned:
            _scale_gradients(state.model, planned / found)
        _move(state)
    state.progress.step += 1


def _move(state: TrainState) -> None:
    """Clip, and let the optimizer step at this step's rate."""
    if state.clip_norm is not None:
        nn.utils.clip_grad_norm_(state.model.parameters(), state.clip_norm)
    lr = state.plan.lr_at(state.global_step)
    for group in state.optimizer.param_groups:
        group["lr"] = lr
    state.optimizer.step()


def _add_gradients(state: TrainState, batch: Batch, planned: int) -> None:
    """Forward, loss, backward of one micro-batch; its numbers go to the tally."""
    inputs = state.normalise(batch.pixels)
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
    losses = cross_entropy(logits, batch.targets, label_smoothing=state.label_smoothing)
    # DistributedDataParallel averages over processes; the loss is a sum over them.
    loss = (losses * batch.mask).sum() * (state.world.size / planned)
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    state.tally.add(logits.detach(), batch.targets, losses.detach(), batch.mask)


def _scale_gradients(model: nn.Module, factor: float) -> None:
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.grad.mul_(factor)
