"""The search for good settings: trials by one worker or several, and what they come to."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imgtrain import console
from imgtrain.continuing import identity_keys
from imgtrain.data.index import Index, read_index
from imgtrain.data.split import Split
from imgtrain.engine.device import TINY, choose_device, choose_precision
from imgtrain.errors import RunError, SettingsError
from imgtrain.files import read_json, write_json
from imgtrain.known_sets import settle_root
from imgtrain.opening import name_of
from imgtrain.provenance import Origins
from imgtrain.report.study_page import write_study_page
from imgtrain.rundir import identity_of, runs_of
from imgtrain.settings.catalog import all_settings, option_name
from imgtrain.settings.cv_checks import check_calibration
from imgtrain.settings.layers import flatten, from_flat
from imgtrain.settings.schema import Settings
from imgtrain.settings.spaces import Choices, Space, named, plain_space, read_space
from imgtrain.tracking.checks import check_trackers
from imgtrain.tracking.session import tracked
from imgtrain.training import look_ahead, train
from imgtrain.tuning.best import CONFIG
from imgtrain.tuning.board import Board, board, summary
from imgtrain.tuning.defaults import default_space
from imgtrain.tuning.goals import goals_of
from imgtrain.tuning.ground import monitor_of, parts_without_test, shared_folds, shared_ground
from imgtrain.tuning.methods import check_method, pruner_of
from imgtrain.tuning.queue import all_trials, own
from imgtrain.tuning.results import (
    Tally,
    as_json,
    best_of,
    failures,
    pareto,
    settings_of,
    write_found,
    write_trials,
)
from imgtrain.tuning.space import check_space, combinations, params_of, size_of
from imgtrain.tuning.storage import alone, connected, place_of, reached
from imgtrain.tuning.study import Study, open_study, rejoined
from imgtrain.tuning.warm import find_earlier, warm_up
from imgtrain.tuning.workers import Team, answer, shares
from imgtrain.tuning.working import Shift

RETRAINED = "retrained"
"""Name of the run that trains the best settings at full length, inside the study's folder."""

_CHILD = "imgtrain.tuning.searching:work_as_child"


@dataclass(frozen=True, slots=True)
class Result:
    """What a study came to: its folder, and the object that ``--json`` prints."""

    run: Path
    found: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Pictures:
    """What trials train on and are judged by."""

    index: Index
    split: Split


def tune(
    settings: Settings, *, origins: Origins, earlier: Sequence[str] = (), retrain: bool = False
) -> Result:
    """Search, and write what was found into the study's folder; the same command goes on.

    Args:
        settings: What trials share; ``tune`` says what is varied and how.
        origins: Who set each dotted key.
        earlier: Runs and studies to begin from.
        retrain: Train the best settings at full length, and score the test part once.

    Raises:
        ImgtrainError: One of its kinds, with a message for the user.
    """
    begun = time.time()
    look_ahead(settings)
    space = settled_space(settings, origins)
    _check(settings, space, origins)
    sources = find_earlier(earlier, settings.run.output)
    if settings.tune.storage is not None:  # or refuse, before data is read
        connected(place_of(settings.tune.storage)).engine.dispose()
    console.say(f"reading {settings.data.root}")
    index = read_index(settle_root(settings), group_by=settings.data.group_by)
    split = parts_without_test(index, settings)
    goals = goals_of(settings, monitor_of(settings, index, split))
    name = settings.run.name or f"{name_of(settings, index)}-tune"
    study = open_study(
        settings, space, goals, fingerprint=index.fingerprint, name=name, origins=origins
    )
    pictures = _Pictures(index, split)
    try:
        with reached(study.place), alone(study.storage, study.place, study.trials.study_name):
            _queue_grid(study)
            warm_up(study, sources)
        _search(study, pictures, origins, begun)
        config = study.folder.path / CONFIG
        if config.exists() and not retrain:
            say = shlex.quote(str(config))
            console.say(f"a full training with the best: imgtrain train -c {say}")
        found = as_json(study)
        found["retrained"] = _retrained(study, index, origins) if retrain else None
    finally:
        study.close()
    return Result(study.folder.path, found)


