"""From resolved settings to a training that can begin."""

from __future__ import annotations

import torch

from imgtrain import console
from imgtrain.data.split import Split
from imgtrain.engine.device import ComputePlan, apply, plan_compute
from imgtrain.engine.model import Recipe, build
from imgtrain.engine.optim import make_optimizer
from imgtrain.engine.schedule import cut_batches, make_plan
from imgtrain.engine.state import Normalise, TrainState
from imgtrain.engine.tally import Tally
from imgtrain.engine.weights import as_layout, build_pretrained, read_weights, take_over
from imgtrain.engine.world import World, local_place
from imgtrain.loading.loader import Loader
from imgtrain.loading.samplewise import training_view
from imgtrain.resolve import Resolved, decide_lr
from imgtrain.rundir import RunDir
from imgtrain.settings.schema import HardwareSettings, Settings


def ready_device(hardware: HardwareSettings, *, image_size: int) -> ComputePlan:
    """Choose how this process computes, and tell torch.

    Raises:
        SettingsError: If a device or precision was asked for that is not there.
    """
    rank, size = local_place()
    compute = plan_compute(hardware, image_size=image_size, local_rank=rank, local_size=size)
    apply(compute)
    return compute


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
    settings = resolved.settings
    batches = cut_batches(settings.train, world_size=world.size, pictures=len(split.train))
    settings = decide_lr(settings, effective=batches.effective)
    assert isinstance(settings.optim.lr, float)
    assert isinstance(settings.optim.weight_decay, float)
    plan = make_plan(
        settings.schedule,
        epochs=settings.train.epochs,
        pictures=len(split.train),
        effective=batches.effective,
        peak_lr=settings.optim.lr,
    )
    model = _begin(settings, recipe, compute, begins=begins)
    optimizer = make_optimizer(
        model,
        settings.optim,
        lr=settings.optim.lr,
        weight_decay=settings.optim.weight_decay,
        fused=compute.fused,
    )
    monitor = settings.train.monitor
    device = compute.torch_device
    return TrainState(
        model=model,
        net=world.wrap(model, device),
        optimizer=optimizer,
        plan=plan,
        batches=batches,
        compute=compute,
        world=world,
        loader=loader,
        normalise=Normalise(recipe.preprocess, compute),
        train=split.train,
        val=split.val,
        train_view=training_view(recipe.preprocess, settings.augment, natural=resolved.natural),
        seed=settings.train.seed,
        label_smoothing=settings.loss.label_smoothing,
        clip_norm=settings.optim.clip_norm,
        monitor=monitor if len(split.val) and monitor != "auto" else None,
        patience=settings.train.patience,
        tally=Tally(len(recipe.classes), device),
    ), settings


def _begin(
    settings: Settings, recipe: Recipe, compute: ComputePlan, *, begins: bool
) -> torch.nn.Module:
    """The network with the weights that training starts from, unless a checkpoint holds others."""
    torch.manual_seed(settings.train.seed)
    if begins and settings.model.pretrained is True:
        model = build_pretrained(recipe, offline=settings.hardware.offline)
        console.say(f"starting from timm's weights of {recipe.architecture}")
    else:
        model = build(recipe)
    where = settings.model.weights
    if begins and where is not None:
        taken = take_over(model, read_weights(where, settings.run.output), where)
        console.say(f"starting from {where}: {taken}")
    return as_layout(model, device=compute.torch_device, channels_last=compute.channels_last)


def announce(run: RunDir, state: TrainState, recipe: Recipe, split: Split) -> None:
    """What is about to happen, in four lines."""
    weights = sum(p.numel() for p in state.model.parameters()) / 1e6
    p, plan = recipe.preprocess, state.plan
    console.say(f"run      {run.path}")
    console.say(
        f"data     {len(recipe.classes)} classes; {len(split.train)} train, {len(split.val)} val, "
        f"{len(split.test)} test"
    )
    stem = ", small stem" if recipe.stem == "small" else ""
    console.say(
        f"model    {recipe.architecture}{stem}, {weights:.1f} M weights, "
        f"{p.size} x {p.size} x {p.channels}"
    )
    console.say(
        f"plan     {plan.epochs} epochs of {plan.steps_per_epoch} steps, batch {state.batches}, "
        f"lr {plan.peak_lr:.3g}; {state.compute}"
    )
