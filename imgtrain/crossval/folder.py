"""The folder of a cross-validation: made once, whoever comes first, and shared by all its folds."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

from imgtrain import console
from imgtrain.continuing import Choice, going_on, identity_keys, read_saved
from imgtrain.data.index import Index
from imgtrain.errors import DataError, RunError, disk_error
from imgtrain.files import first_free, write_json, write_text
from imgtrain.provenance import Origins, command_record, settings_record, shareable
from imgtrain.rundir import RunDir, find_run, identity_of, new_place, unfinished_run
from imgtrain.settings.layers import flatten, to_yaml
from imgtrain.settings.schema import Settings

KIND = "cv"
_SHAPE = ("cv.folds", "cv.repeats", "cv.folds_file")
"""Settings of the folds themselves: another value is another cross-validation."""


def cv_identity(settings: Settings) -> dict[str, object]:
    """What makes a cross-validation this one: the training, and how the folds are cut.

    Raises:
        DataError: If the file of folds cannot be read.
    """
    cv = settings.cv
    cut: dict[str, object] = {"cv.folds": cv.folds, "cv.repeats": cv.repeats}
    if cv.folds_file is not None:
        try:
            cut = {"cv.folds_file": hashlib.sha256(cv.folds_file.read_bytes()).hexdigest()}
        except OSError as error:
            raise DataError(f"cannot read {cv.folds_file}: {error.strerror or error}") from error
    keys, hardware = identity_keys(settings), settings.hardware
    keys.pop("hardware.gpus")  # how many counts, not which
    number = len(hardware.gpus or ()) or hardware.processes
    return keys | cut | {"cv.aside": cv.ensemble == "greedy", "hardware.processes": number}


def is_cv(run: RunDir) -> bool:
    """Whether the folder is a cross-validation's."""
    return run.status().get("kind") == KIND


def find_cv(which: str | None, output: Path) -> RunDir:
    """The cross-validation of that name or path, or the newest.

    Raises:
        RunError: If there is none.
    """
    if which in (None, "latest"):
        run = find_run(None, output, having="folds.csv")
    else:
        run = find_run(which, output)
    if not is_cv(run):
        raise RunError(f"{run.path} is no cross-validation", "imgtrain cv makes one")
    return run


def set_state(run: RunDir, state: str, **more: object) -> None:
    """Write ``status.json``: ``running``, ``finished``, ``interrupted`` or ``failed``."""
    run.set_status(state, kind=KIND, **more)


def unfinished_cv(settings: Settings, index: Index, name: str) -> RunDir | None:
    """The cross-validation that an equal command began and did not end, unless ``--fresh``."""
    if settings.run.fresh:
        return None
    identity = identity_of(cv_identity(settings), index.fingerprint, name)
    return unfinished_run(settings.run.output, name, identity)


def make_cv(
    settings: Settings, index: Index, name: str, fill: Callable[[RunDir], None]
) -> tuple[RunDir, bool]:
    """A new folder with all that ``fill`` writes into it, or the one that another made meanwhile.

    The folder is made under a name of its own and then renamed, which of several processes, on one
    machine or on many, one alone can do.

    Returns:
        The folder, and whether it was made here.

    Raises:
        DiskError: If it cannot be made.
    """
    output = settings.run.output
    draft = RunDir(output / f".{name}.{uuid.uuid4().hex}.tmp")
    try:
        draft.path.mkdir(parents=True)
        fill(draft)
        set_state(draft, "running")
        while True:
            path = output / first_free(lambda n: os.path.lexists(output / n), name)
            # another's folder is looked for after a free name: if it comes later, it has that name
            other = unfinished_cv(settings, index, name)
            if other is not None:
                return other, False
            try:
                draft.path.rename(path)
            except OSError as error:
                if error.errno not in {errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR}:
                    raise
                continue
            return RunDir(path), True
    except OSError as error:
        raise disk_error(error, output / name) from error
    finally:
        shutil.rmtree(draft.path, ignore_errors=True)


def record_cv(
    draft: RunDir,
    *,
    asked: Settings,
    settings: Settings,
    origins: Origins,
    name: str,
    index: Index,
) -> None:
    """Write what a cross-validation is: settings, classes, provenance."""
    alone = settings.cv.model_copy(update={"fold": None, "parallel": 1})  # each command's own
    saved = shareable(settings).model_copy(update={"cv": alone})
    if settings.cv.parallel > 1:
        one = settings.hardware.model_copy(update={"gpus": None})
        saved = saved.model_copy(update={"hardware": one})
    write_text(draft.config, to_yaml(saved))
    write_json(draft.path / "classes.json", list(index.classes))
    found = {
        **command_record(),
        **settings_record(asked, settings, origins, index),
        "kind": KIND,
        "identity": [identity_of(cv_identity(asked), index.fingerprint, name)],
    }
    write_json(draft.provenance, found)


def refuse_other_folds(run: RunDir, set_by_user: Mapping[str, object]) -> None:
    """``--resume`` and ``--collect`` keep the folds and their length as they are.

    Raises:
        RunError: With what was asked for and is otherwise in the run.
    """
    saved = flatten(read_saved(run))
    told = [
        f"{key} (run: {saved[key]}, now: {set_by_user[key]})"
        for key in (*_SHAPE, "train.epochs")
        if key in set_by_user and set_by_user[key] != saved[key]
    ]
    if told:
        raise RunError(
            f"{run.path} cannot go on with other folds or epochs: {'; '.join(told)}",
            "leave them out, or start a new cross-validation without --resume",
        )


def fold_name(fold: int) -> str:
    """The folder of a fold."""
    return f"fold_{fold}"


def fold_run(cv: RunDir, fold: int) -> RunDir:
    """The run of a fold; it need not be there yet."""
    return RunDir(cv.path / fold_name(fold))


def fold_choice(cv: RunDir, fold: int, settings: Settings) -> Choice:
    """The fold's run, made if it is not there: to begin, or to go on with its own settings.

    Raises:
        DiskError: If it cannot be made.
    """
    run = fold_run(cv, fold)
    if not run.path.exists():
        new_place(run)
    if not run.config.exists():
        return Choice(run, settings)
    console.say(f"going on with {run.path}, which is unfinished")
    return Choice(run, with_own_devices(run, settings))


def with_own_devices(run: RunDir, asked: Settings) -> Settings:
    """The settings in the folder, as decided, on the devices and in the way of this command."""
    found = going_on(run, asked).settings
    own = {"gpus": asked.hardware.gpus, "processes": asked.hardware.processes}
    return found.model_copy(update={"hardware": found.hardware.model_copy(update=own)})
