"""A table that names pictures: .csv or .parquet with the columns path,label[,split][,group]."""

from __future__ import annotations

import os
import posixpath
import stat
import unicodedata
from array import array
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imgtrain.data.listing import (
    NO_PART,
    PART_WORDS,
    Files,
    Ints,
    Listing,
    Names,
    count,
    shown,
    some,
)
from imgtrain.data.tables import Table, read_table
from imgtrain.data.walk import last_change
from imgtrain.errors import DataError

NEEDED = ("path", "label")
ABSENT = -1


def read_manifest(path: Path, group_column: str | None) -> Listing:
    """List the pictures of a table; groups are of ``group_column``, or where it is none, ``group``.

    Raises:
        DataError: If a column, file, label or part is missing or contradicts another row.
        OutsideError: If a .parquet is given and pyarrow is not installed.
    """
    table = read_table(path)
    _refuse_lacking(path, table)
    known = group_column is not None and table.place(group_column) is not None
    group = group_column if group_column is not None and known else "group"
    names = [name for name in (*NEEDED, "split", group) if table.place(name) is not None]
    pictures = _Pictures(path)
    for number, cells in table.rows([table.place(name) or 0 for name in names]):
        row = {name: cell.strip() for name, cell in zip(names, cells, strict=True)}
        try:
            pictures.add(row["path"], row["label"], row.get("split"), row.get(group, ""))
        except ValueError as error:
            raise DataError(f"{path}, row {number}: {error}") from error
    return pictures.listing(group if group in names else None)


def _refuse_lacking(path: Path, table: Table) -> None:
    lacking = [name for name in NEEDED if table.place(name) is None]
    if lacking:
        raise DataError(
            f"{path} has no column {' and no column '.join(lacking)};"
            f" its columns are: {some(table.columns, 12) or 'none'}",
            "path,label are needed; split and group are understood too",
        )


class _Pictures:
    """The rows so far, in the order of the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._names, self._groups = Names(), Names()
        self._sizes, self._times, self._labels = array("q"), array("q"), array("q")
        self._given = array("b")
        self._classes: dict[str, int] = {}

    def add(self, name: str, label: str, split: str | None, group: str) -> None:
        """Take one row.

        Raises:
            ValueError: If the row says too little, or an unknown part.
        """
        if not name or not label:
            raise ValueError("it has no label" if name else "it has no path")
        if split is not None and split.casefold() not in PART_WORDS:
            raise ValueError(f"split {split!r} is none of {', '.join(PART_WORDS)}")
        spelling, size, changed = find_file(str(self._path.parent), name)
        self._names.append(_raw(spelling))
        self._sizes.append(size)
        self._times.append(changed)
        self._labels.append(self._classes.setdefault(shown(_raw(label)), len(self._classes)))
        self._given.append(NO_PART if split is None else PART_WORDS[split.casefold()])
        self._groups.append(_raw(group))

    def listing(self, groups_by: str | None) -> Listing:
        """All rows, sorted by part, class and name, each picture once.

        Raises:
            DataError: If there are none, files are missing, or rows contradict each other.
        """
        self._refuse_missing()
        classes = sorted(self._classes)
        rank = np.empty(len(classes), np.int64)
        rank[[self._classes[name] for name in classes]] = np.arange(len(classes))
        labels, given = rank[np.array(self._labels, np.int64)], np.array(self._given, np.int8)
        order, twice = self._once(labels, given)
        return Listing(
            classes=tuple(classes),
            source=Files(
                str(self._path.parent),
                _picked(self._names, order),
                array("q", np.array(self._sizes, np.int64)[order].tobytes()),
                array("q", np.array(self._times, np.int64)[order].tobytes()),
            ),
            labels=labels[order],
            given=given[order],
            groups=_picked(self._groups, order) if groups_by else None,
            groups_by=groups_by,
            notes=(f"rows left out because they repeat another: {twice:,}",) if twice else (),
        )

    def _refuse_missing(self) -> None:
        missing = [i for i, size in enumerate(self._sizes) if size == ABSENT]
        if missing:
            names = [shown(self._names[i]) for i in missing[:4]]
            raise DataError(
                f"{count(len(missing), 'file')} of {len(self._sizes):,} named in {self._path}"
                f" cannot be found: {some(names)}",
                f"paths are absolute, or relative to {self._path.parent}",
            )
        if not self._classes:
            raise DataError(f"{self._path} names no pictures")

    def _once(self, labels: Ints, given: NDArray[np.int8]) -> tuple[Ints, int]:
        """The order of part, class and name without repeated rows, and how many these are."""
        keys = [shown(self._names[i]).encode() for i in range(len(self._names))]
        by_name = sorted(range(len(keys)), key=keys.__getitem__)
        again = np.zeros(len(keys), np.bool_)
        for before, i in pairwise(by_name):
            again[i] = self._names[before] == self._names[i]
            if again[i] and (labels[before], given[before]) != (labels[i], given[i]):
                what = "labels" if labels[before] != labels[i] else "parts"
                raise DataError(f"{self._path} gives {keys[i].decode()} two different {what}")
        kept = np.array(by_name)[~again[by_name]]
        return kept[np.lexsort((labels[kept], given[kept]))], int(again.sum())


def picture_name(manifest: Path, cell: str) -> str:
    """What `read_manifest` calls the picture that a row names so."""
    return shown(_raw(find_file(str(manifest.parent), cell.strip())[0]))


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def find_file(folder: str, name: str) -> tuple[str, int, int]:
    """The file's name as the file system spells it, its size (or ABSENT) and its last change."""
    for spelling in _spellings(name):
        try:
            about = os.stat(os.path.join(folder, spelling))  # noqa: PTH116, PTH118  # a million of them
        except (OSError, ValueError):
            continue
        if stat.S_ISREG(about.st_mode):
            return spelling, about.st_size, last_change(about)
    return name, ABSENT, 0


def _spellings(name: str) -> Iterator[str]:
    """What a row may mean: as written, in the other Unicode forms, with Windows' separators."""
    yield posixpath.normpath(name) if "//" in name or "./" in name else name
    yield unicodedata.normalize("NFC", name)
    yield unicodedata.normalize("NFD", name)
    yield posixpath.normpath(name.replace("\\", "/"))


def _picked(names: Names, order: Ints) -> Names:
    picked = Names()
    for i in order.tolist():
        picked.append(names[i])
    return picked
