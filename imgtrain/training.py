"""One training: settings and pictures in, a run folder with weights and an honest score out."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from imgtrain import console, rundir
from imgtrain.continuing import Choice, identity_keys, named_run, same_command
from imgtrain.data.index import Index, read_index
from imgtrain.data.split import Split, make_split, write_splits
from imgtrain.engine.checkpoint import Checkpoints
from imgtrain.engine.device import ComputePlan, choose_device, plan_compute, usable_cores
from imgtrain.engine.loop import fit
from imgtrain.engine.model import Recipe, build
from imgtrain.engine.optim import make_optimizer
from imgtrain.engine.schedule import cut_batches, make_plan
from imgtrain.engine.state import Normalise, TrainState
from imgtrain.engine.tally import Tally
from imgtrain.engine.weights import as_layout, build_pretrained, read_weights, take_over
from imgtrain.engine.world import World
from imgtrain.errors import DataError, ImgtrainError, InterruptedRun
from imgtrain.events import Event, RunEnded
from imgtrain.files import read_json, write_json, write_text
from imgtrain.listeners.history import history
from imgtrain.listeners.progress import progress
from imgtrain.loading.cache import open_store
from imgtrain.loading.loader import Loader, Pictures
from imgtrain.loading.samplewise import training_view
from imgtrain.provenance import provenance
from imgtrain.resolve import (
    Resolved,
    decide_lr,
    make_preprocess,
    make_recipe,
    measure_statistics,
    resolve,
)
from imgtrain.rundir import RunDir
from imgtrain.scoring import score_run
from imgtrain.settings.layers import flatten, to_yaml
from imgtrain.settings.schema import Settings
from imgtrain.stopping import Stop, listening


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a finished training left: its folder and the content of its ``metrics.json``."""

    run: Path
    metrics: Mapping[str, Any]


def train(settings: Settings, *, origins: Mapping[str, str] | None = None) -> RunResult:
    """Train as the settings say, score the best weights once on the test part, write the report.

    The same settings on the same data go on with their own unfinished run.

    Args:
        settings: What to do.
        origins: Who set each dotted key; for the run's record.

    Raises:
        ImgtrainError: One of its kinds, with a message for the user.
    """
    begun = time.monotonic()
    origins = origins or _origins(settings)
    device = choose_device(settings.hardware, local_rank=int(os.environ.get("LOCAL_RANK", "0")))
    with World.joined(device.type) as world:
        if not world.is_first:
            console.silence()
        choice = _named(settings, origins)
        settings = choice.settings
        index = read_index(settings.data.root, group_by=settings.data.group_by)
        if choice.run is None:
            name = _name(settings, index)
            choice = same_command(settings, index.fingerprint, name)
        job = _Job(world, settings, choice, index, origins, begun)
        return job.run_all()


def _origins(settings: Settings) -> dict[str, str]:
    """In Python, what was given counts as set by the user."""
    given = {
        f"{section}.{key}"
        for section in settings.model_fields_set
        for key in getattr(settings, section).model_fields_set
    }
    return {key: "python" if key in given else "default" for key in flatten(settings)}


def _named(settings: Settings, origins: Mapping[str, str]) -> Choice:
    if settings.run.resume is None:
        return Choice(None, settings)
    flat = flatten(settings)
    quiet = ("default", settings.data.root)
    return named_run(settings, {k: flat[k] for k, o in origins.items() if o not in quiet})


def _name(settings: Settings, index: Index) -> str:
    """The run's name: as given, or from data and model."""
    if settings.run.name:
        return settings.run.name
    data = Path(index.root).resolve().stem if index.natural else settings.data.root
    name = f"{data or 'pictures'}-{settings.model.name.replace('/', '_')}"
    return f"{name}-fast-dev" if settings.train.fast_dev else name


def _tiny(settings: Settings, index: Index, split: Split) -> tuple[Settings, Split]:
    """``--fast-dev``: two epochs of at most two batches, and one batch to score."""
    size = settings.train.batch_size * settings.train.accumulation_steps

    def some(part: np.ndarray[Any, np.dtype[np.int64]], most: int) -> Any:
        """The first pictures of every class in turn."""
        order = np.argsort(_rank_in_class(index.labels[part]), kind="stable")
        return np.sort(part[order[:most]])

    split = Split(
        train=some(split.train, max(2 * size, len(index.classes))),
        val=some(split.val, size),
        test=some(split.test, size),
    )
    return settings.model_copy(
        update={"train": settings.train.model_copy(update={"epochs": 2})}
    ), split


