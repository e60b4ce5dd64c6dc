"""How long and how fast: durations in steps, learning rate at a step. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from imgtrain.engine import shapes
from imgtrain.engine.course import Course
from imgtrain.engine.shapes import Shape, Switches, at_step, switches
from imgtrain.errors import SettingsError
from imgtrain.settings.fields import sizes_and_shares
from imgtrain.settings.schema import ScheduleSettings, TrainSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Batches:
    """How the pictures of a step are cut: effective = micro x accumulation x world_size.

    Where memory is short, each micro-batch is cut into ``pieces``, as even as can be.
    """

    micro: int
    accumulation: int
    world_size: int
    pieces: int = 1

    @property
    def effective(self) -> int:
        """Pictures per update of the weights."""
        return self.micro * self.accumulation * self.world_size

    @property
    def passes(self) -> int:
        """Forward and backward passes of each process per update."""
        return self.accumulation * self.pieces

    def cuts(self) -> Iterator[tuple[int, int]]:
        """Where each pass begins and ends in a process's part of the effective batch."""
        for start in range(0, self.micro * self.accumulation, self.micro):
            ends = [start + self.micro * k // self.pieces for k in range(self.pieces + 1)]
            yield from pairwise(ends)

    def __str__(self) -> str:
        """``64 pictures = 32 x 2 accumulated x 1 process``."""
        return (
            f"{self.effective} = {self.micro} x {self.accumulation} accumulated x "
            f"{self.world_size} process{'es' if self.world_size > 1 else ''}"
        )


def check_accumulation(train: TrainSettings, *, world_size: int, pictures: int) -> None:
    """Refuse to add up more batches than an epoch has.

    Raises:
        SettingsError: With the flags.
    """
    micro, accumulation = train.batch_size, train.accumulation_steps
    if micro == "auto" or train.fast_dev or accumulation == 1:
        return
    share = max(1, -(-pictures // world_size))
    if micro * (accumulation - 1) >= share:
        each = f" for each of {world_size} processes" if world_size > 1 else ""
        raise SettingsError(
            f"--accumulation-steps {accumulation} adds up more than an epoch: {pictures:,} "
            f"pictures are {-(-share // micro)} batches of {micro}{each}",
            "lower --accumulation-steps or --batch-size",
        )


def cut_batches(train: TrainSettings, *, world_size: int, pictures: int) -> Batches:
    """Batch sizes from the settings; a set smaller than a batch is one batch.

    Raises:
        SettingsError: If ``global_batch_size`` cannot be reached.
    """
    assert train.batch_size != "auto"  # found before
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


def keep_effective(train: TrainSettings, effective: int, *, world_size: int) -> TrainSettings:
    """The same effective batch for another number of processes: fewer pictures at a time, or more.

    Raises:
        SettingsError: If so many processes cannot share it evenly.
    """
    assert train.batch_size != "auto"  # found before
    share, rest = divmod(effective, world_size)
    if rest:
        fit = [n for n in range(1, effective + 1) if effective % n == 0]
        raise SettingsError(
            f"the run trains on {effective} pictures a step, which {world_size} processes "
            "cannot share evenly",
            f"go on with {', '.join(map(str, fit[:6]))} processes, or begin another run",
        )
    micro = next(n for n in range(min(train.batch_size, share), 0, -1) if share % n == 0)
    return train.model_copy(
        update={"batch_size": micro, "accumulation_steps": 1, "global_batch_size": effective}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A training in steps, and its learning rate at each.

    Linear warm-up from ``warmup_lr`` to ``peak_lr`` (Goyal et al. 2017, arXiv:1706.02677), then
    the shape. ``sizes`` are sides of the pictures, each from a step on; empty where none changes.

    With a ``course``, epochs and steps are those of the schedule alone: the course says how many
    there are, and where on the schedule each step is.
    """

    epochs: int
    steps_per_epoch: int
    warmup_steps: int
    peak_lr: float
    warmup_lr: float
    min_lr: float
    shape: Shape
    sizes: Switches = ()
    course: Course | None = None

    @property
    def total_steps(self) -> int:
        """Updates in the schedule."""
        return self.epochs * self.steps_per_epoch

    @property
    def end(self) -> int:
        """Updates in the training, as far as is known."""
        return self.total_steps if self.course is None else self.course.steps

    @property
    def last_epoch(self) -> int:
        """The epoch of the last update; it may be cut short."""
        return -(-self.end // self.steps_per_epoch)

    def steps_in(self, epoch: int) -> int:
        """Updates in an epoch (from 1)."""
        return min(self.steps_per_epoch, self.end - (epoch - 1) * self.steps_per_epoch)

    def size_at(self, step: int) -> int | None:
        """Side of the pictures of update number ``step`` (from 0); None where it never changes."""
        sizes = self.sizes if self.course is None else self.course.sizes
        return at_step(sizes, step) if sizes else None

    def lr_at(self, step: int, *, factor: float = 1.0) -> float:
        """Learning rate of update number ``step`` (from 0); ``factor`` is what plateau makes it."""
        place = step if self.course is None else self.course.position(step)
        if place < self.warmup_steps:
            share = min(1.0, (place + 1) / self.warmup_steps)
            return self.warmup_lr + (self.peak_lr - self.warmup_lr) * share
        return max(self.min_lr, self.shape(place - self.warmup_steps) * factor)


def make_plan(
    schedule: ScheduleSettings,
    *,
    epochs: int,
    pictures: int,
    effective: int,
    peak_lr: float,
    image_sizes: str | None = None,
) -> Plan:
    """Convert epochs into steps, once.

    An epoch has ``ceil(pictures / effective)`` steps, but a last step of a single picture
    is left out where there are others: batch normalisation cannot learn from one.

    Raises:
        SettingsError: If the floor is above the peak, or the warm-up fills the training.
    """
    full, rest = divmod(pictures, effective)
    steps_per_epoch = max(1, full + (1 if rest > 1 else 0))
    if schedule.min_lr > peak_lr or schedule.warmup_lr > peak_lr:
        raise SettingsError(
            f"--min-lr {schedule.min_lr} and --warmup-lr {schedule.warmup_lr} must not be above "
            f"the peak learning rate {peak_lr:g}",
            "lower them, or raise --lr",
        )
    warmup_steps = _warmup(schedule, epochs, steps_per_epoch)
    return Plan(
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        warmup_steps=warmup_steps,
        peak_lr=peak_lr,
        warmup_lr=schedule.warmup_lr,
        min_lr=schedule.min_lr,
        shape=_shape(schedule, epochs, steps_per_epoch, warmup_steps, peak_lr),
        sizes=switches(sizes_and_shares(image_sizes or ""), epochs * steps_per_epoch),
    )


def _warmup(schedule: ScheduleSettings, epochs: int, steps_per_epoch: int) -> int:
    """Steps of the warm-up; the default of one epoch yields where there is hardly more."""
    total = epochs * steps_per_epoch
    if schedule.name == "onecycle":
        return 0
    if schedule.warmup_steps is not None:
        steps, asked = schedule.warmup_steps, f"--warmup-steps {schedule.warmup_steps}"
    elif schedule.warmup_fraction is not None:
        return round(schedule.warmup_fraction * total)
    else:
        steps = round(schedule.warmup_epochs * steps_per_epoch)
        asked = f"--warmup-epochs {schedule.warmup_epochs:g}"
        if steps >= total and schedule.warmup_epochs <= 1:
            return total // 2
    if steps >= total:
        raise SettingsError(
            f"{asked} leaves nothing of {epochs} epochs ({total} steps)",
            "lower it, or raise --epochs",
        )
    return steps


def _shape(
    schedule: ScheduleSettings, epochs: int, steps_per_epoch: int, warmup_steps: int, peak: float
) -> Shape:
    """Drops come at ends of epochs, counted from the first; the rest fills what is left."""
    floor, left = schedule.min_lr, epochs * steps_per_epoch - warmup_steps
    match schedule.name:
        case "cosine":
            return shapes.cosine(peak, floor, left)
        case "linear":
            return shapes.linear(peak, floor, left)
        case "onecycle":
            return shapes.onecycle(peak, floor, left, schedule.pct_start)
        case "step":
            ends: Sequence[int] = range(schedule.step_size, epochs, schedule.step_size)
        case "multistep":
            ends = sorted(schedule.milestones or ())
        case _:
            return shapes.constant(peak)
    at = [epoch * steps_per_epoch - warmup_steps for epoch in ends]
    return shapes.drops(peak, floor, schedule.gamma, at)
