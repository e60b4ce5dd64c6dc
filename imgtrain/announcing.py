"""What is about to happen, in a few lines: said before a training begins."""

from __future__ import annotations

from collections.abc import Iterator

from imgtrain import console
from imgtrain.data.listing import some
from imgtrain.data.split import Split
from imgtrain.engine.recipe import Recipe
from imgtrain.engine.schedule import Plan
from imgtrain.engine.state import TrainState
from imgtrain.probing import whole_model
from imgtrain.registry import POLICIES
from imgtrain.resolve import class_weights
from imgtrain.rundir import RunDir
from imgtrain.settings.schema import AugmentSettings, Settings


def announce(
    run: RunDir, state: TrainState, recipe: Recipe, split: Split, settings: Settings
) -> None:
    """Say what trains on what, how long, and in which way."""
    console.say(f"run      {run.path}")
    console.say(f"data     {len(recipe.classes)} classes; {split}")
    console.say(f"model    {_network(state, recipe)}")
    plan = state.plan
    console.say(
        f"plan     {_length(plan, settings)} of {plan.steps_per_epoch} steps, "
        f"batch {state.batches}, lr {plan.peak_lr:.3g}; {state.compute}"
    )
    for line in _extras(state, settings):
        console.say(line)
    console.say(f"augment  {_varied(settings.augment)}")
    balance = _balance(state, recipe, settings)
    if balance is not None:
        console.say(f"balance  {balance}")


def _network(state: TrainState, recipe: Recipe) -> str:
    """``resnet18, small stem, 11.2 M weights (5,130 of them learn), 32 x 32 x 3``."""
    weights = sum(p.numel() for p in whole_model(state).parameters())
    learning = sum(p.numel() for p in state.model.parameters() if p.requires_grad)
    frozen = "" if learning == weights else f" ({learning:,} of them learn)"
    extras = ", small stem" if recipe.stem == "small" else ""
    extras += f", {recipe.attention}" if recipe.attention else ""
    extras += ", mlp head" if recipe.head == "mlp" else ""
    p = recipe.preprocess
    return (
        f"{recipe.architecture}{extras}, {weights / 1e6:.1f} M weights{frozen}, "
        f"{p.size} x {p.size} x {p.channels}"
    )


def _extras(state: TrainState, settings: Settings) -> Iterator[str]:
    """A line for each thing that not every training has."""
    if state.freezing is not None:
        yield f"freeze   {state.freezing.text}"
    if settings.train.image_sizes is not None:
        yield f"sizes    {settings.train.image_sizes} (side in pixels : share of the steps)"
    loss = settings.loss
    if state.teacher is not None:
        yield (
            f"teacher  {loss.teacher}: {loss.distill_alpha:g} of the loss, "
            f"temperature {loss.temperature:g}"
        )
    if state.average is not None:
        first, last = state.average.first, state.average.epochs
        yield f"average  the weights after epochs {first} to {last}"


def _balance(state: TrainState, recipe: Recipe, settings: Settings) -> str | None:
    weights = class_weights(settings, recipe.classes, state.train.labels)
    if weights is not None:
        pairs = zip(recipe.classes, weights.tolist(), strict=True)
        return f"class weights {some([f'{name} {weight:.3g}' for name, weight in pairs], 8)}"
    strategy = settings.balance.strategy
    return None if strategy == "none" else f"{strategy}, {len(state.train):,} pictures an epoch"


def _length(plan: Plan, settings: Settings) -> str:
    if settings.train.budget is not None:
        return (
            f"{settings.train.budget:g} s from start to exit, the schedule of {plan.epochs} epochs "
            "fitted to it; epochs"
        )
    return f"{plan.last_epoch} epochs"


def _varied(augment: AugmentSettings) -> str:
    """``policy medium by torchvision, mixup 0.2, random erasing 0.25``."""
    plugin = POLICIES.plugin(augment.policy)
    by = "" if augment.policy in ("auto", "none") else f" by {plugin or augment.library}"
    extras = {
        "mixup": augment.mixup_alpha,
        "cutmix": augment.cutmix_alpha,
        "random erasing": augment.erase,
    }
    told = "".join(
        f", {name} {value:g}" for name, value in extras.items() if value and value != "auto"
    )
    flips = "" if augment.flip or augment.policy == "none" else ", never mirrored"
    return f"policy {augment.policy}{by}{told}{flips}"
