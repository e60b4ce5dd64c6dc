"""One training: settings and pictures in, a run folder with weights and an honest score out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from imgtrain import console, rundir
from imgtrain.assembly import announce, assemble, ready_device
from imgtrain.continuing import Choice, check_data, named_run, same_command
from imgtrain.data.index import Index, read_index
from imgtrain.data.split import Split, make_split
from imgtrain.engine.checkpoint import Checkpoints
from imgtrain.engine.device import ComputePlan, choose_device, usable_cores
from imgtrain.engine.loop import fit
from imgtrain.engine.model import Recipe
from imgtrain.engine.state import TrainState
from imgtrain.engine.world import World, local_place
from imgtrain.errors import DataError, InterruptedRun
from imgtrain.events import Event, RunEnded
from imgtrain.fast_dev import tiny
from imgtrain.files import read_json, write_json
from imgtrain.listeners.history import history
from imgtrain.listeners.progress import progress
from imgtrain.loading.cache import open_store
from imgtrain.loading.loader import Loader, Pictures
from imgtrain.provenance import Origins, record
from imgtrain.report.page import write_page
from imgtrain.resolve import make_preprocess, make_recipe, measure_statistics, resolve
from imgtrain.rundir import RunDir
from imgtrain.scoring import picture_reader, score_run, tell
from imgtrain.settings.layers import flatten, from_flat
from imgtrain.settings.schema import Settings
from imgtrain.stopping import Stop, listening


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a finished training left: its folder and the content of its ``metrics.json``."""

    run: Path
    metrics: Mapping[str, Any]


@dataclass(slots=True)
class Clock:
    """Seconds of each phase, for ``timing.json``."""

    begun: float
    phases: dict[str, float]

    def lap(self, phase: str) -> None:
        """What has passed since the last lap was ``phase``."""
        now = time.monotonic()
        self.phases[phase] = round(now - self.begun, 3)
        self.begun = now


def train(settings: Settings, *, origins: Origins | None = None) -> RunResult:
    """Train as the settings say, score the best weights once on the test part, write the report.

    The same settings on the same data go on with their own unfinished run.

    Args:
        settings: What to do.
        origins: Who set each dotted key; for the run's record.

    Raises:
        ImgtrainError: One of its kinds, with a message for the user.
    """
    clock = Clock(time.monotonic(), {})
    origins = origins or _origins(settings)
    rank, size = local_place()
    device = choose_device(settings.hardware, local_rank=rank, local_size=size)
    with World.joined(device.type) as world:
        return _train_in(world, settings, origins, clock)


def _train_in(world: World, settings: Settings, origins: Origins, clock: Clock) -> RunResult:
    """``train`` as one of the processes of ``world``."""
    if not world.is_first:
        console.silence()
    with ExitStack() as stack:
        choice = _named(settings, origins)
        asked = choice.settings
        index = read_index(asked.data.root, group_by=asked.data.group_by)
        name = _name(asked, index)
        if choice.run is None:
            choice = same_command(asked, index.fingerprint, name)
        else:
            check_data(choice.run, index)
        done = _already_done(choice)
        if done is not None:
            return done
        split, sentences = make_split(index, asked.data.split_ratio, asked.data.split_seed)
        for sentence in (*index.notes, *sentences):
            console.say(sentence)
        clock.lap("index")
        job = _Job(world, choice.settings, index, split, clock)
        begins = choice.run is None or not _checkpoints(choice.run, asked).exist()
        state, recipe, compute = job.prepare(stack, begins=begins)
        run = _open(stack, choice, name, world)
        if not begins:
            _restore(state, _checkpoints(run, job.settings))
        if world.is_first:
            record(
                run,
                asked=asked,
                settings=job.settings,
                origins=origins,
                name=name,
                index=index,
                split=job.split,
                compute=compute,
            )
            run.set_status("running", epochs=job.settings.train.epochs)
        try:
            return job.work(run, state, recipe)
        except BaseException as error:
            if world.is_first and not isinstance(error, InterruptedRun):
                run.set_status("failed", epochs=job.settings.train.epochs, error=str(error))
            raise


def _origins(settings: Settings) -> dict[str, str]:
    """In Python, what was given counts as set by the user."""
    given = {
        f"{section}.{key}"
        for section in settings.model_fields_set
        for key in getattr(settings, section).model_fields_set
    }
    return {key: "python" if key in given else "default" for key in flatten(settings)}


def _named(settings: Settings, origins: Origins) -> Choice:
    """The run of ``--resume``, if there is one."""
    if settings.run.resume is None:
        return Choice(None, settings)
    flat = flatten(settings)
    quiet = ("default", settings.data.root)
    return named_run(settings, {k: flat[k] for k, o in origins.items() if o not in quiet})


def _name(settings: Settings, index: Index) -> str:
    """The run's name: as given, or from data and model."""
    if settings.run.name:
        return settings.run.name
    data = Path(index.root).resolve().stem or "pictures"
    name = f"{data}-{settings.model.name.replace('/', '_')}"
    return f"{name}-fast-dev" if settings.train.fast_dev else name


def _checkpoints(run: RunDir, settings: Settings) -> Checkpoints:
    train = settings.train
    return Checkpoints(run.checkpoints, every=train.checkpoint_freq, keep=train.keep)


