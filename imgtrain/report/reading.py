"""A run folder as plain values; whatever is missing or broken is simply not there."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imgtrain.files import read_json
from imgtrain.report.plots import History
from imgtrain.report.predictions import Predictions, read_predictions, read_rows
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


@dataclass(frozen=True, slots=True)
class BadPicture:
    """A row of ``bad_images.csv``: a picture that was left out."""

    path: str
    part: str
    reason: str


@dataclass(frozen=True, slots=True)
class LeakedPicture:
    """A row of ``leaks.csv``: a picture that lies in another part, too, as its cluster says."""

    cluster: str
    path: str
    part: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFiles:
    """What a run folder says; empty where it says nothing.

    ``counts`` holds pictures by (class, part) as ``splits.csv`` lists them, ``groups`` how many
    groups that stay together; ``settings`` the values by their dotted key.
    """

    folder: Path
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
    groups: int = 0
    leaks: tuple[LeakedPicture, ...] = ()
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


def _counts(folder: Path) -> tuple[Counter[tuple[str, str]], int]:
    """Pictures by (class, part), and how many groups there are."""
    rows = read_rows(folder / "splits.csv")
    header = next(rows, [])
    counts: Counter[tuple[str, str]] = Counter()
    groups: set[str] = set()
    if "label" not in header or "part" not in header:
        return counts, 0
    label, part = header.index("label"), header.index("part")
    group = header.index("group") if "group" in header else label
    for row in rows:
        if len(row) == len(header):
            counts[row[label], row[part]] += 1
            groups.add(row[group])
    return counts, len(groups - {""}) if group != label else 0


def _leaks(folder: Path) -> Iterator[LeakedPicture]:
    rows = read_rows(folder / "leaks.csv")
    header = next(rows, [])
    for row in rows:
        cells = dict(zip(header, row, strict=False))
        yield LeakedPicture(*(cells.get(key, "") for key in ("cluster", "path", "part", "label")))


def _bad_pictures(folder: Path) -> Iterator[BadPicture]:
    rows = read_rows(folder / "bad_images.csv")
    header = next(rows, [])
    for row in rows:
        cells = dict(zip(header, row, strict=False))
        yield BadPicture(cells.get("path", ""), cells.get("part", ""), cells.get("reason", ""))


def read_run(folder: Path, *, parts: Sequence[str] = ("test", "val")) -> RunFiles:
    """Read what is there of a run; never fails because of what is not.

    Args:
        folder: The run's.
        parts: Those whose predictions are read: of many pictures and classes that takes a while.
    """
    classes = _classes(folder)
    provenance = read_object(folder / "provenance.json")
    found = {part: read_predictions(folder / f"predictions_{part}.csv", classes) for part in parts}
    counts, groups = _counts(folder)
    return RunFiles(
        folder=folder,
        name=folder.resolve().name,
        classes=classes,
        settings=_settings(folder, provenance),
        provenance=provenance,
        status=read_object(folder / "status.json"),
        timing=read_object(folder / "timing.json"),
        metrics=read_object(folder / "metrics.json"),
        counts=counts,
        groups=groups,
        leaks=tuple(_leaks(folder)),
        bad_pictures=tuple(_bad_pictures(folder)),
        history=read_history(folder / "history.csv"),
        predictions={part: rows for part, rows in found.items() if rows is not None},
        range_test=read_range_test(folder),
        variants=read_variants(folder),
    )
