"""Several runs as one predictor: which they are, whether they agree, how each is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from imgtrain.classical import artefact
from imgtrain.engine.device import ComputePlan, plan_compute
from imgtrain.engine.folding import fold, narrow
from imgtrain.engine.infer import averaged, probabilities
from imgtrain.engine.pieces import Pieces
from imgtrain.engine.recipe import Recipe
from imgtrain.engine.state import Normalise
from imgtrain.engine.weights import as_layout, read_model, read_recipe
from imgtrain.ensemble_file import NAME, Members, check_classes, read_ensemble, write_ensemble
from imgtrain.errors import RunError, SettingsError, nearest
from imgtrain.export.member import is_exported, read_exported
from imgtrain.loading.loader import Batch
from imgtrain.rundir import find_run
from imgtrain.settings.schema import HardwareSettings

__all__ = [
    "Chosen",
    "Member",
    "Scorer",
    "choose",
    "read_ensemble",
    "read_members",
    "write_ensemble",
]

_ASKED_FOR = ("mean", "logits", "vote")
"""What needs no pictures to choose by."""

Run = str | Path
"""The name or folder of a run, its ``model.safetensors``, or an exported file."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The models of an ensemble, or the one model.

    Args:
        how: As in ``ensemble.json``.
        files: Each one's ``model.safetensors``.
        weights: How much each counts, above 0.
    """

    how: str
    files: tuple[Path, ...]
    weights: tuple[float, ...]


def choose(runs: Run | Sequence[Run] | None, output: Path, how: str | None = None) -> Chosen:
    """The models of a run, of a cross-validation, or of several runs.

    Among several, each counts the same, a cross-validation as one.

    Args:
        runs: What was asked for; the newest run in ``output`` if nothing was.
        output: Folder that holds the runs.
        how: The rule; what the cross-validation says, else ``mean``, if not given.

    Raises:
        RunError: If a run is not there.
        SettingsError: If there is nothing to combine.
    """
    if how is not None and how not in _ASKED_FOR:
        raise SettingsError(
            f"--ensemble {how}: there is no such rule{nearest(how, _ASKED_FOR)}",
            "take mean, logits or vote",
        )
    named: Sequence[Run | None] = [runs] if runs is None or isinstance(runs, str | Path) else runs
    if not named:
        raise SettingsError("no run is named", "name one or several runs")
    found = [_members_of(run, output) for run in named]
    files = tuple(file for members in found for file in members.runs)
    if len(files) == 1 and how is not None:
        raise SettingsError(
            f"--ensemble {how} combines several models, and {_place(files[0])} is one",
            "leave it out, or name several runs: --run A --run B",
        )
    weights = [w / sum(m.weights) if len(found) > 1 else w for m in found for w in m.weights]
    return Chosen(how or (found[0].how if len(found) == 1 else "mean"), files, tuple(weights))


def _members_of(run: Run | None, output: Path) -> Members:
    """The model files of one run."""
    if run is not None and Path(run).is_file():
        return Members("mean", (Path(run),), (1.0,))
    which = None if run is None else str(run)
    folder = find_run(which, output, having=("model.safetensors", NAME))
    kind = folder.status().get("kind")
    if kind == "tune":
        raise RunError(
            f"{folder.path} is a study of many trainings", f"name one: {folder.path}/trial_0001"
        )
    if kind != "cv" and not (folder.path / NAME).is_file():
        return Members("mean", (folder.weights,), (1.0,))
    members = read_ensemble(folder.path)
    files = tuple(member / folder.weights.name for member in members.runs)
    for file in files:
        if not file.is_file():
            raise RunError(
                f"{folder.path / NAME} names {file.parent.name}, and {file} is not there",
                f"remove the folder {file.parent}, if it is there; "
                f"imgtrain cv --resume {folder.path} trains it again",
            )
    return Members(members.how, files, members.weights)


def _place(file: Path) -> Path:
    """As whose model a person knows the file."""
    return file.parent if file.name == "model.safetensors" else file


class Scorer(Protocol):
    """What scores pictures: ``Member``, or a file that ``imgtrain export`` wrote."""

    @property
    def recipe(self) -> Recipe:
        """What its classes mean and what it wants to see."""

    compute: ComputePlan
    weight: float

    def probabilities(
        self, views: Sequence[Batch], classes: Sequence[str]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """See ``Member``."""


class Member:
    """One model of several that look at the same pictures.

    Args:
        model: The network, or a classical model that behaves like one.
        recipe: What its classes mean and what it wants to see.
        compute: How it computes.
        weight: How much it counts.
    """

    def __init__(
        self, model: torch.nn.Module, recipe: Recipe, compute: ComputePlan, weight: float = 1.0
    ) -> None:
        self.recipe, self.compute, self.weight = recipe, compute, weight
        self.model = as_layout(
            model, device=compute.torch_device, channels_last=compute.channels_last
        )
        self.prepare = Normalise(recipe.preprocess, compute)
        self._pieces = Pieces()

    def probabilities(
        self, views: Sequence[Batch], classes: Sequence[str]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Which pictures of a batch can be read, and their probabilities in the order of classes.

        Args:
            views: The same pictures once for each view; these are averaged.
            classes: The C names.

        Returns:
            Positions, shape (B,), and probabilities, shape (B, C).
        """
        found = [
            probabilities(
                self.model,
                [batch],
                self.prepare,
                self.compute,
                pieces=self._pieces,
                temperature=self.recipe.temperature,
            )
            for batch in views
        ]
        probs = averaged([each for _, each in found])
        own = self.recipe.classes
        if own != tuple(classes) and len(probs):
            probs = probs[:, [own.index(name) for name in classes]]
        return found[0][0], probs


def read_members(chosen: Chosen, hardware: HardwareSettings, *, folds: bool = True) -> list[Scorer]:
    """The models, ready to score; whether they know the same classes is looked at first.

    A file that ``imgtrain export`` wrote is known by its ending.

    Args:
        chosen: Which they are.
        hardware: Where they compute, and how.
        folds: Batch normalisation goes into the convolutions: faster, and the same but for the
            seventh digit. Without it a model answers as at the end of its training, to the bit.

    Raises:
        RunError: If one is broken, or knows other classes than the first.
    """
    exported = {
        file: read_exported(file, hardware, weight)
        for file, weight in zip(chosen.files, chosen.weights, strict=True)
        if is_exported(file)
    }
    classes = {
        _place(file): (exported[file].recipe if file in exported else _recipe(file)).classes
        for file in chosen.files
    }
    check_classes(classes, "combine runs that were trained on the same classes")
    return [
        exported[file] if file in exported else _read(file, weight, hardware, folds=folds)
        for file, weight in zip(chosen.files, chosen.weights, strict=True)
    ]


def _recipe(file: Path) -> Recipe:
    return artefact.read_recipe(file) if artefact.is_classical(file) else read_recipe(file)


def _read(file: Path, weight: float, hardware: HardwareSettings, *, folds: bool) -> Member:
    model: torch.nn.Module
    if artefact.is_classical(file):
        found = artefact.read(file)
        model, recipe = found.model, found.recipe
    else:
        model, recipe = read_model(file)
        if folds:
            fold(model)
    compute = plan_compute(hardware, image_size=recipe.preprocess.size)
    narrow(model, compute)
    return Member(model, recipe, compute, weight)
