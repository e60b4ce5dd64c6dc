"""Which folder a command works in: a new one, or an earlier run's that it goes on with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import yaml

from imgtrain import console
from imgtrain.data.index import Index
from imgtrain.engine.schedule import Batches
from imgtrain.errors import RunError
from imgtrain.files import read_json
from imgtrain.rundir import RunDir, find_run, identity_of, unfinished_run
from imgtrain.settings.catalog import all_settings
from imgtrain.settings.layers import flatten, from_flat
from imgtrain.settings.schema import Settings

RESTARTED = "_IMGTRAIN_RESTARTED"
"""Set for processes that were started here in place of others that died."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A run to go on with (``run`` and its own resolved settings), or None: a new one."""

    run: RunDir | None
    settings: Settings


def identity_keys(settings: Settings) -> dict[str, object]:
    """The settings that make a run this run; the teacher with what its file holds."""
    declared = all_settings()
    flat = flatten(settings)
    keys = {k: v for k, v in flat.items() if declared[k].flag.identity != "free"}
    if settings.loss.teacher is None:
        return keys
    from imgtrain.teaching import fingerprint  # brings torch, which a launcher does without

    return keys | {"loss.teacher": f"{settings.loss.teacher} ({fingerprint(settings)})"}


def read_saved(run: RunDir) -> Settings:
    """The resolved settings in a run's ``config.yaml``.

    Raises:
        RunError: If they cannot be read.
    """
    try:
        value = yaml.safe_load(run.config.read_text(encoding="utf-8"))
        return Settings.model_validate(value)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise RunError(
            f"{run.config} cannot be read: {str(error).splitlines()[0]}", "start anew with --fresh"
        ) from error


def named_run(settings: Settings, set_by_user: Mapping[str, object]) -> Choice:
    """``--resume``: the named run, with its own settings but for what may change.

    Raises:
        RunError: If the run is not there, or a setting was asked for that it does not have.
    """
    run = find_run(settings.run.resume, settings.run.output)
    saved = flatten(read_saved(run))
    asked = _asked_before(run)
    saved_epochs = int(saved["train.epochs"])
    declared = all_settings()
    different = []
    for key, value in set_by_user.items():
        if declared[key].flag.identity == "part":
            if value not in (saved[key], asked.get(key, saved[key])):
                different.append(f"{key} (run: {saved[key]}, now: {value})")
        else:
            saved[key] = value
    if "hardware.gpus" in set_by_user:  # GPUs by number and processes by count: the newer word
        saved["hardware.processes"] = set_by_user.get("hardware.processes", 1)
    elif "hardware.processes" in set_by_user:
        saved["hardware.gpus"] = None
    if int(saved["train.epochs"]) < saved_epochs:
        raise RunError(
            f"{run.path} was begun with {saved_epochs} epochs "
            f"and cannot have {saved['train.epochs']}",
            f"ask for at least {saved_epochs}, or start a new run without --resume",
        )
    if different:
        raise RunError(
            f"{run.path} cannot go on with other settings: {'; '.join(different)}",
            "leave them out, or start a new run without --resume",
        )
    saved |= {"run.output": str(settings.run.output), "run.resume": settings.run.resume}
    return Choice(run, from_flat(saved))


def check_data(run: RunDir, index: Index) -> None:
    """Refuse to go on with other pictures: parts and classes would mean something else.

    Raises:
        RunError: If the data's fingerprint is not the run's.
    """
    if provenance_of(run).get("fingerprint") != index.fingerprint:
        raise RunError(
            f"{run.path} cannot go on: the pictures in {index.root} are not those it began with",
            "bring them back, or start a new run without --resume",
        )


def check_same_teacher(run: RunDir, settings: Settings) -> None:
    """Refuse to go on with another teacher under the same name.

    Raises:
        RunError: If its file holds something else than when the run began.
    """
    key = "loss.teacher"
    if _asked_before(run).get(key) != identity_keys(settings)[key]:
        raise RunError(
            f"{run.path} cannot go on: --teacher {settings.loss.teacher} is not the one that it "
            "began with",
            "bring it back, or start a new run without --resume",
        )


def provenance_of(run: RunDir) -> dict[str, Any]:
    """What ``provenance.json`` says; empty where there is none."""
    try:
        found = read_json(run.provenance)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def batches_before(choice: Choice) -> Batches | None:
    """How the run that goes on cut its batches when it began; None for a new one."""
    found = provenance_of(choice.run).get("batches") if choice.run is not None else None
    if not isinstance(found, dict):
        return None
    return Batches(**{f.name: int(found[f.name]) for f in fields(Batches)})


def _asked_before(run: RunDir) -> dict[str, Any]:
    found = provenance_of(run).get("asked", {})
    return found if isinstance(found, dict) else {}


def is_restarted() -> bool:
    """Whether a launcher started this process again after its group broke down."""
    return RESTARTED in os.environ or int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


def same_command(settings: Settings, fingerprint: str, name: str) -> Choice:
    """The unfinished run that an equal command began, unless ``--fresh`` is set.

    A group of processes that is started again goes on with its run all the same.
    """
    if settings.run.fresh and not is_restarted():
        return Choice(None, settings)
    identity = identity_of(identity_keys(settings), fingerprint, name)
    run = unfinished_run(settings.run.output, name, identity)
    if run is None:
        return Choice(None, settings)
    console.say(f"going on with {run.path}, which is unfinished (--fresh starts anew)")
    return going_on(run, settings)


def going_on(run: RunDir, settings: Settings) -> Choice:
    """The run with its own settings, but for what may differ freely."""
    declared = all_settings()
    flat = flatten(read_saved(run))
    now = flatten(settings)
    flat |= {k: now[k] for k in flat if declared[k].flag.identity == "free" and k in now}
    return Choice(run, from_flat(flat))
