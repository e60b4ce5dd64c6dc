"""A whole training in memory, small enough for a unit test."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from imgtrain.engine.checkpoint import Checkpoints
from imgtrain.engine.device import ComputePlan
from imgtrain.engine.optim import make_optimizer
from imgtrain.engine.schedule import cut_batches, make_plan
from imgtrain.engine.state import Normalise, TrainState
from imgtrain.engine.tally import Tally
from imgtrain.engine.world import World
from imgtrain.loading.cache import InMemory
from imgtrain.loading.loader import Loader, Pictures
from imgtrain.loading.preprocess import Preprocess
from imgtrain.loading.samplewise import training_view
from imgtrain.settings.schema import Settings

SIZE = 8


class Shapes:
    """Pictures of three kinds (dark, bright, striped) with noise, as PNG bytes."""

    def __init__(self, count: int, *, bad: frozenset[int] = frozenset()) -> None:
        self.bad = bad
        self.labels = np.arange(count, dtype=np.int64) % 3
        rng = np.random.default_rng(5)
        self._noise = rng.integers(0, 60, (count, SIZE, SIZE)).astype(np.uint8)

    def __len__(self) -> int:
        return len(self.labels)

    def path(self, i: int) -> str:
        return f"{self.labels[i]}/{i:04d}.png"

    def read(self, i: int) -> bytes:
        if i in self.bad:
            return b"no picture"
        base = np.zeros((SIZE, SIZE), np.uint8)
        if self.labels[i] == 1:
            base += 150
        if self.labels[i] == 2:
            base[::2] = 180
        buffer = io.BytesIO()
        Image.fromarray(base + self._noise[i]).save(buffer, "PNG")
        return buffer.getvalue()

    def stamp(self, i: int) -> tuple[int, int]:
        return len(self.read(i)), 0


PREPROCESS = Preprocess(
    size=SIZE,
    side=SIZE,
    channels=1,
    background=(255, 255, 255),
    max_pixels=10_000,
    mean=(0.4,),
    std=(0.3,),
)


class Net(torch.nn.Sequential):
    """Two small convolutions; ``norm`` and ``dropout`` make it behave like a real net."""

    def __init__(self, *, norm: bool = False, dropout: float = 0.0) -> None:
        super().__init__(
            torch.nn.Conv2d(1, 8, 3, padding=1),
            torch.nn.BatchNorm2d(8) if norm else torch.nn.Identity(),
            torch.nn.ReLU(),
            torch.nn.Conv2d(8, 8, 3, stride=2, padding=1),
            torch.nn.ReLU(),
            torch.nn.AdaptiveAvgPool2d(1),
            torch.nn.Flatten(),
            torch.nn.Dropout(dropout),
            torch.nn.Linear(8, 3),
        )


def plan_cpu(**changes: object) -> ComputePlan:
    plan = ComputePlan(device="cpu", precision="fp32", channels_last=True, threads=1, fused=True)
    return replace(plan, **changes)


def small_state(
    *,
    settings: dict[str, dict[str, object]] | None = None,
    train: int = 50,
    val: int = 21,
    norm: bool = False,
    dropout: float = 0.0,
    threads: int = 2,
    world: World | None = None,
    bad: frozenset[int] = frozenset(),
    double: bool = False,
) -> TrainState:
    """A training of ``Net`` on ``Shapes``, in fp32 on the CPU."""
    world = world or World()
    chosen = Settings.model_validate(
        {"train": {"epochs": 3, "batch_size": 8}, "optim": {"lr": 0.02, "weight_decay": 0.05}}
        | (settings or {})
    )
    source = Shapes(train + val, bad=bad)
    pictures = Pictures(source, PREPROCESS, InMemory(len(source)), on_bad="skip")
    compute = plan_cpu()
    torch.manual_seed(chosen.train.seed)
    model: torch.nn.Module = Net(norm=norm, dropout=dropout)
    normalise = Normalise(PREPROCESS, compute)
    if double:
        model = model.double()
        single = normalise
        normalise = lambda pixels: single(pixels).double()  # noqa: E731  # a seam in one line
    batches = cut_batches(chosen.train, world_size=world.size, pictures=train)
    plan = make_plan(
        chosen.schedule,
        epochs=chosen.train.epochs,
        pictures=train,
        effective=batches.effective,
        peak_lr=chosen.optim.lr,
    )
    monitor = chosen.train.monitor
    return TrainState(
        model=model,
        net=world.wrap(model, torch.device("cpu")),
        optimizer=make_optimizer(
            model,
            chosen.optim,
            lr=chosen.optim.lr,
            weight_decay=chosen.optim.weight_decay,
            fused=True,
        ),
        plan=plan,
        batches=batches,
        compute=compute,
        world=world,
        loader=Loader(pictures, source.labels, torch.device("cpu"), threads=threads),
        normalise=normalise,
        train=np.arange(train, dtype=np.int64),
        val=np.arange(train, train + val, dtype=np.int64),
        train_view=training_view(PREPROCESS, chosen.augment, natural=False),
        seed=chosen.train.seed,
        label_smoothing=chosen.loss.label_smoothing,
        clip_norm=chosen.optim.clip_norm,
        monitor=None if not val else "val_top1" if monitor == "auto" else monitor,
        patience=chosen.train.patience,
        tally=Tally(3, torch.device("cpu")),
    )


def checkpoints(folder: Path, **changes: int) -> Checkpoints:
    folder.mkdir(exist_ok=True)
    return Checkpoints(folder, **({"every": 0, "keep": 1} | changes))