def _rank_in_class(labels: np.ndarray[Any, np.dtype[np.int64]]) -> Any:
    """For each picture, how many of its class came before it."""
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], labels[order], side="left")
    ranks = np.empty(len(labels), np.int64)
    ranks[order] = np.arange(len(labels)) - starts
    return ranks


@dataclass(slots=True)
class _Job:
    """The steps of ``train``, in order, sharing what they found out."""

    world: World
    settings: Settings
    choice: Choice
    index: Index
    origins: Mapping[str, str]
    begun: float

    def run_all(self) -> RunResult:
        """Prepare, train, score, report."""
        asked = self.settings
        split, sentences = make_split(self.index, asked.data.split_ratio, asked.data.split_seed)
        if asked.train.fast_dev:
            self.settings, split = _tiny(asked, self.index, split)
        _check_split(split, self.index)
        resolved = resolve(self.settings, self.index, split)
        with ExitStack() as stack:
            run = self._open(stack, asked)
            for sentence in (*self.index.notes, *sentences):
                console.say(sentence)
            try:
                return self._work(stack, run, asked, resolved, split)
            except ImgtrainError as error:
                if self.world.is_first and not isinstance(error, InterruptedRun):
                    run.set_status("failed", error=error.message)
                raise

    def _open(self, stack: ExitStack, asked: Settings) -> RunDir:
        """The run's folder, in all processes; the first one makes and locks it."""
        run = self.choice.run
        if self.world.is_first:
            if run is None:
                run = rundir.new_run(asked.run.output, _name(asked, self.index))
            stack.enter_context(rundir.locked(run))
            stack.callback(console.attach_log, None)
            console.attach_log(run.log)
        return RunDir(Path(self.world.gather(run and str(run.path))[0]))

    def _work(
        self, stack: ExitStack, run: RunDir, asked: Settings, resolved: Resolved, split: Split
    ) -> RunResult:
        if run.is_finished and self.choice.run is not None and not self._grows(run):
            console.say(f"{run.path} is finished; nothing to do (more --epochs would go on)")
            return RunResult(run.path, read_json(run.path / "metrics.json"))
        settings, preprocess = (
            resolved.settings,
            make_preprocess(resolved.settings, natural=resolved.natural),
        )
        compute = self._compute(settings, preprocess.size)
        data = settings.data
        kept = open_store(
            self.index.source, self.index.root, preprocess, kind=data.cache, gigabytes=data.cache_gb
        )
        store = stack.enter_context(closing(kept))
        pictures = Pictures(self.index.source, preprocess, store, on_bad=data.on_bad_image)
        settings = measure_statistics(settings, pictures, split.train)
        pictures.preprocess = preprocess = make_preprocess(settings, natural=resolved.natural)
        threads = usable_cores() if data.workers == "auto" else data.workers
        loader = Loader(pictures, self.index.labels, compute.torch_device, threads=threads)
        stack.callback(loader.close)
        recipe = make_recipe(settings, self.index.classes, preprocess)
        state, settings = assemble(
            replace(resolved, settings=settings),
            split,
            recipe=recipe,
            compute=compute,
            loader=loader,
            world=self.world,
        )
        self._record(run, asked, settings, compute, split)
        _announce(run, state, recipe, split)
        with listening() as stop:
            self._fit(run, state, settings, stop)
            metrics = score_run(run, state, recipe, self.index, split, stop=stop)
        if self.world.is_first:
            run.set_status("finished", seconds=round(time.monotonic() - self.begun, 3))
        return RunResult(run.path, metrics)

    def _grows(self, run: RunDir) -> bool:
        """Whether a finished run was asked for more epochs than it has."""
        return self.settings.train.epochs > int(run.status().get("epochs", 0))

    def _compute(self, settings: Settings, image_size: int) -> ComputePlan:
        local = int(os.environ.get("LOCAL_RANK", "0"))
        peers = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        compute = plan_compute(
            settings.hardware, image_size=image_size, local_rank=local, local_size=peers
        )
        torch.set_num_threads(compute.threads)
        if compute.torch_device.type == "cuda":
            torch.cuda.set_device(compute.torch_device)
        return compute

    def _record(
        self,
        run: RunDir,
        asked: Settings,
        settings: Settings,
        compute: ComputePlan,
        split: Split,
    ) -> None:
        """Write what the run is, before it begins."""
        if not self.world.is_first:
            return
        name = _name(asked, self.index)
        identities = {
            rundir.identity_of(identity_keys(s), self.index.fingerprint, name)
            for s in (asked, settings)
        }
        write_text(run.config, to_yaml(settings, comments=False))
        write_json(run.path / "classes.json", list(self.index.classes))
        write_splits(run.path / "splits.csv", self.index, split)
        write_json(
            run.provenance,
            {
                **provenance(compute),
                "identity": sorted(identities),
                "asked": identity_keys(asked),
                "settings": flatten(settings),
                "origins": {
                    k: o if flatten(asked)[k] == v else f"{o}, resolved"
                    for k, v in flatten(settings).items()
                    for o in [self.origins.get(k, "default")]
                },
                "fingerprint": self.index.fingerprint,
                "data_root": str(Path(self.index.root).absolute())
                if self.index.natural or Path(self.index.root).exists()
                else self.index.root,
            },
        )
        run.set_status("running", epochs=settings.train.epochs)

    def _fit(self, run: RunDir, state: TrainState, settings: Settings, stop: Stop) -> None:
        """Train, with everyone listening."""
        train = settings.train
        checkpoints = Checkpoints(run.checkpoints, every=train.checkpoint_freq, keep=train.keep)
        if self.choice.run is not None and checkpoints.exist():
            restored = checkpoints.restore(state)
            _extend(state)
            console.say(_where(state, restored))
        checkpoints.check_room(state)
        with ExitStack() as stack:
            listeners: list[Callable[[Event], None]] = []
            if self.world.is_first:
                listeners = [
                    stack.enter_context(history(run.path)),
                    stack.enter_context(progress()),
                ]
            events = fit(
                state, checkpoints, checkpoint_seconds=60 * train.checkpoint_minutes, stopped=stop
            )
            for event in events:
                for listener in listeners:
                    listener(event)
        assert isinstance(event, RunEnded)
        if event.reason == "signal":
            self._interrupted(run, state, stop)
        if event.reason == "patience":
            console.say(
                f"stopped after epoch {event.epoch}: no better {state.monitor} "
                f"for {state.patience} epochs"
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


def assemble(
    resolved: Resolved,
    split: Split,
    *,
    recipe: Recipe,
    compute: ComputePlan,
    loader: Loader,
    world: World,
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
    model = _begin(settings, recipe, compute)
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


def _begin(settings: Settings, recipe: Recipe, compute: ComputePlan) -> torch.nn.Module:
    """The network with the weights that training starts from."""
    torch.manual_seed(settings.train.seed)
    if settings.model.pretrained is True:
        model = build_pretrained(recipe, offline=settings.hardware.offline)
        console.say(f"starting from timm's weights of {recipe.architecture}")
    else:
        model = build(recipe)
    where = settings.model.weights
    if where is not None:
        taken = take_over(model, read_weights(where, settings.run.output), where)
        console.say(f"starting from {where}: {taken}")
    return as_layout(model, device=compute.torch_device, channels_last=compute.channels_last)


def _check_split(split: Split, index: Index) -> None:
    if len(split.train) < 2:  # noqa: PLR2004  # batch normalisation needs two
        raise DataError(
            f"{index.root}: {len(split.train)} training pictures, at least 2 are needed",
            "add pictures, or give train a larger share with --split-ratio",
        )


def _announce(run: RunDir, state: TrainState, recipe: Recipe, split: Split) -> None:
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


def _extend(state: TrainState) -> None:
    """A run that was over goes on if it was given more epochs."""
    progress = state.progress
    if progress.reason == "finished" and progress.epoch <= state.plan.epochs:
        progress.reason = None


def _where(state: TrainState, path: Path) -> str:
    progress = state.progress
    if progress.reason is not None:
        return f"training is finished ({path.name}); scoring is left"
    best = f", best so far: epoch {progress.best_epoch}" if progress.best_epoch else ""
    return f"restored {path.name}: epoch {progress.epoch}, step {progress.step}{best}"
