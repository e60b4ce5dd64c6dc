"""A run folder as plain values; whatever is missing or broken is simply not there."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from imgtrain.files import read_json
from imgtrain.metrics.confusion import Floats, Ints
from imgtrain.report.plots import History
from imgtrain.report.range_test import RangeTest, read_range_test
from imgtrain.report.variants import Variants, read_variants

PARTS = {
    "train": "Training",
    "val": "Validation",
    "calibration": "Calibration",
    "test": "Test",
    "oof": "Out-of-fold",
}
"""Every fold's own validation part together is called out-of-fold."""
_FIXED_COLUMNS = ["path", "label", "pred", "prob"]


@dataclass(frozen=True, slots=True)
class Predictions:
    """The rows of ``predictions_{part}.csv``: shapes (N,), (N,) and (N, C)."""

    paths: tuple[str, ...]
    labels: Ints
    predicted: Ints
    probs: Floats


@dataclass(frozen=True, slots=True)
class BadPicture:
    """A row of ``bad_images.csv``: a picture that was left out."""

    path: str
    part: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFiles:
    """What a run folder says; empty where it says nothing.

    ``counts`` holds pictures by (class, part) as ``splits.csv`` lists them; ``settings`` the
    values by their dotted key.
    """

    name: str
    classes: tuple[str, ...]
    settings: Mapping[str, Any]
    provenance: Mapping[str, Any]
    status: Mapping[str, Any]
    timing: Mapping[str, Any]
    metrics: Mapping[str, Any]
    counts: Mapping[tuple[str, str], int]
    bad_pictures: tuple[BadPicture, ...]
    history: History
    predictions: Mapping[str, Predictions]
    range_test: RangeTest | None = None
    variants: Variants | None = None

    def scores(self, part: str) -> dict[str, Any]:
        """The part's object of ``metrics.json``; empty where the part was not scored."""
        found = self.metrics.get(part)
        return found if isinstance(found, dict) and found.get("n") else {}

    @property
    def seconds(self) -> float | None:
        """How long the run took, where it says so."""
        told = self.timing.get("total", self.status.get("seconds"))
        if isinstance(told, int | float):
            return float(told)
        phases = [value for value in self.timing.values() if isinstance(value, int | float)]
        return float(sum(phases)) if phases else None


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is none."""
    try:
        found = read_json(path)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def read_rows(path: Path) -> Iterator[list[str]]:
    """The rows of a CSV file up to the first that cannot be read."""
    csv.field_size_limit(1 << 24)
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            yield from csv.reader(handle)
    except (OSError, ValueError, csv.Error):
        return


def _classes(folder: Path) -> tuple[str, ...]:
    try:
        found = read_json(folder / "classes.json")
    except (OSError, ValueError):
        return ()
    return tuple(map(str, found)) if isinstance(found, list) else ()


def _settings(folder: Path, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Values by dotted key: from the provenance, else from ``config.yaml``."""
    known = provenance.get("settings")
    if isinstance(known, dict) and known:
        return known
    import yaml

    try:
        found = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    sections = found.items() if isinstance(found, dict) else ()
    return {
        f"{section}.{name}": value
        for section, values in sections
        if isinstance(values, dict)
        for name, value in values.items()
    }


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def read_history(path: Path) -> History:
    """The rows of a ``history.csv`` that have an epoch."""
    header, *rows = list(read_rows(path)) or [[]]
    numbered = [dict(zip(header, map(_number, row), strict=False)) for row in rows]
    return [row for row in numbered if row.get("epoch") is not None]


def _counts(folder: Path) -> Counter[tuple[str, str]]:
    rows = read_rows(folder / "splits.csv")
    header = next(rows, [])
    if "label" not in header or "part" not in header:
        return Counter()
    label, part = header.index("label"), header.index("part")
    return Counter((row[label], row[part]) for row in rows if len(row) == len(header))


def _bad_pictures(folder: Path) -> Iterator[BadPicture]:
    rows = read_rows(folder / "bad_images.csv")
    header = next(rows, [])
    for row in rows:
        cells = dict(zip(header, row, strict=False))
        yield BadPicture(cells.get("path", ""), cells.get("part", ""), cells.get("reason", ""))


def read_predictions(file: Path, classes: tuple[str, ...]) -> Predictions | None:
    """The rows of a ``predictions_{part}.csv``; None where it is not whole or of other classes."""
    rows = read_rows(file)
    header = next(rows, [])
    if not classes or header != [*_FIXED_COLUMNS, *(f"prob_{name}" for name in classes)]:
        return None
    index = {name: i for i, name in enumerate(classes)}
    paths, labels, probs = [], [], []
    try:
        for path, label, _, _, *row in rows:
            probs.append(np.array(row, dtype=np.float64))
            labels.append(index[label])
            paths.append(path)
        table = np.stack(probs)
    except (ValueError, KeyError):
        return None
    if not paths or table.shape[1] != len(classes) or not np.isfinite(table).all():
        return None
    return Predictions(tuple(paths), np.array(labels, dtype=np.int64), table.argmax(axis=1), table)


def read_run(folder: Path, *, parts: Sequence[str] = ("test", "val")) -> RunFiles:
    """Read what is there of a run; never fails because of what is not.

    Args:
        folder: The run's.
        parts: Those whose predictions are read: of many pictures and classes that takes a while.
    """
    classes = _classes(folder)
    provenance = read_object(folder / "provenance.json")
    found = {part: read_predictions(folder / f"predictions_{part}.csv", classes) for part in parts}
    return RunFiles(
        name=folder.resolve().name,
        classes=classes,
        settings=_settings(folder, provenance),
        provenance=provenance,
        status=read_object(folder / "status.json"),
        timing=read_object(folder / "timing.json"),
        metrics=read_object(folder / "metrics.json"),
        counts=_counts(folder),
        bad_pictures=tuple(_bad_pictures(folder)),
        history=read_history(folder / "history.csv"),
        predictions={part: rows for part, rows in found.items() if rows is not None},
        range_test=read_range_test(folder),
        variants=read_variants(folder),
    )
