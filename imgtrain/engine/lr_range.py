"""The range test: real steps, the learning rate rising from one to the next (Smith 2017)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from imgtrain.engine.lr_curve import LrCurve, Running
from imgtrain.engine.state import TrainState
from imgtrain.engine.step import train_step
from imgtrain.errors import DataError


def range_test(
    state: TrainState,
    rates: Sequence[float],
    *,
    watch: Callable[[int, float, float], None] = lambda *_: None,
) -> LrCurve:
    """Train one step at each rate, and note the loss that the step began with.

    Ends early where the loss has blown up or is no number. The weights are spent afterwards.

    Args:
        state: A training at its beginning; its schedule gives way to ``rates``.
        rates: Peak learning rate of each step; groups keep their shares of it.
        watch: Hears the step (from 1), its rate and the running loss.

    Returns:
        The losses, shape (steps done,).

    Raises:
        DataError: If no picture can be read.
    """
    steps = state.plan.steps_per_epoch
    state.ema = None  # costs time and changes no step
    state.plan = replace(
        state.plan,
        epochs=-(-len(rates) // steps),
        warmup_steps=0,
        peak_lr=max(rates),
        min_lr=0.0,
        shape=lambda step: rates[int(step)],
        sizes=(),  # the last of progressive sizes is the one that the loader is made for
        course=None,
    )
    curve = LrCurve(know_nothing=constant_loss(state))
    running = Running()
    state.learns()
    batches = state.training_batches()
    for number, rate in enumerate(rates, start=1):
        if state.progress.step == steps:
            state.progress.epoch, state.progress.step = state.progress.epoch + 1, 0
            batches = state.training_batches()
        state.tally.clear()
        train_step(state, batches)
        scores = state.tally.read()  # waits for the device: each loss is what the test is for
        if scores.n == 0:
            continue
        assert scores.loss is not None
        loss = scores.loss if scores.is_finite else float("inf")
        curve.add(rate, loss, running.add(loss))
        watch(number, rate, curve.running[-1])
        if curve.blew_up:
            break
    if not curve.rates:
        raise DataError(
            "none of the training pictures can be read",
            "look at one of them; --on-bad-image error names the first",
        )
    return curve


def constant_loss(state: TrainState) -> float:
    """The loss of a network that gives every picture the shares of the classes, and knows no more.

    Falling to that is no sign that a rate is good: the classifier's bias alone gets there.
    """
    labels = torch.from_numpy(state.train.labels)
    counts = np.bincount(state.train.labels, minlength=state.tally.classes)
    chances = torch.tensor(counts / counts.sum(), dtype=torch.float32).clamp(min=1e-8)
    logits = chances.log().expand(len(labels), -1).to(state.compute.torch_device)
    with torch.no_grad():
        return float(state.loss(logits, labels.to(logits.device)).double().mean())
