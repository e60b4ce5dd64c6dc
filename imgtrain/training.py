"""One training: settings and pictures in, a run folder with weights and an honest score out."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from imgtrain import console
from imgtrain.announcing import announce
from imgtrain.budgeting import (
    give_keeper,
    refuse_hopeless,
    seconds_of_ending,
    write_realised,
)
from imgtrain.classical_training import check_asked, train_classical
from imgtrain.continuing import (
    Choice,
    batches_before,
    check_data,
    check_same_teacher,
    same_command,
)
from imgtrain.data.index import Index, read_index
from imgtrain.engine.device import TINY, choose_device, choose_precision
from imgtrain.engine.loop import fit
from imgtrain.engine.state import TrainState
from imgtrain.engine.world import World, local_place
from imgtrain.errors import InterruptedRun
from imgtrain.events import Event, RunEnded
from imgtrain.files import read_json, write_json
from imgtrain.known_sets import settle_root
from imgtrain.launching import refuse_alone, refuse_to_start_others
from imgtrain.listeners.history import history
from imgtrain.listeners.progress import progress
from imgtrain.listeners.unread import unread_classes
from imgtrain.loading.rows import RowLoader
from imgtrain.loading.shelf import Shelf
from imgtrain.memory_profile import memory_profiled
from imgtrain.opening import (
    check_same_pictures,
    checkpoints_of,
    cut_parts,
    has_checkpoint,
    name_of,
    open_run,
    origins_of,
    restore,
    resumed,
    working,
)
from imgtrain.preparing import Clock, Ground, Prepared, prepare
from imgtrain.preview import write_contact_sheet
from imgtrain.provenance import Origins, record
from imgtrain.rate_finding import settle_rate
from imgtrain.report.page import write_page
from imgtrain.resolve import check_network
from imgtrain.rundir import RunDir
from imgtrain.scoring import picture_reader, score_run, tell
from imgtrain.settings.classical import estimator_of
from imgtrain.settings.effects import check_effects
from imgtrain.settings.schema import Settings
from imgtrain.stopping import Stop, listening
from imgtrain.teaching import teacher_file
from imgtrain.tracking.checks import check_trackers
from imgtrain.tracking.session import tracked
from imgtrain.wall_clock import command_began


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a finished training left: its folder and the content of its ``metrics.json``."""

    run: Path
    metrics: Mapping[str, Any]


def train(settings: Settings, *, origins: Origins | None = None) -> RunResult:
    """Train as the settings say, score the best weights once on the test part, write the report.

    The same settings on the same data go on with their own unfinished run.

    Args:
        settings: What to do.
        origins: Who set each dotted key; for the run's record.

    Raises:
        ImgtrainError: One of its kinds, with a message for the user.
    """
    clock, begun = Clock(), command_began()
    clock.command, clock.ending = begun, seconds_of_ending(begun)
    refuse_to_start_others(settings)
    refuse_hopeless(settings.train.budget, clock.ending, begun)
    origins, device = check_start(settings, origins)
    with World.joined(device) as world:
        return _train_in(world, settings, origins, clock)


def check_start(settings: Settings, origins: Origins | None) -> tuple[Origins, torch.device]:
    """Refuse, before any data is read, what cannot be; who set what, and the device.

    Raises:
        SettingsError: With the setting concerned.
        OutsideError: If a package is missing.
    """
    if origins is None:
        origins = origins_of(settings)
        for sentence in check_effects(settings, origins):
            console.warn(sentence)
    check_asked(settings, origins)
    rank, size = local_place()
    device = choose_device(settings.hardware, local_rank=rank, local_size=size)
    choose_precision(settings.hardware, device, image_size=TINY)  # or refuse, before data is read
    refuse_alone(settings, int(os.environ.get("WORLD_SIZE", "1")))
    return origins, device


def _train_in(world: World, settings: Settings, origins: Origins, clock: Clock) -> RunResult:
    """``train`` as one of the processes of ``world``."""
    if not world.is_first:
        console.silence()
    with ExitStack() as stack:
        choice = world.from_first(lambda: resumed(settings, origins))
        asked = choice.settings
        look_ahead(asked)
        again = settings.run.resume
        console.say(f"reading {asked.data.root}" if again is None else f"resuming {again}")
        index = read_index(settle_root(asked), group_by=asked.data.group_by)
        check_same_pictures(index, world)
        name = name_of(asked, index)
        choice, done = world.from_first(lambda: _chosen(choice, index, name))
        if done is not None:
            return done
        split = cut_parts(index, asked.data)
        clock.lap("index")
        shelf = stack.enter_context(Shelf(index))
        ground = Ground(index=index, split=split, shelf=shelf)
        return train_once(
            choice, ground, asked=asked, name=name, world=world, origins=origins, clock=clock
        )


