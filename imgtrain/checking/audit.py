"""Labels that are likely wrong, found in a cv run's predictions; the list for review."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from imgtrain.checking.out_of_fold import NAME as PREDICTIONS
from imgtrain.checking.out_of_fold import OutOfFold, read_out_of_fold
from imgtrain.data.listing import some
from imgtrain.data.tables import read_table
from imgtrain.errors import DataError, RunError
from imgtrain.files import read_json, write_csv, write_json
from imgtrain.metrics.label_quality import (
    LabelNoise,
    Pruning,
    Quality,
    label_noise,
    label_quality,
    likeliest_other,
    likely_wrong,
)

TABLE = "label_audit.csv"
RECORD = "label_audit.json"
COLUMNS = ("path", "label", "suggested", "score", "p_label", "p_suggested", "accepted")
FORMAT = 1

Reader = Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class Suspect:
    """A label that is likely wrong; ``score`` is its quality in [0, 1], the lowest first."""

    path: str
    label: str
    suggested: str
    score: float
    p_label: float
    p_suggested: float


@dataclass(frozen=True, slots=True, eq=False)
class Audit:
    """What was found in a run.

    Args:
        run: Its folder.
        predictions: What was judged.
        noise: How labels and likely classes go together.
        suspects: The likely wrong labels, the likeliest first.
    """

    run: Path
    predictions: OutOfFold
    noise: LabelNoise
    suspects: tuple[Suspect, ...]

    def pairs(self) -> list[tuple[str, str, int, float]]:
        """Given class, likely class, estimated pictures, and their share of the given class."""
        wrong = self.noise.wrong
        support = np.maximum(np.bincount(self.predictions.labels, minlength=len(wrong)), 1)
        order = np.argsort(-wrong, axis=None, kind="stable")
        classes = self.predictions.classes
        return [
            (classes[i], classes[j], int(wrong[i, j]), float(wrong[i, j] / support[i]))
            for i, j in zip(*np.unravel_index(order, wrong.shape), strict=True)
            if wrong[i, j]
        ]


def audit(run: Path, pruning: Pruning, quality: Quality) -> Audit:
    """Judge the labels of a cv run.

    Args:
        run: The cv run's folder.
        pruning: Which labels are flagged.
        quality: What they are ranked by.

    Raises:
        RunError: If it is no cv run, or one that is not finished.
    """
    _refuse_others(run)
    found = read_out_of_fold(run / PREDICTIONS)
    noise = label_noise(found.labels, found.probs)
    flagged = np.flatnonzero(likely_wrong(found.labels, found.probs, noise, pruning))
    scores = label_quality(found.labels, found.probs, quality)
    other = likeliest_other(found.labels, found.probs)
    order = flagged[np.argsort(scores[flagged], kind="stable")].tolist()
    suspects = tuple(
        Suspect(
            path=found.paths[i],
            label=found.classes[found.labels[i]],
            suggested=found.classes[other[i]],
            score=float(scores[i]),
            p_label=float(found.probs[i, found.labels[i]]),
            p_suggested=float(found.probs[i, other[i]]),
        )
        for i in order
    )
    return Audit(run, found, noise, suspects)


def _refuse_others(run: Path) -> None:
    if (run / PREDICTIONS).is_file():
        return
    if (run / "folds.csv").is_file():
        raise RunError(
            f"the cross-validation {run} is not finished: it has no {PREDICTIONS}",
            "the same imgtrain cv command goes on; folds trained apart are joined by"
            " imgtrain cv --collect",
        )
    raise RunError(
        f"{run} is a single training: labels are judged by models that have not seen them",
        f"imgtrain cv -c {run / 'config.yaml'} trains such models; then audit that run",
    )


def review_rows(found: Audit) -> list[list[str]]:
    """The rows of ``label_audit.csv``.

    What a person wrote into an earlier list of the run is kept: in its row, or, where the label is
    no longer suspect, in a row at the end.

    Raises:
        RunError: If there is an earlier list that cannot be read.
    """
    answers = {(row["path"], row["label"]): row for row in _answered(found.run / TABLE)}
    rows = []
    for s in found.suspects:
        answer = answers.pop((s.path, s.label), None)
        numbers = [f"{value:.6f}" for value in (s.score, s.p_label, s.p_suggested)]
        rows.append([s.path, s.label, s.suggested, *numbers, answer["accepted"] if answer else ""])
    return rows + [[row[column] for column in COLUMNS] for row in answers.values()]


def write_audit(found: Audit, rows: list[list[str]], read: Reader | None) -> None:
    """Write ``label_audit.csv`` and ``label_audit.json`` into the run's folder.

    Args:
        found: The audit.
        rows: From `review_rows`.
        read: The bytes of a picture by its path; what it reads is remembered by its SHA-256, so
            that cleaning notices a file that has changed since.

    Raises:
        DiskError: If the files cannot be written.
    """
    paths = dict.fromkeys(row[0] for row in rows)
    digests = {path: digest for path in paths if (digest := _digest(read, path)) is not None}
    about = {**as_json(found), "data_root": data_root(found.run), "files": digests}
    write_json(found.run / RECORD, about)
    write_csv(found.run / TABLE, COLUMNS, rows)


def _answered(table: Path) -> Iterator[dict[str, str]]:
    """The rows of an earlier list that a person has answered."""
    if not table.is_file():
        return
    try:
        found = read_table(table)
        places = [found.place(column) for column in COLUMNS]
        known = [place for place in places if place is not None]
        if len(known) < len(COLUMNS):
            raise DataError(f"its columns are {some(found.columns, 8)}")  # noqa: TRY301  # one sentence for both
        for _, cells in found.rows(known):
            row = dict(zip(COLUMNS, cells, strict=True))
            if row["accepted"].strip():
                yield row
    except DataError as error:
        raise RunError(
            f"cannot read {table}, which may hold your answers: {error.message}",
            "move it away first",
        ) from error


def _digest(read: Reader | None, path: str) -> str | None:
    if read is None:
        return None
    try:
        return hashlib.sha256(read(path)).hexdigest()
    except (OSError, KeyError, ValueError):
        return None


def data_root(run: Path) -> str | None:
    """Where the pictures of a run lay; None where it does not say."""
    try:
        found = read_json(run / "provenance.json").get("data_root")
    except (OSError, ValueError, AttributeError):
        return None
    return found if isinstance(found, str) and found else None


def as_json(found: Audit, top: int | None = None) -> dict[str, Any]:
    """What ``--json`` prints; ``docs/checking.md`` says what the keys mean."""
    return {
        "format": FORMAT,
        "run": str(found.run),
        "pictures": len(found.predictions.paths),
        "suspects_in_all": len(found.suspects),
        "noise": found.noise.share,
        "pairs": [
            {"label": label, "suggested": other, "pictures": number, "share": share}
            for label, other, number, share in found.pairs()
        ],
        "suspects": [
            {
                "path": s.path,
                "label": s.label,
                "suggested": s.suggested,
                "score": s.score,
                "p_label": s.p_label,
                "p_suggested": s.p_suggested,
            }
            for s in found.suspects[:top]
        ],
    }