def _restore(state: TrainState, checkpoints: Checkpoints) -> None:
    """Go on where the run stood; one that was over goes on if it was given more epochs."""
    path = checkpoints.restore(state)
    progress = state.progress
    done = progress.epoch - 1
    if progress.reason is not None and done < state.plan.epochs > progress.planned:
        progress.reason, progress.patient_from = None, done
    if progress.reason is not None:
        console.say(f"training is finished ({path.name}); scoring is left")
        return
    best = f", best so far: epoch {progress.best_epoch}" if progress.best_epoch else ""
    console.say(f"restored {path.name}: epoch {progress.epoch}, step {progress.step}{best}")


def _already_done(choice: Choice) -> RunResult | None:
    """A finished run that was not given more epochs."""
    run, epochs = choice.run, choice.settings.train.epochs
    if run is None or not run.is_finished or epochs > run.status().get("epochs", epochs):
        return None
    console.say(f"{run.path} is finished; nothing to do (more --epochs go on)")
    return RunResult(run.path, read_json(run.path / "metrics.json"))


def _open(stack: ExitStack, choice: Choice, name: str, world: World) -> RunDir:
    """The run's folder, in all processes; the first one makes and locks it."""
    run = choice.run
    if world.is_first:
        run = run or rundir.new_run(choice.settings.run.output, name)
        stack.enter_context(rundir.locked(run))
        stack.callback(console.attach_log, None)
        console.attach_log(run.log)
    return RunDir(Path(world.gather(run and str(run.path))[0]))


@dataclass(slots=True)
class _Job:
    """One training; ``settings`` and ``split`` become final in ``prepare``."""

    world: World
    settings: Settings
    index: Index
    split: Split
    clock: Clock

    def prepare(self, stack: ExitStack, *, begins: bool) -> tuple[TrainState, Recipe, ComputePlan]:
        """Decide what is open, open the pictures, build the network.

        A run that does not begin takes its weights from a checkpoint, not from where it started.
        """
        if self.settings.train.fast_dev:
            self.settings, self.split = tiny(self.settings, self.index, self.split)
        self._check_split()
        resolved = resolve(self.settings, self.index, self.split)
        settings = from_flat(self.world.gather(flatten(resolved.settings))[0])
        source, data = self.index.source, self.settings.data
        preprocess = make_preprocess(settings, natural=resolved.natural)
        compute = ready_device(settings.hardware, image_size=preprocess.size)
        kept = open_store(
            source, self.index.root, preprocess, kind=data.cache, gigabytes=data.cache_gb
        )
        store = stack.enter_context(closing(kept))
        pictures = Pictures(source, preprocess, store, on_bad=data.on_bad_image)
        settings = measure_statistics(settings, pictures, self.split.train)
        pictures.preprocess = make_preprocess(settings, natural=resolved.natural)
        threads = usable_cores() if data.workers == "auto" else data.workers
        loader = Loader(pictures, self.index.labels, compute.torch_device, threads=threads)
        stack.callback(loader.close)
        recipe = make_recipe(settings, self.index.classes, pictures.preprocess)
        state, self.settings = assemble(
            replace(resolved, settings=settings),
            self.split,
            recipe=recipe,
            compute=compute,
            loader=loader,
            world=self.world,
            begins=begins,
        )
        return state, recipe, compute

    def _check_split(self) -> None:
        count = len(self.split.train)
        if count < 2:  # noqa: PLR2004  # batch normalisation needs two
            raise DataError(
                f"{self.index.root}: {count} training pictures, at least 2 are needed",
                "add pictures, or give train a larger share with --split-ratio",
            )

    def work(self, run: RunDir, state: TrainState, recipe: Recipe) -> RunResult:
        """Train, score, report."""
        announce(run, state, recipe, self.split)
        self.clock.lap("start")
        with listening() as stop:
            self._fit(run, state, stop)
            self.clock.lap("train")
            metrics = score_run(run, state, recipe, self.index, self.split, stop=stop)
            self.clock.lap("score")
        if self.world.is_first:
            write_json(run.path / "timing.json", self.clock.phases)
            write_page(run.path, read=picture_reader(self.index), state="finished")
            run.set_status("finished", epochs=self.settings.train.epochs)
            tell(run, dict(metrics))
        return RunResult(run.path, metrics)

    def _fit(self, run: RunDir, state: TrainState, stop: Stop) -> None:
        """Train, with everyone listening."""
        checkpoints = _checkpoints(run, self.settings)
        checkpoints.check_room(state)
        events = fit(
            state,
            checkpoints,
            checkpoint_seconds=60 * self.settings.train.checkpoint_minutes,
            stopped=stop,
        )
        end: Event | None = None
        with ExitStack() as stack:
            listeners: list[Callable[[Event], None]] = []
            if self.world.is_first:
                listeners.append(stack.enter_context(history(run.path)))
                listeners.append(stack.enter_context(progress()))
            for event in events:
                end = event
                for listener in listeners:
                    listener(event)
        assert isinstance(end, RunEnded)
        if end.reason == "signal":
            self._interrupted(run, state, stop)
        if end.reason == "patience":
            console.say(
                f"stopped after epoch {end.epoch}: no better {state.monitor} "
                f"in {state.patience} epochs"
            )

    def _interrupted(self, run: RunDir, state: TrainState, stop: Stop) -> None:
        if self.world.is_first:
            run.set_status("interrupted", epochs=state.plan.epochs)
        raise InterruptedRun(
            stop.number or 2,
            f"stopped in epoch {state.progress.epoch} after step {state.progress.step}; "
            f"everything is saved in {run.path}",
            "the same command goes on from there",
        )
