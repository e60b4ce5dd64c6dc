"""Everything one training needs, assembled once."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from imgtrain.engine.averaging import LastAverage
from imgtrain.engine.device import ComputePlan
from imgtrain.engine.distill import Teacher
from imgtrain.engine.ema import Ema
from imgtrain.engine.freeze import Freezing
from imgtrain.engine.loss import Loss
from imgtrain.engine.pieces import Pieces
from imgtrain.engine.plateau import Plateau
from imgtrain.engine.scaling import LossScale
from imgtrain.engine.schedule import Batches, Plan
from imgtrain.engine.sharding import is_shared_out
from imgtrain.engine.tally import Tally
from imgtrain.engine.world import World
from imgtrain.loading.loader import Batch, Loader
from imgtrain.loading.mix import Mix, Mixing
from imgtrain.loading.orders import Order
from imgtrain.loading.preprocess import Preprocess
from imgtrain.loading.rows import RowLoader
from imgtrain.loading.samplewise import View, scoring_view
from imgtrain.loading.sampling import scoring_shares, training_shares

SCORING_BATCH = 64
"""Pictures per forward pass when scoring; fixed, so that processes and settings change nothing."""

Row = dict[str, int | float | None]


@dataclass(slots=True, kw_only=True)
class Progress:
    """Where a training stands: the only part of its state that is not tensors.

    ``step`` counts the steps of ``epoch`` already done; ``reason`` says why it is over, if it is;
    patience counts from epoch ``patient_from`` at the earliest; ``planned`` epochs were asked for.
    ``lr_factor`` is what the plateau schedule has made of the rate; ``pieces`` are those into which
    memory makes each micro-batch be cut. Of a budget, ``used`` seconds are gone, and ``course`` is
    what was done so far and is planned.
    """

    epoch: int = 1
    step: int = 0
    best_epoch: int | None = None
    best_value: float | None = None
    best_loss: float | None = None
    reason: str | None = None
    patient_from: int = 0
    planned: int = 0
    lr_factor: float = 1.0
    plateau_best: float | None = None
    plateau_bad: int = 0
    pieces: int = 1
    used: float = 0.0
    course: str | None = None
    history: list[Row] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Progress:
        """The inverse of ``to_dict``."""
        return cls(**{f.name: values[f.name] for f in fields(cls) if f.name in values})


class Normalise:
    """uint8 pictures (B, H, W, C) on the device -> what the model takes (B, C, H, W), float32."""

    def __init__(self, preprocess: Preprocess, compute: ComputePlan) -> None:
        device = compute.torch_device
        mean = torch.tensor(preprocess.mean, dtype=torch.float32, device=device)
        std = torch.tensor(preprocess.std, dtype=torch.float32, device=device)
        self._scale = (1 / (255 * std)).view(1, -1, 1, 1)
        self._shift = (-mean / std).view(1, -1, 1, 1)
        self._channels_last = compute.channels_last
        self._lines: dict[int, tuple[Tensor, Tensor]] = {}

    def __call__(self, pixels: Tensor) -> Tensor:
        """Cast, normalise, lay out."""
        inputs = pixels.permute(0, 3, 1, 2).to(torch.float32)
        scale, shift = self._line(pixels.shape[2])
        inputs = inputs.mul_(scale).add_(shift)
        return inputs if self._channels_last else inputs.contiguous()

    def _line(self, width: int) -> tuple[Tensor, Tensor]:
        """Scale and shift of a whole line of pixels: one long run instead of one a pixel."""
        if width not in self._lines:
            layout = torch.channels_last
            self._lines[width] = (
                self._scale.expand(-1, -1, -1, width).contiguous(memory_format=layout),
                self._shift.expand(-1, -1, -1, width).contiguous(memory_format=layout),
            )
        return self._lines[width]


class Timekeeper:
    """Keeps no time: what a training without a budget has. See ``imgtrain.engine.timekeeping``."""

    def begin(self, state: TrainState) -> None:
        """Before the first step of this process."""

    def batches(self, state: TrainState) -> Generator[Batch]:
        """The micro-batches of what is left of this epoch."""
        return state.training_batches()

    def looked(self, state: TrainState) -> None:
        """The device was waited for."""

    def is_due(self, state: TrainState) -> bool:  # noqa: ARG002  # those with a budget look at it
        """Whether all are to plan anew."""
        return False

    def plan(self, state: TrainState) -> None:
        """All take the first process's new plan."""

    def wants_check(self, state: TrainState) -> bool:
        """Whether the epoch is validated and saved: each, unless a budget had left some out."""
        course, epoch = state.plan.course, state.progress.epoch
        return course is None or epoch in course.checked or epoch >= state.plan.last_epoch

    def checked(self, state: TrainState, since: float) -> None:
        """All validated."""

    def saves(self, state: TrainState) -> None:
        """Before a checkpoint."""

    def saved(self, state: TrainState, since: float) -> None:
        """After the checkpoint of an epoch, or inside it."""


