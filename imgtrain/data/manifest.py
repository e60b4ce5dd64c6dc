"""A table of pictures: .csv or .parquet with the columns path,label[,split][,group]."""

from __future__ import annotations

import csv
import os
import posixpath
import stat
import unicodedata
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

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
from imgtrain.errors import DataError, OutsideError

SUFFIXES = (".csv", ".parquet")
NEEDED = ("path", "label")
Row = tuple[int, list[str]]


@dataclass
class _Table:
    """Column names as written, and the rows with their number in the file."""

    columns: list[str]
    rows: Iterator[Row]

    def place(self, name: str) -> int | None:
        """Where the column ``name`` stands, whatever its case."""
        folded = [column.casefold() for column in self.columns]
        return folded.index(name.casefold()) if name.casefold() in folded else None


class _Pictures:
    """The rows so far, in the order of the file.

    Args:
        folder: What relative paths are relative to.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self.names, self.groups = Names(), Names()
        self.sizes, self.times, self.labels = array("q"), array("q"), array("q")
        self.given = array("b")
        self.classes: dict[str, int] = {}

    def add(self, name: str, label: str, split: str | None, group: str | None) -> None:
        """Take one row; a file that is not there has the size -1.

        Raises:
            ValueError: If the row says too little, or an unknown part.
        """
        if not name or not label:
            raise ValueError("it has no label" if name else "it has no path")
        if split is not None and split.casefold() not in PART_WORDS:
            raise ValueError(f"split {split!r} is none of {', '.join(PART_WORDS)}")
        raw, size, changed = _found(self._folder, name)
        self.names.append(raw)
        self.sizes.append(size)
        self.times.append(changed)
        shown_label = shown(_raw(label))
        self.labels.append(self.classes.setdefault(shown_label, len(self.classes)))
        self.given.append(NO_PART if split is None else PART_WORDS[split.casefold()])
        self.groups.append(_raw(group or ""))

    def listing(self, path: str, groups_by: str | None) -> Listing:
        """All rows, sorted by part, class and name, each picture once."""
        self._refuse_missing(path)
        classes = sorted(self.classes)
        rank = np.empty(len(classes), np.int64)
        rank[[self.classes[name] for name in classes]] = np.arange(len(classes))
        labels, given = rank[np.array(self.labels, np.int64)], np.array(self.given, np.int8)
        order, twice = self._once(path, labels, given)
        return Listing(
            classes=tuple(classes),
            source=Files(
                self._folder,
                _picked(self.names, order),
                array("q", np.array(self.sizes, np.int64)[order].tobytes()),
                array("q", np.array(self.times, np.int64)[order].tobytes()),
            ),
            labels=labels[order],
            given=given[order],
            groups=_picked(self.groups, order) if groups_by else None,
            groups_by=groups_by,
            notes=(f"{count(twice, 'row')} that name a picture again were left out",) * bool(twice),
        )

    def _refuse_missing(self, path: str) -> None:
        missing = [i for i, size in enumerate(self.sizes) if size < 0]
        if missing:
            names = [shown(self.names[i]) for i in missing[:4]]
            raise DataError(
                f"{count(len(missing), 'file')} of {len(self.sizes):,} named in {path}"
                f" cannot be found: {some(names)}",
                f"paths are absolute or relative to {os.path.abspath(self._folder)}",
            )

    def _once(self, path: str, labels: Ints, given: NDArray[np.int8]) -> tuple[Ints, int]:
        """The order of part, class and name, and how many rows it leaves out.

        Raises:
            DataError: If two rows about one picture differ.
        """
        keys = [shown(self.names[i]).encode() for i in range(len(self.names))]
        by_name = np.array(sorted(range(len(keys)), key=keys.__getitem__), np.int64)
        again = np.zeros(len(keys), np.bool_)
        for before, i in zip(by_name, by_name[1:], strict=False):
            again[i] = self.names[before] == self.names[i]
            if again[i] and (labels[before], given[before]) != (labels[i], given[i]):
                what = "labels" if labels[before] != labels[i] else "parts"
                raise DataError(f"{path} gives {keys[i].decode()} two different {what}")
        kept = by_name[~again[by_name]]
        return kept[np.lexsort((labels[kept], given[kept]))], int(again.sum())


def read_manifest(path: str, group_column: str | None) -> Listing:
    """List the pictures of a table; groups are of ``group_column``, or where it is none, ``group``.

    Raises:
        DataError: If a column, file, label or part is missing or contradicts another row.
        OutsideError: If a .parquet is given and pyarrow is not installed.
    """
    table = _parquet(path) if path.lower().endswith(".parquet") else _csv(path)
    lacking = [name for name in NEEDED if table.place(name) is None]
    if lacking:
        raise DataError(
            f"{path} has no column {' and no column '.join(lacking)};"
            f" its columns are: {some(table.columns, 12) or 'none'}",
            "path,label are needed; split and group are understood too",
        )
    group = "group" if group_column is None or table.place(group_column) is None else group_column
    places = [table.place(name) for name in (*NEEDED, "split", group)]
    pictures = _Pictures(os.path.dirname(path))
    for number, row in table.rows:
        name, label, split, of = (None if at is None else row[at].strip() for at in places)
        try:
            pictures.add(name or "", label or "", split, of)
        except ValueError as error:
            raise DataError(f"{path}, row {number}: {error}") from error
    if not pictures.classes:
        raise DataError(f"{path} names no pictures")
    return pictures.listing(path, group if places[-1] is not None else None)


def _csv(path: str) -> _Table:
    rows = _csv_rows(path)
    header = next(rows, (0, []))[1]
    columns = [name.strip() for name in header]
    return _Table(columns, _full(path, len(columns), rows))


def _csv_rows(path: str) -> Iterator[Row]:
    """The rows that are not blank, with the line on which each ends."""
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            first = file.readline()
            file.seek(0)
            delimiter = next((mark for mark in ",;\t" if mark in first), ",")
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            try:
                yield from ((reader.line_num, row) for row in reader if any(map(str.strip, row)))
            except csv.Error as error:
                raise DataError(f"{path}, row {reader.line_num}: {error}") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def _full(path: str, width: int, rows: Iterator[Row]) -> Iterator[Row]:
    for number, row in rows:
        if len(row) < width or any(row[width:]):
            raise DataError(
                f"{path}, row {number} has {len(row)} cells where the header has {width}",
                "a name with a comma in it needs double quotes around it",
            )
        yield number, row


def _parquet(path: str) -> _Table:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise OutsideError(
            f"reading {path} needs the package pyarrow", "pip install 'imgtrain[parquet]'"
        ) from error
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    return _Table(list(file.schema_arrow.names), _parquet_rows(path, file, pa.ArrowException))


def _parquet_rows(path: str, file: Any, arrow_error: type[Exception]) -> Iterator[Row]:
    number = 0
    try:
        for batch in file.iter_batches(batch_size=8192):
            columns = [column.to_pylist() for column in batch.columns]
            for row in zip(*columns, strict=True):
                number += 1
                yield number, [_text(cell) for cell in row]
    except (arrow_error, OSError) as error:
        raise DataError(f"cannot read {path} after row {number}: {error}") from error


def _text(cell: object) -> str:
    if isinstance(cell, bytes):
        return cell.decode("utf-8", "surrogateescape")
    return "" if cell is None else str(cell)


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _found(folder: str, name: str) -> tuple[bytes, int, int]:
    """The file's name as the file system spells it, its size (-1: none) and its last change."""
    for spelling in _spellings(name):
        try:
            about = os.stat(os.path.join(folder, spelling))
        except (OSError, ValueError):
            continue
        if stat.S_ISREG(about.st_mode):
            return _raw(spelling), about.st_size, about.st_mtime_ns
    return _raw(name), -1, 0


def _spellings(name: str) -> Iterator[str]:
    """What a row may mean: as written, in the other Unicode forms, with Windows' separators."""
    plain = name.removeprefix("./")
    yield posixpath.normpath(plain) if "//" in plain or "/." in plain else plain
    yield unicodedata.normalize("NFC", name)
    yield unicodedata.normalize("NFD", name)
    yield name.replace("\\", "/")


def _picked(names: Names, order: Ints) -> Names:
    picked = Names()
    for i in order.tolist():
        picked.append(names[i])
    return picked
