"""Everything one training needs, assembled once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from imgtrain.engine.device import ComputePlan
from imgtrain.engine.schedule import Batches, Plan
from imgtrain.engine.tally import Tally
from imgtrain.engine.world import World
from imgtrain.loading.loader import Batch, Loader
from imgtrain.loading.preprocess import Preprocess
from imgtrain.loading.samplewise import View, scoring_view
from imgtrain.loading.sampling import (
    epoch_order,
    scoring_shares,
    training_shares,
)

SCORING_BATCH = 64
"""Pictures per forward pass when scoring; fixed, so that processes and settings change nothing."""

Row = dict[str, int | float | None]


@dataclass(slots=True, kw_only=True)
class Progress:
    """Where a training stands: the only part of its state that is not tensors.

    ``step`` counts the steps of ``epoch`` already done; ``reason`` says why it is over, if it is;
    patience counts from epoch ``patient_from`` at the earliest; ``planned`` epochs were asked for.
    """

    epoch: int = 1
    step: int = 0
    best_epoch: int | None = None
    best_value: float | None = None
    best_loss: float | None = None
    reason: str | None = None
    patient_from: int = 0
    planned: int = 0
    history: list[Row] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Progress:
        """The inverse of ``to_dict``."""
        return cls(**{f.name: values[f.name] for f in fields(cls)})


class Normalise:
    """uint8 pictures (B, H, W, C) on the device -> what the model takes (B, C, H, W), float32."""

    def __init__(self, preprocess: Preprocess, compute: ComputePlan) -> None:
        device = compute.torch_device
        mean = torch.tensor(preprocess.mean, dtype=torch.float32, device=device)
        std = torch.tensor(preprocess.std, dtype=torch.float32, device=device)
        self._scale = (1 / (255 * std)).view(1, -1, 1, 1)
        self._shift = (-mean / std).view(1, -1, 1, 1)
        self._channels_last = compute.channels_last

    def __call__(self, pixels: Tensor) -> Tensor:
        """Cast, normalise, lay out."""
        inputs = pixels.permute(0, 3, 1, 2).to(torch.float32)
        inputs = inputs.mul_(self._scale).add_(self._shift)
        return inputs if self._channels_last else inputs.contiguous()


@dataclass(slots=True, kw_only=True)
class TrainState:
    """One training: model, optimizer, data, plan, and the one mutable ``progress``.

    ``model`` holds the weights; ``net`` is what steps call (the same, or wrapped for several
    processes).
    """

    model: nn.Module
    net: nn.Module
    optimizer: torch.optim.Optimizer
    plan: Plan
    batches: Batches
    compute: ComputePlan
    world: World
    loader: Loader
    normalise: Normalise
    train: NDArray[np.int64]
    val: NDArray[np.int64]
    train_view: View
    seed: int
    label_smoothing: float
    clip_norm: float | None
    monitor: str | None
    patience: int | None
    tally: Tally
    progress: Progress = field(default_factory=Progress)

    @property
    def global_step(self) -> int:
        """Updates done so far."""
        return (self.progress.epoch - 1) * self.plan.steps_per_epoch + self.progress.step

    def pictures_in(self, step: int) -> int:
        """Pictures that count in step ``step`` (from 0) of an epoch, over all processes."""
        size = self.batches.effective
        return min(size, len(self.train) - step * size)

    def training_batches(self) -> Iterator[Batch]:
        """The micro-batches of what is left of this epoch."""
        p = self.progress
        order = epoch_order(self.train, seed=self.seed, epoch=p.epoch)
        steps = training_shares(
            order,
            self.batches,
            steps=self.plan.steps_per_epoch,
            first_step=p.step,
            rank=self.world.rank,
        )
        shares = (share for step in steps for share in step)
        return self.loader.batches(shares, self.train_view, seed=self.seed, epoch=p.epoch)

    def scoring_batches(self, part: NDArray[np.int64]) -> Iterator[Batch]:
        """This process's batches of a part."""
        world = self.world
        shares = scoring_shares(part, SCORING_BATCH, rank=world.rank, world_size=world.size)
        return self.loader.batches(shares, scoring_view(self.loader.pictures.preprocess))
