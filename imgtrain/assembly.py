"""From resolved settings to a training that can begin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from imgtrain import console
from imgtrain.data.split import Split
from imgtrain.engine.averaging import LastAverage
from imgtrain.engine.compiling import trained, wants_compiling
from imgtrain.engine.course import Course
from imgtrain.engine.device import ComputePlan, apply, plan_compute
from imgtrain.engine.ema import Ema, auto_decay
from imgtrain.engine.freeze import Freezing, make_freezing
from imgtrain.engine.hub import build_pretrained
from imgtrain.engine.loss import make_loss
from imgtrain.engine.model import build
from imgtrain.engine.optim import make_optimizer
from imgtrain.engine.plateau import Plateau
from imgtrain.engine.recipe import Recipe
from imgtrain.engine.recompute import recompute
from imgtrain.engine.scaling import LossScale
from imgtrain.engine.schedule import Batches, Plan, cut_batches, make_plan
from imgtrain.engine.sharding import share_out
from imgtrain.engine.sizes import check_sizes
from imgtrain.engine.state import Normalise, TrainState
from imgtrain.engine.syncbn import synchronised
from imgtrain.engine.tally import Tally
from imgtrain.engine.transfer import take_over
from imgtrain.engine.weights import as_layout, read_start
from imgtrain.engine.world import World, local_place
from imgtrain.loading.loader import Loader
from imgtrain.loading.mix import Mixing
from imgtrain.loading.orders import Order, epoch_length
from imgtrain.loading.samplewise import View, training_view
from imgtrain.probing import Seen, on_features, trains_on_features
from imgtrain.resolve import Resolved, class_weights, decide_lr
from imgtrain.settings.fields import sizes_and_shares
from imgtrain.settings.schema import (
    AugmentSettings,
    HardwareSettings,
    ModelSettings,
    Settings,
)
from imgtrain.teaching import make_teacher


def ready_device(hardware: HardwareSettings, *, image_size: int) -> ComputePlan:
    """Choose how this process computes, and tell torch.

    Raises:
        SettingsError: If a device or precision was asked for that is not there.
    """
    rank, size = local_place()
    compute = plan_compute(hardware, image_size=image_size, local_rank=rank, local_size=size)
    apply(compute)
    return compute


@dataclass(frozen=True, slots=True)
class _Learner:
    """What learns, and what moves it."""

    model: nn.Module
    net: nn.Module
    optimizer: torch.optim.Optimizer
    compute: ComputePlan
    freezing: Freezing | None


def assemble(
    resolved: Resolved,
    split: Split,
    *,
    recipe: Recipe,
    compute: ComputePlan,
    loader: Loader,
    world: World,
    begins: bool,
) -> tuple[TrainState, Settings]:
    """Everything one training needs; the settings come back with the learning rate decided."""
    labels = loader.labels[split.train]
    settings, batches, plan = _planned(resolved.settings, labels, world)
    sizes = _all_sizes(settings, plan)
    check_sizes(recipe, sizes)
    is_probe = trains_on_features(settings)
    model = _begin(settings, recipe, compute, begins=begins or is_probe)
    seen = Seen(model, loader, Normalise(recipe.preprocess, compute), compute)
    if is_probe:
        seen = on_features(seen, settings, recipe, split, world)
    learner = _learner(seen, settings, plan, world)
    model, compute, device = learner.model, learner.compute, learner.compute.torch_device
    train, monitor = settings.train, settings.train.monitor
    weights = class_weights(settings, recipe.classes, labels)
    return TrainState(
        model=model,
        net=learner.net,
        optimizer=learner.optimizer,
        scale=LossScale(learner.optimizer, device, enabled=compute.precision == "fp16"),
        plan=plan,
        batches=batches,
        compute=compute,
        world=world,
        loader=seen.loader,
        normalise=seen.normalise,
        train=Order(split.train, labels, settings.balance.strategy, batches.effective),
        val=split.val,
        train_view=training_view(recipe.preprocess, settings.augment, natural=resolved.natural),
        seed=train.seed,
        mixing=_mixing(settings.augment),
        loss=make_loss(settings.loss, _on_device(weights, device)),
        clip_norm=settings.optim.clip_norm,
        monitor=monitor if len(split.val) and monitor != "auto" else None,
        patience=train.patience,
        target=train.target_metric,
        plateau=_plateau(settings),
        ema=_average(model, settings, plan.total_steps),
        tally=Tally(len(recipe.classes), device),
        freezing=learner.freezing,
        average=_mean_of_last(settings),
        teacher=make_teacher(settings, recipe, compute),
        recomputes=settings.model.gradient_checkpointing,
        views=_views(settings, recipe, sizes, natural=resolved.natural),
    ), settings


def _planned(
    settings: Settings, labels: NDArray[np.int64], world: World
) -> tuple[Settings, Batches, Plan]:
    """How batches are cut and how long the training is, its learning rate decided."""
    pictures = epoch_length(labels, settings.balance.strategy)
    batches = cut_batches(settings.train, world_size=world.size, pictures=pictures)
    settings = decide_lr(settings, effective=batches.effective)
    assert isinstance(settings.optim.lr, float)
    plan = make_plan(
        settings.schedule,
        epochs=settings.train.epochs,
        pictures=pictures,
        effective=batches.effective,
        peak_lr=settings.optim.lr,
        image_sizes=settings.train.image_sizes,
    )
    if settings.train.realised is not None:
        plan = replace(plan, course=Course.parse(settings.train.realised))
    return settings, batches, plan


def _learner(seen: Seen, settings: Settings, plan: Plan, world: World) -> _Learner:
    """The network as the steps of all processes call it, and its optimizer.

    Norms are synchronised and parts frozen before the weights are shared out; the optimizer comes
    after, since it holds the weights that there are then.
    """
    model, hardware, device = seen.model, settings.hardware, seen.compute.torch_device
    compute = replace(seen.compute, compiled=_compiles(settings, device, plan))
    if hardware.sync_bn and world.size > 1:
        model = synchronised(model, device)
    freezing = None if seen.is_probe else make_freezing(model, settings.model)
    if freezing is not None:
        freezing.begin(model, 1)
    if hardware.fsdp and world.size > 1:
        model = share_out(model, device)
    assert isinstance(settings.optim.lr, float)
    assert isinstance(settings.optim.weight_decay, float)
    optimizer = make_optimizer(
        model,
        settings.optim,
        lr=settings.optim.lr,
        weight_decay=settings.optim.weight_decay,
        fused=compute.fused,
        waves=freezing.waves if freezing is not None else None,
    )
    return _Learner(model, trained(model, compute, world), optimizer, compute, freezing)


def _compiles(settings: Settings, device: torch.device, plan: Plan) -> bool:
    """Whether to compile; unasked, neither what is shared out nor what is of unknown length."""
    choice, train = settings.hardware.compile, settings.train
    is_open = train.budget is not None or train.realised is not None
    steps = 0 if is_open or settings.hardware.fsdp else plan.total_steps
    return wants_compiling(choice, device, steps=steps)


def _mixing(augment: AugmentSettings) -> Mixing:
    assert augment.mixup_alpha != "auto"
    assert augment.cutmix_alpha != "auto"
    return Mixing(
        mixup_alpha=augment.mixup_alpha,
        cutmix_alpha=augment.cutmix_alpha,
        probability=augment.mix_prob,
        off_epoch=augment.mix_off_epoch,
    )


def _all_sizes(settings: Settings, plan: Plan) -> list[int]:
    """Sides that pictures may have in training, where they change."""
    asked = sizes_and_shares(settings.train.image_sizes or "")
    done = plan.course.sizes if plan.course is not None else ()
    return sorted({size for size, _ in asked} | {size for _, size in done})


def _views(
    settings: Settings, recipe: Recipe, sizes: Sequence[int], *, natural: bool
) -> dict[int, View]:
    """What training does to a stored picture at each size that is planned."""
    return {
        size: training_view(recipe.preprocess.at(size), settings.augment, natural=natural)
        for size in sizes
    }


def _average(model: nn.Module, settings: Settings, total_steps: int) -> Ema | None:
    if not settings.train.ema:
        return None
    decay = settings.train.ema_decay
    return Ema(model, auto_decay(total_steps) if decay == "auto" else decay)


def _mean_of_last(settings: Settings) -> LastAverage | None:
    last = settings.train.average_last
    return None if last is None else LastAverage(last, settings.train.epochs)


def _plateau(settings: Settings) -> Plateau | None:
    schedule, monitor = settings.schedule, settings.train.monitor
    if schedule.name != "plateau":
        return None
    lower = monitor == "val_loss"
    return Plateau(schedule.gamma, schedule.plateau_patience, lower_is_better=lower)


def _on_device(weights: NDArray[np.float64] | None, device: torch.device) -> torch.Tensor | None:
    return None if weights is None else torch.tensor(weights, dtype=torch.float32, device=device)


def _begin(settings: Settings, recipe: Recipe, compute: ComputePlan, *, begins: bool) -> nn.Module:
    """The network with the weights that training starts from, unless a checkpoint holds others."""
    torch.manual_seed(settings.train.seed)
    if begins and settings.model.pretrained is True:
        model = build_pretrained(recipe, offline=settings.hardware.offline)
        console.say(f"starting from timm's weights of {recipe.architecture}")
    else:
        model = build(recipe)
    if settings.model.gradient_checkpointing:
        recompute(model, recipe.architecture)
    where = settings.model.weights
    if begins and where is not None:
        taken = take_over(model, read_start(where, settings.run.output), recipe, where)
        console.say(f"starting from {where}: {taken}")
    if begins and settings.model.freeze is not None:
        _warn_of_chance(settings, recipe)
    return as_layout(model, device=compute.torch_device, channels_last=compute.channels_last)


def _warn_of_chance(settings: Settings, recipe: Recipe) -> None:
    """Say when what is frozen was never learnt."""
    freeze, weights = settings.model.freeze, settings.model.weights
    if weights is None and settings.model.pretrained is not True:
        console.warn(
            f"--freeze {freeze} keeps weights that are random: start from --pretrained or --weights"
        )
    elif weights is None and recipe.stem == "small":
        console.warn(
            f"--freeze {freeze} keeps the small stem, whose weights are random: use --stem standard"
        )
    elif weights is None and _freezes_attention(settings.model):
        console.warn(
            f"--freeze {freeze} keeps the --attention blocks of frozen stages, whose weights are "
            "random"
        )


def _freezes_attention(model: ModelSettings) -> bool:
    index, freeze = model.attention_index, model.freeze
    return model.attention is not None and (
        freeze == "backbone" or (freeze is not None and index is not None and index <= freeze)
    )
