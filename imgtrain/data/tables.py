"""Tables of text, row by row: .csv as people's programs write them, and .parquet."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imgtrain.errors import DataError, OutsideError

if TYPE_CHECKING:
    import pyarrow.parquet as pq

SUFFIXES = (".csv", ".parquet")
DELIMITERS = ",;\t"
BATCH = 8192

Row = tuple[int, list[str]]


@dataclass(frozen=True)
class Table:
    """The names of the columns, and what reads the rows.

    ``rows`` takes places of columns and gives, for every row, its number (in a .csv the line on
    which it ends) and the cells there; bytes that are not UTF-8 are surrogates.
    """

    columns: list[str]
    rows: Callable[[Sequence[int]], Iterator[Row]]

    def place(self, name: str) -> int | None:
        """Where the column ``name`` stands, whatever its case."""
        folded = [column.casefold() for column in self.columns]
        return folded.index(name.casefold()) if name.casefold() in folded else None


def read_table(path: Path) -> Table:
    """Open a table.

    Raises:
        DataError: If it cannot be read; from ``rows``, if one of them is malformed.
        OutsideError: If it is a .parquet and pyarrow is not installed.
    """
    return _parquet(path) if path.suffix.lower() == ".parquet" else _csv(path)


def _csv(path: Path) -> Table:
    columns = [name.strip() for name in next(_csv_rows(path), (0, []))[1]]

    def rows(places: Sequence[int]) -> Iterator[Row]:
        below = _csv_rows(path)
        next(below, None)
        for number, row in below:
            if len(row) < len(columns) or any(row[len(columns) :]):
                raise DataError(
                    f"{path}, row {number} has {len(row)} cells where the header has"
                    f" {len(columns)}",
                    "a name with a comma in it needs double quotes around it",
                )
            yield number, [row[place] for place in places]

    return Table(columns, rows)


def _csv_rows(path: Path) -> Iterator[Row]:
    """The rows that are not blank."""
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            header = file.readline()
            file.seek(0)
            delimiter = next((mark for mark in DELIMITERS if mark in header), ",")
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            try:
                yield from ((reader.line_num, row) for row in reader if any(map(str.strip, row)))
            except csv.Error as error:
                raise DataError(f"{path}, row {reader.line_num}: {error}") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def _parquet(path: Path) -> Table:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise OutsideError(
            f"reading {path} needs the package pyarrow", "pip install 'imgtrain[parquet]'"
        ) from error
    broken = (pa.ArrowException, OSError)
    try:
        file = pq.ParquetFile(path)
    except broken as error:
        raise DataError(f"cannot read {path}: {error}") from error

    def rows(places: Sequence[int]) -> Iterator[Row]:
        try:
            yield from _parquet_rows(file, [columns[place] for place in places])
        except broken as error:
            raise DataError(f"cannot read {path}: {error}") from error

    columns: list[str] = list(file.schema_arrow.names)
    return Table(columns, rows)


def _parquet_rows(file: pq.ParquetFile, names: list[str]) -> Iterator[Row]:
    number = 0
    for batch in file.iter_batches(batch_size=BATCH, columns=names):
        for row in zip(*(batch[name].to_pylist() for name in names), strict=True):
            number += 1
            yield number, [_text(cell) for cell in row]


def _text(cell: object) -> str:
    if isinstance(cell, bytes):
        return cell.decode("utf-8", "surrogateescape")
    return "" if cell is None else str(cell)
