"""Columns of a manifest, and groups, by which scores are told apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imgtrain.data.index import Index
from imgtrain.data.manifest import picture_name
from imgtrain.data.tables import SUFFIXES, read_table
from imgtrain.errors import SettingsError, nearest
from imgtrain.evaluating.answers import Answers
from imgtrain.metrics.groups import score_slices

MOST_VALUES = 20
"""A column that has more is told apart only where it is asked for."""

_OWN = ("path", "split")
_GROUP = "group"


def check_columns(index: Index, asked: Sequence[str]) -> dict[str, list[str]]:
    """The columns that are asked for, all that there are if none is; values by position.

    Raises:
        SettingsError: If one is not there.
    """
    known = columns_of(index)
    folded = {name.casefold(): name for name in known}
    for name in asked:
        if name.casefold() not in folded:
            there = f"it has {', '.join(known)}" if known else "columns are those of a manifest"
            raise SettingsError(
                f"--slice {name}: {index.root} has no such column{nearest(name, known)}",
                f"{there}; group is one where --group-by was given",
            )
    return {folded[name.casefold()]: known[folded[name.casefold()]] for name in asked} or known


def slices_of(
    answers: Answers, columns: Mapping[str, Sequence[str]], *, all_: bool
) -> list[dict[str, Any]]:
    """The scores of the pictures of each value of each column.

    Args:
        answers: What the model said.
        columns: From ``check_columns``.
        all_: Whether columns count that have many values, or one, too.

    Returns:
        Rows of ``column``, ``value`` and scores.
    """
    rows: list[dict[str, Any]] = []
    for name, cells in columns.items():
        values = [cells[i] for i in answers.pictures.positions.tolist()]
        is_telling = 1 < len(set(values)) <= min(MOST_VALUES, len(values) - 1) and name != "label"
        if all_ or is_telling:
            found = score_slices(answers.labels, answers.probs, values)
            rows += [{"column": name, **row} for row in found]
    return rows


def columns_of(index: Index) -> dict[str, list[str]]:
    """Each column's value for every picture of the index; empty where a cell is."""
    found: dict[str, list[str]] = {}
    path = Path(index.root)
    if path.suffix.lower() in SUFFIXES and path.is_file():
        found = _columns(path, index)
    if index.groups is not None and _GROUP not in map(str.casefold, found):
        found[_GROUP] = [index.group_names[group] for group in index.groups.tolist()]
    return found


def _columns(path: Path, index: Index) -> dict[str, list[str]]:
    table = read_table(path)
    names = [name for name in table.columns if name and name.casefold() not in _OWN]
    where = [table.place(name) or 0 for name in ("path", *names)]
    cells: dict[str, list[str]] = {}
    for _, (first, *row) in table.rows(where):
        cells.setdefault(picture_name(path, first), row)
    rows = [cells[index.source.path(i)] for i in range(len(index.source))]
    return {name: [row[k].strip() for row in rows] for k, name in enumerate(names)}
