"""The pictures of a run that are worth a look: its mistakes, those it is least sure of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from imgtrain import console
from imgtrain.errors import DataError, RunError
from imgtrain.explain.explaining import Job, explain_all
from imgtrain.explain.methods import Asked
from imgtrain.explain.preparing import one_model, settled
from imgtrain.report.gallery import Reader, reader_of, worst_mistakes
from imgtrain.report.gallery import least_sure as doubted
from imgtrain.report.predictions import Predictions
from imgtrain.report.reading import RunFiles, read_run
from imgtrain.settings.schema import HardwareSettings

Choice = Callable[[Predictions], Sequence[int]]
"""Predictions of a part -> rows to look at, the foremost first."""


class OfRun:
    """A run's pictures by their names in ``splits.csv``; satisfies ``Source``.

    Args:
        names: Which, in order.
        read: The bytes of one.
    """

    def __init__(self, names: Sequence[str], read: Reader) -> None:
        self._names = names
        self._read = lru_cache(maxsize=8)(read)  # asked for the size first, then for the bytes

    def __len__(self) -> int:
        """How many."""
        return len(self._names)

    def path(self, i: int) -> str:
        """As in ``splits.csv``."""
        return self._names[i]

    def read(self, i: int) -> bytes:
        """The file's bytes."""
        try:
            return self._read(self._names[i])
        except KeyError:
            raise FileNotFoundError(2, "it is no longer part of the data") from None

    def stamp(self, i: int) -> tuple[int, int]:
        """Size in bytes; the time of change is nobody's concern here."""
        return len(self.read(i)), 0


@dataclass(frozen=True, slots=True)
class Chosen:
    """Pictures of a run and their true classes."""

    pictures: OfRun
    truth: dict[str, str]


def mistakes(rows: Predictions, *, most: int) -> Sequence[int]:
    """Wrong answers, the surest first."""
    places = {path: i for i, path in enumerate(rows.paths)}
    return [places[mistake.path] for mistake in worst_mistakes(rows, most)]


def shown(rows: Predictions) -> Sequence[int]:
    """What the galleries of the run's page show."""
    places = {path: i for i, path in enumerate(rows.paths)}
    return [places[each.path] for each in (*worst_mistakes(rows), *doubted(rows))]


def least_sure(rows: Predictions, *, most: int) -> Sequence[int]:
    """Answers, right or wrong, whose probability is the lowest."""
    order = np.argsort(rows.probs.max(axis=1), kind="stable")[:most]
    return [int(i) for i in order]


def chosen_of(folder: Path, choices: Sequence[tuple[str, Choice]]) -> Chosen:
    """The pictures of a run's parts that the choices name; each once.

    Args:
        folder: The run's.
        choices: A part, and what is looked for in it.

    Raises:
        RunError: If the run has no predictions of a part.
        DataError: If nothing says where its pictures are.
    """
    run = read_run(folder, parts=sorted({part for part, _ in choices}))
    truth: dict[str, str] = {}
    for part, choice in choices:
        rows = run.predictions.get(part)
        if rows is None:
            raise _not_predicted(folder, part)
        for i in choice(rows):
            truth.setdefault(rows.paths[i], run.classes[int(rows.labels[i])])
    return Chosen(OfRun(list(truth), _reader(run, folder)), truth)


def explain_page(folder: Path) -> None:
    """Overlays of the pictures that the galleries of a run's page show, in its ``explain``.

    By the method that fits the model. Of a run without mistakes, or without predictions, nothing.

    Raises:
        RunError: If there is no model.
        DataError: If nothing says where its pictures are.
    """
    run = read_run(folder)
    choices = [(part, shown) for part in ("test", "val") if part in run.predictions]
    chosen = chosen_of(folder, choices) if choices else None
    if chosen is None or not len(chosen.pictures):
        return
    name, predictor = one_model(str(folder), folder.parent, HardwareSettings())
    job = Job(
        run=name,
        predictor=predictor,
        explainer=settled(predictor, Asked(), None),
        place=folder / "explain",
        truth=chosen.truth,
    )
    rows = explain_all(job, chosen.pictures)
    bad = sum(row.error is not None for row in rows)
    told = f"; {bad} cannot be read" if bad else ""
    console.say(f"{len(rows) - bad} pictures explained by {job.way.method}, {job.way.layer}{told}")


def _reader(run: RunFiles, folder: Path) -> Reader:
    root = run.provenance.get("data_root") or run.settings.get("data.root")
    read = reader_of(root)
    if read is None:
        raise DataError(
            f"{folder} does not say where its pictures are",
            f"name them: imgtrain explain PICTURES --run {folder}",
        )
    return read


def _not_predicted(folder: Path, part: str) -> RunError:
    others = sorted(p.stem.removeprefix("predictions_") for p in folder.glob("predictions_*.csv"))
    known = [other for other in others if other != part]
    return RunError(
        f"{folder} has no predictions of its {part} part that can be read",
        f"there are some of {' and '.join(known)}: --part {known[0]}" if known else "",
    )
