"""``--model sklearn:NAME``: the same run as a network's, but for what learns."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from imgtrain import console
from imgtrain.assembly import ready_device
from imgtrain.classical.artefact import Artefact, ClassicalNet, require_skops, save
from imgtrain.classical.estimators import (
    Plan,
    Trial,
    fitted,
    is_better,
    judged,
    log_probabilities,
    variants,
)
from imgtrain.classical_features import (
    PIXELS,
    Sight,
    Table,
    decide_sight,
    make_network,
    recipe_for,
    table_of,
)
from imgtrain.continuing import Choice
from imgtrain.data.index import Index
from imgtrain.data.split import HELD, Split
from imgtrain.engine.device import ComputePlan
from imgtrain.engine.model import check_name
from imgtrain.engine.recipe import Recipe
from imgtrain.engine.schedule import Batches
from imgtrain.engine.state import SCORING_BATCH
from imgtrain.engine.world import World
from imgtrain.errors import DataError, InterruptedRun
from imgtrain.fast_dev import tiny
from imgtrain.files import write_csv, write_json
from imgtrain.loading.loader import Loader
from imgtrain.opening import open_run, working
from imgtrain.preparing import Clock, Ground, open_pictures
from imgtrain.provenance import Origins, record
from imgtrain.report.page import write_page
from imgtrain.report.results import write_results
from imgtrain.resolve import (
    class_weights,
    make_preprocess,
)
from imgtrain.rundir import RunDir
from imgtrain.scoring import picture_reader, tell, with_conformity, write_bad
from imgtrain.settings.catalog import all_settings, option_name
from imgtrain.settings.classical import estimator_of, refuse_meaningless
from imgtrain.settings.layers import flatten
from imgtrain.settings.schema import Settings
from imgtrain.stopping import Stop, listening
from imgtrain.tracking.session import tracked


def check_asked(settings: Settings, origins: Origins) -> None:
    """Refuse what means nothing to a classical model, and a machine that lacks its packages.

    Raises:
        SettingsError: If the user set something that would be ignored.
        OutsideError: If skops is not installed.
    """
    if estimator_of(settings.model.name) is None:
        return
    quiet = ("default", settings.data.root)
    named = {k: _named(k, origin) for k, origin in origins.items() if origin not in quiet}
    refuse_meaningless(settings.model.name, flatten(settings), flatten(Settings()), named)
    if settings.model.features not in ("auto", PIXELS):
        check_name(settings.model.features, flag="--features")
    require_skops()


def _named(key: str, origin: str) -> str:
    """As whoever set it knows it: its flag, or its key."""
    is_flag = origin.startswith("flag ") and origin != "flag --set"
    return option_name(all_settings()[key]) if is_flag else key


@dataclass(frozen=True, slots=True, kw_only=True)
class _Begun:
    """A classical training that can begin: no setting is open, the parts are final."""

    sight: Sight
    settings: Settings
    index: Index
    split: Split
    recipe: Recipe
    compute: ComputePlan
    loader: Loader


def train_classical(
    choice: Choice,
    ground: Ground,
    *,
    asked: Settings,
    name: str,
    world: World,
    stack: ExitStack,
    origins: Origins,
    clock: Clock,
) -> tuple[Path, dict[str, Any]]:
    """Fit every variant, keep the best on the validation part, score it once, write the report.

    A run that was stopped starts over: what it computed of features is found again, and the result
    is the same.

    Returns:
        The run's folder and the content of its ``metrics.json``.
    """
    settings, index, split = choice.settings, ground.index, ground.split
    if settings.train.fast_dev:
        settings, split = tiny(settings, index, split)
        ground = replace(ground, split=split)
    sight = decide_sight(settings, index, split)
    settings = sight.settings
    preprocess = make_preprocess(settings, natural=sight.natural)
    compute = replace(ready_device(settings.hardware, image_size=preprocess.size), precision="fp32")
    opened = open_pictures(
        settings,
        ground,
        natural=sight.natural,
        compute=compute,
        world=world,
        stack=stack,
        clock=clock,
    )
    settings, split, loader = opened.settings, opened.split, opened.loader
    begun = _Begun(
        sight=sight,
        settings=settings,
        index=index,
        split=split,
        recipe=recipe_for(sight, index.classes, loader.pictures.preprocess),
        compute=compute,
        loader=loader,
    )
    run = open_run(stack, choice, name, world)
    record(
        run,
        asked=asked,
        settings=settings,
        origins=origins,
        name=name,
        index=index,
        split=split,
        compute=compute,
        batches=Batches(micro=SCORING_BATCH, accumulation=1, world_size=1),
    )
    if opened.leaks is not None:
        opened.leaks.write(run.path / "leaks.csv", index)
    told = tracked(run, settings, is_first=world.is_first, read=picture_reader(index))
    with told, working(run, world, epochs=settings.train.epochs):
        return run.path, _work(begun, run, clock)


def _work(begun: _Begun, run: RunDir, clock: Clock) -> dict[str, Any]:
    """Features, fits, scores, report."""
    network, own = None, None
    if begun.sight.features != PIXELS:
        network, own = make_network(begun.sight, begun.recipe, begun.compute)
    seen = begun.recipe if own is None else replace(own, preprocess=begun.recipe.preprocess)
    with listening() as stop, ExitStack() as stack:
        table = table_of(
            begun.sight,
            network,
            seen,
            compute=begun.compute,
            loader=begun.loader,
            split=begun.split,
            stack=stack,
            stopped=stop,
        )
        _leave_if(stop, run)
        assert table is not None
        _announce(begun, run, table)
        clock.lap("features")
        estimator, trials, best = _selected(begun, table, stop, run)
        clock.lap("train")
        metrics, recipe = _scored(begun, table, estimator, run)
        metrics = {"format": 1, "best_epoch": None, "chosen": dict(best.parameters), **metrics}
        model = ClassicalNet(network, estimator, len(begun.recipe.classes))
        save(run.weights, Artefact(recipe=recipe, network=own, model=model))
        _write_selection(run, trials, best)
        bad = dict(begun.loader.pictures.bad)
        quarantine = begun.settings.data.on_bad_image == "quarantine"
        write_bad(run, begun.index, begun.split, bad, quarantine=quarantine)
        write_json(run.path / "metrics.json", metrics)
        clock.lap("score")
    write_json(run.path / "timing.json", clock.phases)
    write_page(run.path, read=picture_reader(begun.index), state="finished")
    run.set_status("finished", epochs=begun.settings.train.epochs)
    tell(run, metrics)
    return metrics


def _leave_if(stop: Stop, run: RunDir) -> None:
    if stop():
        run.set_status("interrupted")
        raise InterruptedRun(
            stop.number or 2,
            f"stopped; features that were computed are kept, {run.path} is not finished",
            "the same command starts it over, to the same result",
        )


def _announce(begun: _Begun, run: RunDir, table: Table) -> None:
    split, p, name = begun.split, begun.recipe.preprocess, begun.sight.features
    what = "raw pixels" if name == PIXELS else f"features of {name}"
    console.say(f"run      {run.path}")
    console.say(f"data     {len(begun.recipe.classes)} classes; {split}")
    console.say(
        f"model    {begun.settings.model.name} on {table.rows.shape[1]:,} {what}, "
        f"{p.size} x {p.size} x {p.channels}"
    )


def _selected(
    begun: _Begun, table: Table, stop: Stop, run: RunDir
) -> tuple[Any, list[Trial], Trial]:
    """Every variant fitted on train and judged on val; without val the usual one alone."""
    settings, classes = begun.settings, len(begun.recipe.classes)
    labels = begun.index.labels
    train, features = table.part(begun.split.train)
    if len(np.unique(labels[train])) < 2:  # noqa: PLR2004  # nothing to tell apart
        raise DataError("the training pictures that can be read are of fewer than two classes")
    val, shown = table.part(begun.split.val)
    weights = class_weights(settings, begun.recipe.classes, labels[train])
    kind = estimator_of(settings.model.name)
    assert kind is not None
    plan = Plan(
        kind=kind,
        standardise=begun.sight.features != PIXELS,
        class_weight=None if weights is None else dict(enumerate(weights.tolist())),
        seed=settings.train.seed,
        threads=begun.compute.threads,
    )
    monitor = settings.train.monitor
    trials: list[Trial] = []
    best: Trial | None = None
    chosen: Any = None
    for parameters in variants(kind):
        estimator = fitted(plan, parameters, features, labels[train])
        trial = judged(parameters, _probabilities(estimator, shown, classes), labels[val])
        trials.append(trial)
        if is_better(trial, best, monitor):
            best, chosen = trial, estimator
        console.say(
            f"tried    {trial}" if len(val) else f"fitted   {trial} (no val part to choose by)"
        )
        _leave_if(stop, run)
        if not len(val):
            break
    assert best is not None
    if len(val):
        console.say(f"chosen   {best}, by {monitor}")
    return chosen, trials, best


def _probabilities(
    estimator: Any, features: NDArray[np.float32], classes: int
) -> NDArray[np.float64]:
    """As ``predict`` comes to them, (N, C)."""
    logits = torch.from_numpy(log_probabilities(estimator, features, classes))
    return logits.softmax(dim=1).numpy().astype(np.float64)


def _scored(
    begun: _Begun, table: Table, estimator: Any, run: RunDir
) -> tuple[dict[str, Any], Recipe]:
    """Every part's scores, and the recipe with what the calibration part said."""
    metrics, recipe = {}, begun.recipe
    for part in HELD[1:]:
        found, features = table.part(begun.split.part(part))
        if not len(found):
            continue
        probs, labels = _probabilities(estimator, features, len(recipe.classes)), begun.index.labels
        if part == "calibration":
            recipe = with_conformity(recipe, probs, labels[found])
        metrics[part] = write_results(
            run.path,
            part,
            paths=[begun.index.source.path(i) for i in found.tolist()],
            labels=labels[found],
            probs=probs,
            classes=begun.index.classes,
            draws=part != "calibration",
        )
    return metrics, recipe


def _write_selection(run: RunDir, trials: list[Trial], best: Trial) -> None:
    """``selection.csv``: a row a variant that was tried."""
    names = list(best.parameters)
    rows = [
        [*t.parameters.values(), t.val_top1, t.val_macro_f1, t.val_loss, int(t is best)]
        for t in trials
    ]
    header = [*names, "val_top1", "val_macro_f1", "val_loss", "is_best"]
    write_csv(run.path / "selection.csv", header, rows)