def _search(study: Study, pictures: _Pictures, origins: Origins, begun: float) -> None:
    """Run the trials, and write what there is, however that ends."""
    tune = study.settings.tune
    _announce(study, pictures.split)
    study.folder.set_status("running", kind="tune", trials=tune.trials)
    console.attach_log(study.folder.log)
    until = None if tune.timeout is None else begun + tune.timeout
    try:
        with tracked(study.folder, study.settings):
            try:
                with board(study) as shown:
                    _work(study, pictures, origins, until, shown)
                over = Tally.of(all_trials(study.trials)).over
                if until is not None and time.time() >= until and over < tune.trials:
                    console.say("--timeout: no more trials begin")
            finally:
                with reached(study.place):
                    _close(study)
    finally:
        console.attach_log(None)


def settled_space(settings: Settings, origins: Origins) -> Space:
    """The space of ``tune.space``, or the default one for what the user left open.

    Raises:
        SettingsError: If it does not fit the settings.
    """
    space = settings.tune.space
    if space is None:
        usual = ("default", settings.data.root)
        return default_space(settings, {key for key, who in origins.items() if who not in usual})
    check_space(space, settings)
    return space


def _check(settings: Settings, space: Space, origins: Origins) -> None:
    """Refuse what a search cannot do, before any work."""
    tune, hardware = settings.tune, settings.hardware
    devices = len(hardware.gpus or ())
    if settings.run.resume is not None:
        raise SettingsError(
            "--resume goes on with a run; a study goes on by itself", "type the same command again"
        )
    for key in ("cv.folds", "cv.repeats", "cv.folds_file"):
        if tune.objective != "cv" and origins.get(key, "default").startswith("flag"):
            flag = option_name(all_settings()[key])
            raise SettingsError(
                f"{flag} has an effect only with --objective cv", "add that, or leave it out"
            )
    if tune.objective == "cv":
        check_calibration(settings)
    if settings.train.budget is not None:
        raise SettingsError(
            "--budget fits one training to a time; trials have --tune-epochs",
            "leave it out; --timeout ends the search",
        )
    if hardware.processes > 1:
        raise SettingsError(
            f"--processes {hardware.processes} share one training; a trial is one process",
            f"take --jobs {hardware.processes}: so many trials at once",
        )
    if devices > tune.jobs:
        raise SettingsError(
            f"--gpus names {devices} devices, --jobs {tune.jobs} uses {tune.jobs}",
            f"add --jobs {devices}: a trial on each",
        )
    points = (size_of(space) or 0) if tune.method == "grid" else 0
    if tune.method == "grid":
        next(iter(combinations(space)))  # or refuse what has no end
    kinds = {"categorical" if isinstance(each, Choices) else "float" for each in space.values()}
    told = origins.get("tune.pruner", "default") != "default"
    check_method(tune, asks_pruner=told, kinds=kinds, points=points)
    from_flat({**flatten(settings), "train.epochs": tune.epochs, "tune.storage": None})
    for number in range(devices or 1):
        device = choose_device(hardware, local_rank=number, local_size=devices or 1)
        choose_precision(hardware, device, image_size=TINY)


def _queue_grid(study: Study) -> None:
    """Every point of the grid, once; a process that died may have queued some of them."""
    if study.settings.tune.method != "grid":
        return
    every = own(all_trials(study.trials))
    there = {named(trial.system_attrs.get("fixed_params")) for trial in every}
    for values in combinations(study.space):
        params = params_of(study.space, values)
        assert params is not None
        if named(params) not in there:
            study.trials.enqueue_trial(params)


def _announce(study: Study, split: Split) -> None:
    tune, tally = study.settings.tune, Tally.of(all_trials(study.trials))
    size = size_of(study.space)
    console.say(f"study    {study.folder.path}")
    if study.place.is_shared:
        console.say(f"storage  {study.place.shown}, study {study.trials.study_name!r}")
    parts = f"{len(split.train)} train, {len(split.val)} val"
    if tune.objective == "cv":
        parts = f"{len(split.train) + len(split.val)} pictures in {study.settings.cv.folds} folds"
    console.say(f"data     {parts}; test is not read")
    many = f", {size} combinations" if size is not None else ""
    console.say(f"space    {', '.join(study.space)}{many}")
    pruner = pruner_of(tune)
    ended = "no trial is ended early" if pruner == "none" else f"{pruner} pruning"
    console.say(
        f"trials   {tune.trials} of {tune.epochs} epochs by {tune.method}, {ended}; judged by "
        f"{' and '.join(goal.name for goal in study.goals)}"
    )
    if tally.over:
        console.say(f"so far   {tally}")