@dataclass(slots=True, kw_only=True)
class TrainState:
    """One training: model, optimizer, data, plan, and the one mutable ``progress``.

    ``model`` holds the weights; ``net`` is what steps call (the same, or wrapped for several
    processes); ``moved`` says whether the step in hand has moved the weights already.
    ``recomputes``: activations are computed again in the backward pass.
    ``views`` are the training views of the sizes that the plan has, where sizes change.
    ``keeper`` knows the time.
    """

    model: nn.Module
    net: nn.Module
    optimizer: torch.optim.Optimizer
    scale: LossScale
    plan: Plan
    batches: Batches
    compute: ComputePlan
    world: World
    loader: Loader | RowLoader
    normalise: Callable[[Tensor], Tensor]
    train: Order
    val: NDArray[np.int64]
    train_view: View
    seed: int
    mixing: Mixing
    loss: Loss
    clip_norm: float | None
    monitor: str | None
    patience: int | None
    target: float | None
    plateau: Plateau | None
    ema: Ema | None
    tally: Tally
    freezing: Freezing | None = None
    average: LastAverage | None = None
    teacher: Teacher | None = None
    recomputes: bool = False
    views: Mapping[int, View] = field(default_factory=dict)
    keeper: Timekeeper = field(default_factory=Timekeeper)
    progress: Progress = field(default_factory=Progress)
    scoring: Pieces = field(default_factory=Pieces)
    moved: bool = False

    @property
    def scored(self) -> nn.Module:
        """The network that is validated and kept: the average where there is one."""
        if self.average is not None and self.average.model is not None:
            return self.average.model
        return self.model if self.ema is None else self.ema.model

    def learns(self) -> bool:
        """Training mode for all but what is frozen in this epoch; whether anything just thawed."""
        self.net.train()
        return self.freezing is not None and self.freezing.begin(self.model, self.progress.epoch)

    def lr_at(self, step: int) -> float:
        """Learning rate of update number ``step`` (from 0)."""
        return self.plan.lr_at(step, factor=self.progress.lr_factor)

    @property
    def global_step(self) -> int:
        """Updates done so far."""
        return (self.progress.epoch - 1) * self.plan.steps_per_epoch + self.progress.step

    def pictures_in(self, step: int) -> int:
        """Pictures that count in step ``step`` (from 0) of an epoch, over all processes."""
        size = self.batches.effective
        return min(size, len(self.train) - step * size)

    def training_batches(self) -> Generator[Batch]:
        """The micro-batches of what is left of this epoch."""
        p = self.progress
        steps = training_shares(
            self.train.epoch(p.epoch, seed=self.seed),
            self.batches,
            steps=self.plan.steps_per_epoch,
            first_step=p.step,
            rank=self.world.rank,
            mix_at=partial(self._mix, p.epoch),
            seen_at=partial(self._seen, p.epoch),
        )
        shares = (share for step in steps for share in step)
        return self.loader.batches(shares, self.train_view, seed=self.seed, epoch=p.epoch)

    def _mix(self, epoch: int, step: int) -> Mix | None:
        return self.mixing.draw(seed=self.seed, epoch=epoch, step=step)

    def _seen(self, epoch: int, step: int) -> tuple[int, View] | None:
        size = self.plan.size_at((epoch - 1) * self.plan.steps_per_epoch + step)
        return None if size is None or size not in self.views else (size, self.views[size])

    def scoring_batches(self, part: NDArray[np.int64], view: View | None = None) -> Iterator[Batch]:
        """This process's batches of a part, seen through ``view`` (else the centre)."""
        world = self.world
        shares = scoring_shares(
            part,
            SCORING_BATCH,
            rank=world.rank,
            world_size=world.size,
            even=is_shared_out(self.model),
        )
        view = view or scoring_view(self.loader.pictures.preprocess)
        return self.loader.batches(shares, view)
