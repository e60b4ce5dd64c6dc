"""What a classical training tried, as its part of the page."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from imgtrain.report.markup import Column, percent, section, sortable, text

_SCORES = {"val_top1": "percent", "val_macro_f1": "percent", "val_loss": "number"}


@dataclass(frozen=True, slots=True)
class Variants:
    """``selection.csv``: names of what was varied, and a row a variant: its values and scores."""

    names: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    scores: tuple[tuple[float | None, ...], ...]
    best: int | None


def read_variants(folder: Path) -> Variants | None:
    """What the file says; None where there is none, or it is broken."""
    try:
        with (folder / "selection.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        names = tuple(key for key in rows[0] if key not in {*_SCORES, "is_best"})
        return Variants(
            names,
            tuple(tuple(row[name] for name in names) for row in rows),
            tuple(tuple(float(row[key]) if row[key] else None for key in _SCORES) for row in rows),
            next((k for k, row in enumerate(rows) if row["is_best"] == "1"), None),
        )
    except (OSError, ValueError, KeyError, IndexError, TypeError, csv.Error):
        return None


def variants_section(variants: Variants | None) -> str:
    """A table of what was tried, the chosen one named; nothing where it was one thing only."""
    if variants is None or len(variants.rows) < 2 or not variants.names:  # noqa: PLR2004  # no choice
        return ""
    columns = [
        Column(text(" / ".join(variants.names)), "name"),
        Column("Top-1", "percent"),
        Column("Macro F1", "percent"),
        Column("Loss"),
    ]
    named = [" / ".join(values) for values in variants.rows]
    rows = [(name, *scores) for name, scores in zip(named, variants.scores, strict=True)]
    note = f"{len(rows)} variants were trained on the training part and scored on validation"
    if variants.best is not None:
        top1 = variants.scores[variants.best][0]
        note += f"; the best is {text(named[variants.best])} ({percent(top1)} top-1)"
    table = sortable("Variants that were tried", columns, rows)
    return section("variants", "What was tried", f'<p class="note">{note}.</p>', table)
