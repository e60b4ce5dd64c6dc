"""From settings and pictures to a training that can begin: for whoever trains, or measures."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from imgtrain import console
from imgtrain.assembly import assemble, ready_device
from imgtrain.batch_choice import decide_batch
from imgtrain.data.index import Index, read_index
from imgtrain.data.split import Split
from imgtrain.engine.device import ComputePlan, leaves_cores, usable_cores
from imgtrain.engine.limits import limited
from imgtrain.engine.recipe import Recipe
from imgtrain.engine.schedule import Batches, check_accumulation, keep_effective
from imgtrain.engine.state import TrainState
from imgtrain.engine.world import World, local_place
from imgtrain.errors import DataError
from imgtrain.events import Event
from imgtrain.fast_dev import tiny
from imgtrain.known_sets import settle_root
from imgtrain.leaks import Leaks, gate
from imgtrain.loading.loader import Loader, Pictures
from imgtrain.loading.orders import epoch_length
from imgtrain.loading.shelf import Shelf
from imgtrain.opening import cut_parts
from imgtrain.resolve import (
    check_network,
    check_parts,
    decide_monitor,
    make_preprocess,
    make_recipe,
    measure_statistics,
    resolve,
)
from imgtrain.settings.layers import flatten, from_flat
from imgtrain.settings.schema import Settings
from imgtrain.teaching import check_teacher


@dataclass(slots=True)
class Clock:
    """Seconds of each phase, for ``timing.json``; when the command began, what its end takes."""

    begun: float = field(default_factory=time.monotonic)
    command: float = 0.0
    ending: float = 0.0
    phases: dict[str, float] = field(default_factory=dict)

    def until(self, budget: float | None) -> float | None:
        """``time.monotonic()`` at which a command with a budget has to be over."""
        return None if budget is None else self.command + budget

    def lap(self, phase: str) -> None:
        """What has passed since the last lap was ``phase``."""
        now = time.monotonic()
        self.phases[phase] = round(now - self.begun, 3)
        self.begun = now


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What one training stands on.

    Args:
        index: The pictures.
        split: Their parts.
        shelf: Where they stay decoded; several trainings of a process share it.
        is_checked: Whether leaks between the parts were looked for already.
        hears: Functions that are told the training's events, behind imgtrain's own.
        draws: Whether PNG figures are wanted: a person may look at this training.
    """

    index: Index
    split: Split
    shelf: Shelf
    is_checked: bool = False
    hears: tuple[Callable[[Event], None], ...] = ()
    draws: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A training that can begin: no setting is open, the parts are final.

    ``leaks`` is what the gate found between the parts; None where it did not look.
    """

    settings: Settings
    index: Index
    split: Split
    leaks: Leaks | None
    recipe: Recipe
    compute: ComputePlan
    state: TrainState


def prepare(
    settings: Settings,
    ground: Ground,
    *,
    world: World,
    stack: ExitStack,
    begins: bool,
    begun: Batches | None = None,
    clock: Clock | None = None,
) -> Prepared:
    """Decide what is open, open the pictures, build the network.

    Args:
        settings: As the user gave them.
        ground: The pictures and their parts.
        world: The processes that train together.
        stack: Closes the loader.
        begins: Whether the weights are those that training starts from; a run that goes on takes
            them from a checkpoint.
        begun: How the run that goes on cut its batches; other processes keep the effective one.
        clock: Hears when the leak gate is done.

    Raises:
        ImgtrainError: One of its kinds, with a message for the user.
    """
    index, split = ground.index, ground.split
    if settings.train.fast_dev:
        settings, split = tiny(settings, index, split)
        ground = replace(ground, split=split)
    _check_split(index, split)
    pictures_an_epoch = epoch_length(index.labels[split.train], settings.balance.strategy)
    check_accumulation(settings.train, world_size=world.size, pictures=pictures_an_epoch)
    resolved = resolve(settings, index, split)
    channels = int(resolved.settings.data.channels)
    check_teacher(resolved.settings, index.classes, channels=channels)
    settings = from_flat(world.gather(flatten(resolved.settings))[0])
    if begun is not None and begun.world_size != world.size:
        settings = _shared_anew(settings, begun, world)
    natural = resolved.natural
    size = make_preprocess(settings, natural=natural).size
    compute = ready_device(settings.hardware, image_size=size)
    limit, device = settings.hardware.memory_limit, compute.torch_device
    stack.enter_context(limited(limit, device, processes=local_place()[1]))
    opened = open_pictures(
        settings,
        ground,
        natural=natural,
        compute=compute,
        world=world,
        stack=stack,
        clock=clock,
    )
    split, loader = opened.split, opened.loader
    settings = decide_batch(opened.settings, index, split, natural=natural, world=world)
    recipe = make_recipe(settings, index.classes, loader.pictures.preprocess)
    state, settings = assemble(
        replace(resolved, settings=settings),
        split,
        recipe=recipe,
        compute=compute,
        loader=loader,
        world=world,
        begins=begins,
    )
    stack.callback(state.loader.close)
    return Prepared(
        settings=settings,
        index=index,
        split=split,
        leaks=opened.leaks,
        recipe=recipe,
        compute=state.compute,
        state=state,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """Pictures that can be loaded; the parts are final, and so is how pictures are seen."""

    settings: Settings
    split: Split
    leaks: Leaks | None
    loader: Loader


def open_pictures(
    settings: Settings,
    ground: Ground,
    *,
    natural: bool,
    compute: ComputePlan,
    world: World,
    stack: ExitStack,
    clock: Clock | None = None,
) -> Opened:
    """Open the store, look for leaks, measure what is measured on the training part.

    Raises:
        DataError: If the parts leak and must not, or leave too little to train on.
        SettingsError: If something needs a validation part, and there is none.
    """
    index, split, data = ground.index, ground.split, settings.data
    preprocess = make_preprocess(settings, natural=natural)
    store = ground.shelf.store(preprocess, kind=data.cache, gigabytes=data.cache_gb)
    stack.callback(store.save)
    pictures = Pictures(index.source, preprocess, store, on_bad=data.on_bad_image)
    threads = usable_cores() if data.workers == "auto" else data.workers
    policy = "off" if ground.is_checked else data.on_leak
    split, leaks = gate(pictures, index, split, world, policy=policy, threads=threads)
    _check_split(index, split)
    check_parts(settings, split)
    if clock is not None:
        clock.lap("leaks")
    settings = decide_monitor(settings, index, split)
    settings = measure_statistics(settings, pictures, split.train)
    pictures.preprocess = make_preprocess(settings, natural=natural)
    spare = data.workers != "auto" or leaves_cores(compute, local_size=local_place()[1])
    loader = Loader(pictures, index.labels, compute.torch_device, threads=threads, spare=spare)
    stack.callback(loader.close)
    return Opened(settings=settings, split=split, leaks=leaks, loader=loader)


def _shared_anew(settings: Settings, begun: Batches, world: World) -> Settings:
    """The run's effective batch for another number of processes than it began with."""
    train = keep_effective(settings.train, begun.effective, world_size=world.size)
    console.say(
        f"begun with {begun.world_size} process(es), going on with {world.size}: "
        f"{begun.effective} pictures a step as before"
    )
    return settings.model_copy(update={"train": train})


def prepare_alone(settings: Settings, stack: ExitStack) -> Prepared:
    """A training in this one process that no run folder belongs to: for what only measures."""
    if settings.optim.lr == "find":  # its own measurement
        settings = from_flat({**flatten(settings), "optim.lr": "auto"})
    check_network(settings.model)
    index = read_index(settle_root(settings), group_by=settings.data.group_by)
    split = cut_parts(index, settings.data)
    shelf = stack.enter_context(Shelf(index))
    ground = Ground(index=index, split=split, shelf=shelf)
    return prepare(settings, ground, world=World(), stack=stack, begins=True)


def _check_split(index: Index, split: Split) -> None:
    count = len(split.train)
    if count < 2:  # noqa: PLR2004  # batch normalisation needs two
        raise DataError(
            f"{index.root}: {count} training pictures, at least 2 are needed",
            "add pictures, or give train a larger share with --split-ratio",
        )
