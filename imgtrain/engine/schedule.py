"""How long and how fast: durations in steps, learning rate at a step. Pure arithmetic."""

from __future__ import annotations

import math
from dataclasses import dataclass

from imgtrain.errors import SettingsError
from imgtrain.settings.schema import ScheduleSettings, TrainSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Batches:
    """How the pictures of a step are cut: effective = micro x accumulation x world_size."""

    micro: int
    accumulation: int
    world_size: int

    @property
    def effective(self) -> int:
        """Pictures per update of the weights."""
        return self.micro * self.accumulation * self.world_size

    def __str__(self) -> str:
        """``64 pictures = 32 x 2 accumulated x 1 process``."""
        return (
            f"{self.effective} = {self.micro} x {self.accumulation} accumulated x "
            f"{self.world_size} process{'es' if self.world_size > 1 else ''}"
        )


def cut_batches(train: TrainSettings, *, world_size: int, pictures: int) -> Batches:
    """Batch sizes from the settings; a set smaller than a batch is one batch.

    Raises:
        SettingsError: If ``global_batch_size`` cannot be reached.
    """
    micro, accumulation = train.batch_size, train.accumulation_steps
    wanted = train.global_batch_size
    if wanted is not None:
        share, rest = divmod(wanted, world_size)
        if rest:
            raise SettingsError(
                f"--global-batch-size {wanted} cannot be shared evenly by {world_size} processes",
                f"take a multiple of {world_size}",
            )
        micro = min(micro, share)
        accumulation, rest = divmod(share, micro)
        if rest:
            raise SettingsError(
                f"--global-batch-size {wanted} is no multiple of --batch-size {micro} "
                f"x {world_size} process(es)",
                "change one of the two",
            )
    share = max(1, -(-pictures // world_size))
    if micro * accumulation > share:  # a last batch that is not full is completed, masked
        micro = min(micro, share)
        accumulation = -(-share // micro)
    return Batches(micro=micro, accumulation=accumulation, world_size=world_size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A training in steps, and its learning rate at each.

    Linear warm-up from ``warmup_lr`` to ``peak_lr`` (Goyal et al. 2017, arXiv:1706.02677),
    then cosine (Loshchilov & Hutter 2017, arXiv:1608.03983), linear or constant to ``min_lr``.
    """

    epochs: int
    steps_per_epoch: int
    warmup_steps: int
    peak_lr: float
    warmup_lr: float
    min_lr: float
    shape: str

    @property
    def total_steps(self) -> int:
        """Updates in the whole training."""
        return self.epochs * self.steps_per_epoch

    def lr_at(self, step: int) -> float:
        """Learning rate of update number ``step`` (from 0)."""
        if step < self.warmup_steps:
            share = (step + 1) / self.warmup_steps
            return self.warmup_lr + (self.peak_lr - self.warmup_lr) * share
        if self.shape == "constant":
            return self.peak_lr
        length = max(1, self.total_steps - self.warmup_steps)
        done = min(1.0, (step - self.warmup_steps) / length)
        left = 0.5 * (1 + math.cos(math.pi * done)) if self.shape == "cosine" else 1 - done
        return self.min_lr + (self.peak_lr - self.min_lr) * left


def make_plan(
    schedule: ScheduleSettings,
    *,
    epochs: int,
    pictures: int,
    effective: int,
    peak_lr: float,
) -> Plan:
    """Convert epochs into steps, once.

    An epoch has ``ceil(pictures / effective)`` steps, but a last step of a single picture
    is left out where there are others: batch normalisation cannot learn from one.

    Raises:
        SettingsError: If the floor is above the peak, or the warm-up fills the training.
    """
    full, rest = divmod(pictures, effective)
    steps_per_epoch = max(1, full + (1 if rest > 1 else 0))
    warmup_steps = round(schedule.warmup_epochs * steps_per_epoch)
    if schedule.min_lr > peak_lr or schedule.warmup_lr > peak_lr:
        raise SettingsError(
            f"--min-lr {schedule.min_lr} and --warmup-lr {schedule.warmup_lr} must not be above "
            f"the peak learning rate {peak_lr:g}",
            "lower them, or raise --lr",
        )
    if warmup_steps >= epochs * steps_per_epoch:
        if schedule.warmup_epochs > 1:
            raise SettingsError(
                f"--warmup-epochs {schedule.warmup_epochs:g} leaves nothing of {epochs} epochs",
                "lower it, or raise --epochs",
            )
        warmup_steps = epochs * steps_per_epoch // 2  # the default, in a very short training
    return Plan(
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        warmup_steps=warmup_steps,
        peak_lr=peak_lr,
        warmup_lr=schedule.warmup_lr,
        min_lr=schedule.min_lr,
        shape=schedule.name,
    )
