"""A run as one side of a comparison: its classes, folds and answers on the test part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from imgtrain.ensemble_file import check_classes
from imgtrain.errors import DataError, RunError, SettingsError
from imgtrain.report.predictions import read_rows
from imgtrain.report.reading import RunFiles, read_object, read_run
from imgtrain.rundir import RunDir

Answers = Mapping[str, tuple[str, str]]
"""True and predicted class of every test picture, by its path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One run of those that are compared.

    Args:
        label: What it is called: its name, or its path where several have that name.
        kind: A cross-validation, or a single training.
        run: What its folder says; of a cross-validation, the ensemble.
        summary: The content of ``cv_summary.json``; empty for a single training.
        answers: On the test part; empty where there is none.
    """

    label: str
    kind: Literal["cv", "train"]
    run: RunFiles
    summary: Mapping[str, Any]
    answers: Answers
    folder: Path

    @property
    def folds(self) -> dict[int, Mapping[str, Any]]:
        """The summary's rows by the number of the fold."""
        return {row["fold"]: row for row in self.summary.get("folds", ())}


def read_contenders(runs: Sequence[RunDir]) -> list[Contender]:
    """Two or more runs; whatever is missing in one is simply not there.

    Raises:
        SettingsError: If there are fewer, or one is named twice.
    """
    if len(runs) < 2:  # noqa: PLR2004  # a comparison
        raise SettingsError("a comparison is between two runs or more", "name another run")
    places = [run.path.resolve() for run in runs]
    for place, run in zip(places, runs, strict=True):
        if places.count(place) > 1:
            raise SettingsError(f"{run.path} is named twice", "name two different runs")
    names = [place.name for place in places]
    return [
        _read(run.path, name if names.count(name) == 1 else str(run.path))
        for run, name in zip(runs, names, strict=True)
    ]


def _read(folder: Path, label: str) -> Contender:
    run = read_run(folder, parts=())
    is_cv = run.status.get("kind") == "cv"
    summary = read_object(folder / "cv_summary.json") if is_cv else {}
    return Contender(
        label=label,
        kind="cv" if is_cv else "train",
        run=run,
        summary=summary if isinstance(summary.get("folds"), list) else {},
        answers=_answers(folder / f"{'ensemble_predictions' if is_cv else 'predictions_test'}.csv"),
        folder=folder,
    )


def _answers(path: Path) -> Answers:
    rows = read_rows(path)
    header = next(rows, [])
    if not {"path", "label", "pred"} <= set(header):
        return {}
    wanted = [header.index(name) for name in ("path", "label", "pred")]
    cells = ([row[i] for i in wanted] for row in rows if len(row) == len(header))
    return {picture: (label, taken) for picture, label, taken in cells}


def check_pair(first: Contender, second: Contender) -> None:
    """Refuse two runs of which nothing can be said.

    Raises:
        RunError: If they know other classes, or one is not finished or has nothing to compare.
        DataError: If their folds, test pictures or labels differ.
    """
    for each in (first, second):
        if not each.run.classes or not (each.summary or each.answers or _has_ended(each)):
            raise RunError(
                f"{each.folder} is not finished: there is nothing to compare yet",
                "the same command goes on",
            )
    known = {each.folder: each.run.classes for each in (first, second)}
    check_classes(known, "only runs that tell the same classes apart can be compared")
    if first.kind == second.kind == "cv":
        _check_folds(first, second)
        if not (first.answers or second.answers):
            return
    _check_test(first, second)


def _has_ended(each: Contender) -> bool:
    return each.kind == "train" and each.run.status.get("state") == "finished"


def _check_folds(first: Contender, second: Contender) -> None:
    """The same pictures in the same folds, scored in the same folds."""
    cut, other = (_places(each.folder / "folds.csv") for each in (first, second))
    torn = {path for path, _, _ in cut ^ other}
    hint = (
        "validate the second one on the folds of the first: "
        f"imgtrain cv --folds-file {first.folder / 'folds.csv'}"
    )
    if torn or not cut:
        raise DataError(
            f"{first.folder} and {second.folder} have different folds: {len(torn):,} of "
            f"{len({path for path, _, _ in cut | other}):,} pictures are elsewhere",
            hint,
        )
    if first.folds.keys() != second.folds.keys():
        missing = sorted(first.folds.keys() ^ second.folds.keys())
        raise DataError(
            f"{first.folder} and {second.folder} have not the same folds joined: "
            f"one lacks {', '.join(map(str, missing))}",
            "join all of them: imgtrain cv --collect",
        )


def _places(path: Path) -> set[tuple[str, str, str]]:
    """Path, repeat and fold of every picture of a ``folds.csv``."""
    rows = read_rows(path)
    header = next(rows, [])
    if not {"path", "fold"} <= set(header):
        return set()
    found = (dict(zip(header, row, strict=False)) for row in rows)
    return {(cells["path"], cells.get("repeat", "1"), cells.get("fold", "")) for cells in found}


def _check_test(first: Contender, second: Contender) -> None:
    """The same test pictures with the same labels."""
    for each in (first, second):
        if not each.answers:
            raise RunError(
                f"{each.folder} has no scored test part",
                "runs are compared on test pictures that neither of them saw: give test a share "
                "with --split-ratio",
            )
    alone = first.answers.keys() ^ second.answers.keys()
    if alone:
        every = len(first.answers.keys() | second.answers.keys())
        raise DataError(
            f"{first.folder} and {second.folder} were tested on different pictures: "
            f"{len(alone):,} of {every:,} are in one of them only (for example {min(alone)})",
            "train both on the same data with the same --split-seed and --split-ratio",
        )
    other = [p for p, (label, _) in first.answers.items() if second.answers[p][0] != label]
    if other:
        raise DataError(
            f"{first.folder} and {second.folder} were tested with different labels: "
            f"{len(other):,} of {len(first.answers):,} pictures (for example {other[0]})",
            "train both on the same labels",
        )