def train_once(
    choice: Choice,
    ground: Ground,
    *,
    asked: Settings,
    name: str,
    world: World,
    origins: Origins,
    clock: Clock,
) -> RunResult:
    """One training on given parts, in a run folder of its own, to its end.

    Args:
        choice: The run to go on with, if there is one, and the settings.
        ground: What is trained on.
        asked: The settings as they came, with their open ends.
        name: What the run is called, without a number.
        world: The processes that train together.
        origins: Who set what.
        clock: Hears when each phase is over.

    Raises:
        ImgtrainError: One of its kinds, with a message for the user.
    """
    with ExitStack() as stack:
        if estimator_of(asked.model.name) is not None:
            ended = train_classical(
                choice,
                ground,
                asked=asked,
                name=name,
                world=world,
                stack=stack,
                origins=origins,
                clock=clock,
            )
            return RunResult(*ended)
        begins = world.from_first(lambda: not has_checkpoint(choice))
        begun = world.from_first(lambda: batches_before(choice))
        settings, rate = settle_rate(choice.settings, world)
        ready = prepare(
            settings, ground, world=world, stack=stack, begins=begins, begun=begun, clock=clock
        )
        give_keeper(
            ready.state, ready.settings, ready.split, begun=clock.command, ending=clock.ending
        )
        run = open_run(stack, choice, name, world)
        if not begins:
            restore(ready.state, checkpoints_of(run, ready.settings))
        if world.is_first:
            record(
                run,
                asked=asked,
                settings=ready.settings,
                origins=origins,
                name=name,
                index=ready.index,
                split=ready.split,
                compute=ready.compute,
                batches=ready.state.batches,
            )
            if ready.leaks is not None:
                ready.leaks.write(run.path / "leaks.csv", ready.index)
            if rate is not None:
                rate.write(run.path, run.path / "plots")
        told = tracked(
            run,
            ready.settings,
            is_first=world.is_first,
            read=picture_reader(ready.index),
            until=clock.until(ready.settings.train.budget),
        )
        with told as hear, working(run, world, epochs=ready.settings.train.epochs):
            return _Job(ready, clock, (hear, *ground.hears), draws=ground.draws).work(run)


def look_ahead(asked: Settings) -> None:
    """What is missing ends the work before data is read: a teacher, a tracker's package, ..."""
    teacher_file(asked)
    check_trackers(asked)
    if estimator_of(asked.model.name) is None:
        check_network(asked.model)


def _chosen(choice: Choice, index: Index, name: str) -> tuple[Choice, RunResult | None]:
    """The run to go on with, and its result if there is nothing left to do."""
    if choice.run is None:
        choice = same_command(choice.settings, index.fingerprint, name)
    else:
        check_data(choice.run, index)
        check_same_teacher(choice.run, choice.settings)
    return choice, _already_done(choice)


def _already_done(choice: Choice) -> RunResult | None:
    """A finished run that was not given more epochs."""
    run, epochs = choice.run, choice.settings.train.epochs
    more = epochs > run.status().get("epochs", epochs) if run is not None else False
    if run is None or not run.is_finished or (more and choice.settings.train.budget is None):
        return None
    ended = estimator_of(choice.settings.model.name) or choice.settings.train.budget is not None
    way_on = "" if ended else " (more --epochs go on)"
    console.say(f"{run.path} is finished; nothing to do{way_on}")
    return RunResult(run.path, read_json(run.path / "metrics.json"))


@dataclass(frozen=True, slots=True)
class _Job:
    """One training that can begin."""

    ready: Prepared
    clock: Clock
    hears: tuple[Callable[[Event], None], ...] = ()
    draws: bool = True

    def work(self, run: RunDir) -> RunResult:
        """Train, score, report."""
        ready, state = self.ready, self.ready.state
        announce(run, state, ready.recipe, ready.split, ready.settings)
        self.clock.lap("start")
        with listening() as stop:
            if isinstance(state.loader, RowLoader) and not state.loader.ready(stop):
                _interrupted(run, state, stop)
            self._fit(run, stop)
            self.clock.lap("train")
            if state.world.is_first:
                write_realised(run, state, ready.settings)
            metrics = score_run(
                run,
                state,
                ready.recipe,
                ready.index,
                ready.split,
                stop=stop,
                tta=ready.settings.augment.tta,
                quarantine=ready.settings.data.on_bad_image == "quarantine",
                draws=self.draws,
            )
            self.clock.lap("score")
        if state.world.is_first:
            if self.draws:
                write_contact_sheet(run.path / "contact_sheet.jpg", ready)
            write_json(run.path / "timing.json", self.clock.phases)
            write_page(run.path, read=picture_reader(ready.index), state="finished")
            run.set_status("finished", epochs=ready.settings.train.epochs)
            tell(run, dict(metrics))
        return RunResult(run.path, metrics)

    def _fit(self, run: RunDir, stop: Stop) -> None:
        """Train, with everyone listening."""
        state, settings = self.ready.state, self.ready.settings
        index, train = self.ready.index, self.ready.split.train
        checkpoints = checkpoints_of(run, settings)
        if state.world.is_first:
            checkpoints.check_room(state)
        events = fit(
            state,
            checkpoints,
            checkpoint_seconds=60 * settings.train.checkpoint_minutes,
            stopped=stop,
        )
        end: Event | None = None
        with ExitStack() as stack:
            listeners: list[Callable[[Event], None]] = []
            if state.world.is_first:
                listeners.append(stack.enter_context(history(run.path)))
                listeners.append(stack.enter_context(progress()))
                listeners.append(unread_classes(index, train, state.loader.pictures.bad))
            profile = settings.hardware.memory_profile
            stack.enter_context(memory_profiled(state, run.path, wanted=profile))
            listeners += self.hears
            for event in events:
                end = event
                for listener in listeners:
                    listener(event)
        assert isinstance(end, RunEnded)
        if end.reason == "signal":
            _interrupted(run, state, stop)
        if end.reason == "target":
            console.say(
                f"stopped after epoch {end.epoch}: {state.monitor} reached {state.target:g}"
            )
        if end.reason == "patience":
            console.say(
                f"stopped after epoch {end.epoch}: no better {state.monitor} "
                f"in {state.patience} epochs"
            )


def _interrupted(run: RunDir, state: TrainState, stop: Stop) -> None:
    if state.world.is_first:
        run.set_status("interrupted", epochs=state.plan.epochs)
    raise InterruptedRun(
        stop.number or 2,
        f"stopped in epoch {state.progress.epoch} after step {state.progress.step}; "
        f"everything is saved in {run.path}",
        "the same command goes on from there",
    )
