"""The teacher of ``--teacher``: where it lies, whether it fits, what its file holds."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch

from imgtrain import console
from imgtrain.engine.device import ComputePlan
from imgtrain.engine.distill import Teacher, can_convert
from imgtrain.engine.recipe import Recipe
from imgtrain.engine.state import Normalise
from imgtrain.engine.weights import as_layout, read_model, read_recipe
from imgtrain.errors import RunError, SettingsError, disk_error
from imgtrain.rundir import find_run
from imgtrain.settings.schema import Settings


def teacher_file(settings: Settings) -> Path | None:
    """The teacher's ``model.safetensors``; None where there is no teacher.

    Raises:
        RunError: If there is no such run or file.
    """
    where = settings.loss.teacher
    if where is None:
        return None
    path = Path(where)
    if not path.is_file():
        if where == "latest":  # would be the student's own run when it goes on
            raise RunError("--teacher latest: which run that is changes", "name the run")
        try:
            path = find_run(where, settings.run.output).weights
        except RunError as error:
            raise RunError(f"--teacher {where}: {error}", error.hint) from error
    if not path.is_file():
        raise RunError(
            f"--teacher {where}: {path} is not there", "let that run end, or name another"
        )
    return path


def fingerprint(settings: Settings) -> str | None:
    """What the teacher's file holds, as a hash; None where there is no teacher.

    Raises:
        RunError: If there is no such run or file.
    """
    path = teacher_file(settings)
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise RunError(f"--teacher {settings.loss.teacher}: {disk_error(error, path)}") from error


def check_teacher(settings: Settings, classes: tuple[str, ...], *, channels: int) -> None:
    """Refuse a teacher of other classes, or of pictures that cannot be shown to it.

    Raises:
        RunError: If it cannot be read.
        SettingsError: With both lists of classes.
    """
    path = teacher_file(settings)
    if path is None:
        return
    theirs = read_recipe(path)
    if sorted(theirs.classes) != sorted(classes):
        raise SettingsError(
            f"--teacher {settings.loss.teacher} knows other classes: {', '.join(theirs.classes)}; "
            f"the pictures are of {', '.join(classes)}",
            "take a teacher that was trained on these classes",
        )
    if not can_convert(channels, theirs.preprocess.channels):
        raise SettingsError(
            f"--teacher {settings.loss.teacher} sees {theirs.preprocess.channels} channels, "
            f"the pictures have {channels}",
            "take another teacher, or --channels",
        )


def make_teacher(settings: Settings, recipe: Recipe, compute: ComputePlan) -> Teacher | None:
    """The teacher on the device, ready to be asked; None where there is none.

    Raises:
        RunError: If it cannot be read.
    """
    path = teacher_file(settings)
    if path is None:
        return None
    model, theirs = read_model(path)
    order = None
    if theirs.classes != recipe.classes:
        console.say("the teacher's classes are in another order; its answers are put in this one")
        order = torch.tensor([theirs.classes.index(name) for name in recipe.classes])
    device, p = compute.torch_device, theirs.preprocess
    return Teacher(
        model=as_layout(
            model.requires_grad_(requires_grad=False),
            device=device,
            channels_last=compute.channels_last,
        ),
        normalise=Normalise(p, compute),
        size=p.size,
        channels=p.channels,
        order=None if order is None else order.to(device),
        alpha=settings.loss.distill_alpha,
        temperature=settings.loss.temperature,
    )