def _work(
    study: Study, pictures: _Pictures, origins: Origins, until: float | None, shown: Board
) -> None:
    """Run the trials, here or in workers."""
    settings = study.settings
    own_shares = shares(settings.hardware, settings.data.workers, settings.tune.jobs)
    if settings.tune.jobs == 1:
        folder = study.folder.path
        with shared_ground(settings, pictures.index, pictures.split, folder) as ground:
            folds = shared_folds(settings, ground)
            Shift(study, ground, origins, own_shares[0], until, shown, folds).work()
        return
    asks = [
        {
            "settings": flatten(settings),
            "space": plain_space(study.space),
            "folder": str(study.folder.path.absolute()),
            "called": study.trials.study_name,
            "origins": dict(origins),
            "hardware": share,
            "until": until,
            "verbosity": console.verbosity(),
        }
        for share in own_shares
    ]
    Team(asks, _CHILD, lambda: shown(at_once=False)).work()


def work_as_child(ask: Mapping[str, Any]) -> dict[str, str] | None:
    """One of several workers; what it is told is what ``_work`` asks."""

    def work() -> None:
        console.set_verbosity(ask["verbosity"])
        settings = from_flat(ask["settings"])
        found: Any = read_space(ask["space"])
        space: Space = found
        with console.hushed():
            index = read_index(settle_root(settings), group_by=settings.data.group_by)
            split = parts_without_test(index, settings)
        check_trackers(settings)
        goals = goals_of(settings, monitor_of(settings, index, split))
        study = rejoined(Path(ask["folder"]), ask["called"], settings, space, goals)
        folder = study.folder.path
        with closing(study), shared_ground(settings, index, split, folder) as ground:
            folds = shared_folds(settings, ground)
            shift = Shift(study, ground, ask["origins"], ask["hardware"], ask["until"], folds=folds)
            shift.work()

    return answer(work)


def _close(study: Study) -> None:
    """Write what there is, and say it."""
    write_trials(study)
    every = all_trials(study.trials)
    tally, best = Tally.of(every), best_of(every, study.goals)
    tune = study.settings.tune
    is_over = tally.over >= (len(own(every)) if tune.method == "grid" else tune.trials)
    study.folder.set_status(
        "finished" if is_over else "interrupted",
        kind="tune",
        trials=tune.trials,
        over=tally.over,
    )
    if best is not None:
        write_found(study, best)
    write_json(study.folder.path / "study.json", as_json(study))
    page = write_study_page(study.folder.path, study.trials)
    for line in summary(study):
        console.say(line)
    for line in failures(every):
        console.warn(f"failed: {line}")
    front = pareto(study)
    if front:
        best_by = study.goals[0].name
        numbers = ", ".join(str(trial.number) for trial in front)
        console.say(f"no trial beats these in both goals: {numbers}; best is by {best_by}")
    console.say(f"report: {page}")


def _retrained(study: Study, index: Index, origins: Origins) -> dict[str, Any]:
    """The best settings trained at full length, scored once on the test part.

    Raises:
        RunError: If no trial came to its end.
    """
    best = best_of(all_trials(study.trials), study.goals)
    if best is None:
        raise RunError(
            f"no trial of {study.folder.path} came to its end: there is nothing to retrain",
            "add --trials, or take --pruner none",
        )
    flat = flatten(settings_of(study, best, RETRAINED))
    own = {"run.output": str(study.folder.path), "track.uri": study.settings.track.uri}
    settings = from_flat({**flat, **own})
    epochs = settings.train.epochs
    console.say(f"retraining the settings of trial {best.number} for {epochs} epochs")
    identity = identity_of(identity_keys(settings), index.fingerprint, RETRAINED)
    run = next(runs_of(study.folder.path, RETRAINED, identity), None)
    if run is not None and run.is_finished:
        console.say(f"{run.path} is finished; nothing to do")
        return {"run": str(run.path), "metrics": read_json(run.path / "metrics.json")}
    told = dict.fromkeys(study.space, f"trial {best.number}")
    result = train(settings, origins={**origins, **told})
    return {"run": str(result.run), "metrics": dict(result.metrics)}
