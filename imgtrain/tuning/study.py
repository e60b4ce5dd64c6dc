"""A study: a folder for its trials, and a database that knows them; the same command finds both."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgtrain import console
from imgtrain.continuing import identity_keys
from imgtrain.errors import RunError
from imgtrain.files import first_free, write_json, write_text
from imgtrain.provenance import command_record, shareable
from imgtrain.rundir import RunDir, identity_of, new_run, runs_of
from imgtrain.settings.layers import flatten, to_yaml
from imgtrain.settings.schema import Settings
from imgtrain.settings.spaces import Space, plain_space
from imgtrain.tuning.goals import Goal
from imgtrain.tuning.methods import make_pruner, make_sampler
from imgtrain.tuning.storage import (
    Place,
    alone,
    connected,
    file_place,
    flocked,
    place_of,
    reached,
)

if TYPE_CHECKING:
    import optuna
    from optuna.storages import RDBStorage

_OWN = "study"
"""What a study is called in a file of its own."""

_ELSEWHERE = ("train.epochs", "hardware.gpus", "hardware.processes", "plugins")
"""Part of a run's identity, not of a study's: a trial has other values."""

_OF_TUNE = ("tune.objective", "tune.epochs", "tune.method", "tune.pruner", "tune.seed")
_OF_CV = ("cv.folds", "cv.repeats", "cv.folds_file")


@dataclass(frozen=True, slots=True)
class Study:
    """What one process holds of a study.

    Args:
        folder: Where its trials and results lie.
        place: The database.
        storage: The connection to it.
        trials: Optuna's study.
        space: What is varied.
        goals: What trials are judged by.
        settings: Those that all trials share.
    """

    folder: RunDir
    place: Place
    storage: RDBStorage
    trials: optuna.Study
    space: Space
    goals: tuple[Goal, ...]
    settings: Settings

    def close(self) -> None:
        """Give the connections back."""
        self.storage.engine.dispose()


def study_keys(settings: Settings, space: Space) -> dict[str, object]:
    """The settings that make a study this study."""
    flat = flatten(settings)
    wanted = _OF_TUNE + (_OF_CV if settings.tune.objective == "cv" else ())
    keys = {k: v for k, v in identity_keys(settings).items() if k not in _ELSEWHERE}
    return keys | {key: flat[key] for key in wanted} | {"tune.space": plain_space(space)}


def open_study(
    settings: Settings,
    space: Space,
    goals: tuple[Goal, ...],
    *,
    fingerprint: str,
    name: str,
    origins: Mapping[str, str],
) -> Study:
    """The study that an equal command began, or a new one.

    Args:
        settings: As the user gave them.
        space: What is varied.
        goals: What trials are judged by.
        fingerprint: Of the pictures.
        name: Of the study, without a number.
        origins: Who set what.

    Raises:
        OutsideError: If the database cannot be used.
        RunError: If the name is taken there by a study of other settings.
    """
    keys = study_keys(settings, space)
    identity = identity_of(keys, fingerprint, name)
    place, storage, called = None, None, _OWN
    if settings.tune.storage is not None:
        place = place_of(settings.tune.storage)
        storage = connected(place)
        known = {"identity": identity, "asked": keys | {"data": fingerprint}}
        with reached(place), alone(storage, place, name):  # the same on every machine, at once
            called = _name_there(storage, place, name, keys | {"data": fingerprint}, settings)
            _joined(storage, called, goals, settings, known)
    local = identity_of({**keys, "at": place and place.shown, "called": called}, fingerprint, name)
    output = settings.run.output
    with flocked(output / f".{name}.lock"):
        found = None if settings.run.fresh else next(runs_of(output, name, local), None)
        if found is not None:
            console.say(f"going on with {found.path} (--fresh starts anew)")
        folder = found or _begun(settings, keys, [local], name, origins)
        if place is None or storage is None:
            place = file_place(folder.path / "study.db")
            storage = connected(place)
        with reached(place):
            known = {"identity": identity, "asked": keys | {"data": fingerprint}}
            trials = _joined(storage, called, goals, settings, known)
    return Study(folder, place, storage, trials, space, goals, settings)


def _begun(
    settings: Settings,
    keys: Mapping[str, object],
    identity: list[str],
    name: str,
    origins: Mapping[str, str],
) -> RunDir:
    """A new folder with what the study is."""
    folder = new_run(settings.run.output, name)
    with contextlib.suppress(OSError):
        folder.checkpoints.rmdir()
    folder.set_status("running", kind="tune")
    write_text(folder.config, to_yaml(shareable(settings)))
    write_json(
        folder.provenance,
        {
            **command_record(),
            "kind": "tune",
            "identity": identity,
            "asked": keys,
            "origins": dict(origins),
        },
    )
    return folder


def _name_there(
    storage: RDBStorage, place: Place, name: str, asked: Mapping[str, Any], settings: Settings
) -> str:
    """The name of this study in a database that holds others."""
    known = {each.study_name: each.user_attrs for each in storage.get_all_studies()}
    free = first_free(known.__contains__, name)
    if settings.run.fresh:
        return free
    mine = [n for n in known if n == name or n.startswith(f"{name}-")]
    for each in reversed(mine):
        if known[each].get("asked") == dict(asked):
            return each
    if name in known and "asked" not in known[name] and not _has_trials(storage, name):
        return name  # who began it died at once
    if name in known:
        raise RunError(
            f"study {name!r} in {place.shown} was begun with other settings: "
            f"{_differences(known[name].get('asked', {}), asked)}",
            "give yours another --name, or --fresh to begin a second one",
        )
    return name


def _has_trials(storage: RDBStorage, called: str) -> bool:
    return storage.get_n_trials(storage.get_study_id_from_name(called)) > 0


def _differences(there: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    keys = [key for key in now if there.get(key) != now[key]]
    told = [
        "other pictures" if key == "data" else f"{key} (there: {there.get(key)}, now: {now[key]})"
        for key in keys
    ]
    return "; ".join(told[:4]) or "unknown ones"


def _joined(
    storage: RDBStorage,
    called: str,
    goals: Sequence[Goal],
    settings: Settings,
    known: Mapping[str, Any],
) -> optuna.Study:
    """Optuna's study of that name."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(
            storage=storage,
            study_name=called,
            directions=[goal.direction for goal in goals],
            sampler=make_sampler("random", seed=settings.tune.seed, number=0),
            pruner=make_pruner(settings),
            load_if_exists=True,
        )
        study.set_metric_names([goal.name for goal in goals])
    if "asked" not in study.user_attrs:
        for key, value in known.items():
            study.set_user_attr(key, value)
    return study


def rejoined(
    folder: Path,
    called: str,
    settings: Settings,
    space: Space,
    goals: tuple[Goal, ...],
) -> Study:
    """The study that another process opened, in one of its workers."""
    storage_text = settings.tune.storage
    place = file_place(folder / "study.db") if storage_text is None else place_of(storage_text)
    storage = connected(place)
    with reached(place):
        trials = _joined(storage, called, goals, settings, {})
    return Study(RunDir(folder), place, storage, trials, space, goals, settings)
