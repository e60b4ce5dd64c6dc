"""A cv run's folder as plain values; whatever is missing or broken is simply not there."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from imgtrain.checking.out_of_fold import NAME, OutOfFold, read_out_of_fold
from imgtrain.errors import RunError
from imgtrain.metrics.scores import score
from imgtrain.report.plots import History
from imgtrain.report.predictions import Predictions, read_predictions, read_rows
from imgtrain.report.reading import RunFiles, read_history, read_object, read_run


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """One fold: its place, its sizes, its own scores and curves.

    ``page`` leads from the cv run's page to the fold's own; None where there is none.
    """

    number: int
    repeat: int
    best_epoch: int | None
    train: int | None
    val: int | None
    scores: Mapping[str, Any]
    history: History
    page: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CvFiles:
    """What the folder of a cv run says.

    ``run`` is the ensemble as a run: its parts are ``test`` and ``oof``. ``counts`` holds pictures
    by (class, fold) of the first repeat; fold 0 is the test part.
    """

    folder: Path
    run: RunFiles
    summary: Mapping[str, Any]
    folds: tuple[Fold, ...]
    counts: Mapping[tuple[str, int], int]

    @property
    def repeats(self) -> int:
        """How often the pictures were dealt out."""
        return max((fold.repeat for fold in self.folds), default=1)

    @property
    def metric(self) -> str:
        """The score that decided, as ``cv_summary.json`` calls it: ``top1``, ``macro_f1``."""
        named = str(self.summary.get("monitor", "")).removeprefix("val_")
        return named if named in {"top1", "macro_f1"} else "top1"


def read_cv(folder: Path) -> CvFiles:
    """Read what is there of a cv run; never fails because of what is not."""
    summary = read_object(folder / "cv_summary.json")
    out_of_fold = _out_of_fold(folder)
    run = read_run(folder)
    classes = run.classes or (out_of_fold.classes if out_of_fold else ())
    found = {
        "test": read_predictions(folder / "ensemble_predictions.csv", classes),
        "oof": _predictions(out_of_fold, classes),
    }
    predictions = {part: rows for part, rows in found.items() if rows is not None}
    told = summary.get("ensemble")
    metrics = {
        part: _scores(told if isinstance(told, dict) else {}, part, rows, classes)
        for part, rows in predictions.items()
    }
    return CvFiles(
        folder=folder,
        run=replace(run, classes=classes, metrics=metrics, predictions=predictions),
        summary=summary,
        folds=_folds(folder, summary),
        counts=_counts(folder),
    )


def _out_of_fold(folder: Path) -> OutOfFold | None:
    try:
        return read_out_of_fold(folder / NAME)
    except RunError:
        return None


def _predictions(found: OutOfFold | None, classes: tuple[str, ...]) -> Predictions | None:
    if found is None or found.classes != classes:
        return None
    return Predictions(found.paths, found.labels, found.probs.argmax(axis=1), found.probs)


def _scores(
    told: Mapping[str, Any], part: str, rows: Predictions, classes: tuple[str, ...]
) -> dict[str, Any]:
    """As the summary has them, if all that the page shows is in it."""
    found = told.get(part)
    if isinstance(found, dict) and {"n", "per_class", "intervals"} <= found.keys():
        return found
    return score(rows.labels, rows.probs, classes)


def _folds(folder: Path, summary: Mapping[str, Any]) -> tuple[Fold, ...]:
    """Those of the summary, and those that have a history only."""
    listed = summary.get("folds")
    rows = {
        row["fold"]: row
        for row in (listed if isinstance(listed, list) else ())
        if isinstance(row, dict) and isinstance(row.get("fold"), int)
    }
    for path in folder.glob("fold_*_history.csv"):
        if match := re.fullmatch(r"fold_(\d+)_history\.csv", path.name):
            rows.setdefault(int(match[1]), {})
    return tuple(_fold(folder, number, rows[number]) for number in sorted(rows))


def _fold(folder: Path, number: int, row: Mapping[str, Any]) -> Fold:
    inside = str(row.get("run") or f"fold_{number}")
    scores = row.get("val")
    has_page = "/" not in inside and (folder / inside / "report.html").is_file()
    return Fold(
        number=number,
        repeat=_whole(row.get("repeat")) or 1,
        best_epoch=_whole(row.get("best_epoch")),
        train=_whole(row.get("n_train")),
        val=_whole(row.get("n_val")),
        scores=scores if isinstance(scores, dict) else {},
        history=read_history(folder / f"fold_{number}_history.csv"),
        page=f"{inside}/report.html" if has_page else None,
    )


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _counts(folder: Path) -> Counter[tuple[str, int]]:
    rows = read_rows(folder / "folds.csv")
    header = next(rows, [])
    if not {"label", "fold"} <= set(header):
        return Counter()
    found: Counter[tuple[str, int]] = Counter()
    for row in rows:
        cells = dict(zip(header, row, strict=False))
        if cells.get("repeat", "1") in {"1", ""} and re.fullmatch(r"\d+", cells.get("fold", "")):
            found[cells["label"], int(cells["fold"])] += 1
    return found
