"""A whole training in memory, small enough for a unit test."""

from __future__ import annotations

import io
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from imgtrain.engine.averaging import LastAverage
from imgtrain.engine.checkpoint import Checkpoints
from imgtrain.engine.compiling import trained
from imgtrain.engine.device import ComputePlan
from imgtrain.engine.ema import Ema
from imgtrain.engine.freeze import make_freezing
from imgtrain.engine.loss import make_loss
from imgtrain.engine.optim import make_optimizer
from imgtrain.engine.plateau import Plateau
from imgtrain.engine.scaling import LossScale
from imgtrain.engine.schedule import cut_batches, make_plan
from imgtrain.engine.sharding import share_out
from imgtrain.engine.state import Normalise, TrainState
from imgtrain.engine.syncbn import synchronised
from imgtrain.engine.tally import Tally
from imgtrain.engine.world import World
from imgtrain.loading.cache import InMemory
from imgtrain.loading.loader import Loader, Pictures
from imgtrain.loading.mix import Mixing
from imgtrain.loading.orders import Order
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

    def stamp(self, _: int) -> tuple[int, int]:
        return 100, 0


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


class Staged(torch.nn.Sequential):
    """Stem, two stages with batch norm and dropout, and a classifier, told as timm's nets do."""

    def __init__(self) -> None:
        def block(inputs: int, outputs: int, stride: int) -> torch.nn.Sequential:
            return torch.nn.Sequential(
                torch.nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
                torch.nn.BatchNorm2d(outputs),
                torch.nn.ReLU(),
                torch.nn.Dropout(0.2),
            )

        super().__init__(
            OrderedDict(
                stem=block(1, 4, 1),
                s1=block(4, 8, 2),
                s2=block(8, 8, 1),
                neck=torch.nn.Sequential(
                    torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.LayerNorm(8)
                ),
                head=torch.nn.Linear(8, 3),
            )
        )

    def group_matcher(self, *, coarse: bool = False) -> dict[str, str]:
        del coarse
        return {"stem": r"^stem", "blocks": r"^s(\d)"}

    def get_classifier(self) -> torch.nn.Module:
        return self.head


def plan_cpu(**changes: object) -> ComputePlan:
    plan = ComputePlan(device="cpu", precision="fp32", channels_last=True, threads=1, fused=True)
    return replace(plan, **changes)


class After:
    """A stop that comes at the n-th time somebody asks."""

    def __init__(self, number: int) -> None:
        self.left = number

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


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
    staged: bool = False,
) -> TrainState:
    """A training of ``Net`` (or ``Staged``) on ``Shapes`` on the CPU, in fp32 unless named."""
    world = world or World()
    chosen = Settings.model_validate(
        {"train": {"epochs": 3, "batch_size": 8}, "optim": {"lr": 0.02, "weight_decay": 0.05}}
        | (settings or {})
    )
    precision = chosen.hardware.precision if chosen.hardware.precision != "auto" else "fp32"
    source = Shapes(train + val, bad=bad)
    pictures = Pictures(source, PREPROCESS, InMemory(len(source)), on_bad="skip")
    compute = plan_cpu(precision=precision, compiled=chosen.hardware.compile is True)
    torch.manual_seed(chosen.train.seed)
    model: torch.nn.Module = Staged() if staged else Net(norm=norm, dropout=dropout)
    if chosen.hardware.sync_bn and world.size > 1:
        model = synchronised(model, torch.device("cpu"))
    freezing = make_freezing(model, chosen.model)
    if freezing is not None:
        freezing.begin(model, 1)
    normalise = Normalise(PREPROCESS, compute)
    if double:
        model = model.double()
        single = normalise
        normalise = lambda pixels: single(pixels).double()  # noqa: E731  # a seam in one line
    batches = cut_batches(chosen.train, world_size=world.size, pictures=train)
    order = Order(
        np.arange(train, dtype=np.int64),
        source.labels[:train],
        chosen.balance.strategy,
        batches.effective,
    )
    plan = make_plan(
        chosen.schedule,
        epochs=chosen.train.epochs,
        pictures=len(order),
        effective=batches.effective,
        peak_lr=chosen.optim.lr,
        image_sizes=chosen.train.image_sizes,
    )
    monitor = chosen.train.monitor
    if chosen.hardware.fsdp and world.size > 1:
        model = share_out(model, torch.device("cpu"))
    optimizer = make_optimizer(
        model,
        chosen.optim,
        lr=chosen.optim.lr,
        weight_decay=chosen.optim.weight_decay,
        fused=True,
        waves=freezing.waves if freezing is not None else None,
    )
    return TrainState(
        model=model,
        net=trained(model, compute, world),
        optimizer=optimizer,
        scale=LossScale(optimizer, torch.device("cpu"), enabled=precision == "fp16"),
        plan=plan,
        batches=batches,
        compute=compute,
        world=world,
        loader=Loader(pictures, source.labels, torch.device("cpu"), threads=threads),
        normalise=normalise,
        train=order,
        val=np.arange(train, train + val, dtype=np.int64),
        train_view=training_view(PREPROCESS, chosen.augment, natural=False),
        seed=chosen.train.seed,
        mixing=Mixing(
            mixup_alpha=chosen.augment.mixup_alpha if chosen.augment.mixup_alpha != "auto" else 0,
            cutmix_alpha=chosen.augment.cutmix_alpha
            if chosen.augment.cutmix_alpha != "auto"
            else 0,
            probability=chosen.augment.mix_prob,
            off_epoch=chosen.augment.mix_off_epoch,
        ),
        loss=make_loss(chosen.loss, None),
        clip_norm=chosen.optim.clip_norm,
        monitor=None if not val else "val_top1" if monitor == "auto" else monitor,
        patience=chosen.train.patience,
        target=chosen.train.target_metric,
        ema=Ema(model, 0.9) if chosen.train.ema else None,
        plateau=Plateau(
            chosen.schedule.gamma, chosen.schedule.plateau_patience, lower_is_better=False
        )
        if chosen.schedule.name == "plateau"
        else None,
        tally=Tally(3, torch.device("cpu")),
        freezing=freezing,
        views={
            size: training_view(PREPROCESS.at(size), chosen.augment, natural=False)
            for _, size in plan.sizes
        },
        average=LastAverage(chosen.train.average_last, chosen.train.epochs)
        if chosen.train.average_last is not None
        else None,
    )


def checkpoints(folder: Path, **changes: int) -> Checkpoints:
    folder.mkdir(exist_ok=True)
    return Checkpoints(folder, **({"every": 0, "keep": 1} | changes))
