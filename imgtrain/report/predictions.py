"""The rows of ``predictions_{part}.csv``: a gigabyte of them in seconds, or any CSV at all."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from imgtrain.metrics.confusion import Floats, Ints

_FIXED_COLUMNS = ["path", "label", "pred", "prob"]
_CELL = 9
"""Bytes of ``,0.123456``: how imgtrain writes a probability."""

_BLOCK = 2**22
"""Bytes of probabilities that are turned into numbers at a time."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """The rows of ``predictions_{part}.csv``: shapes (N,), (N,) and (N, C)."""

    paths: tuple[str, ...]
    labels: Ints
    predicted: Ints
    probs: Floats


def read_rows(path: Path) -> Iterator[list[str]]:
    """The rows of a CSV file up to the first that cannot be read."""
    csv.field_size_limit(1 << 24)
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            yield from csv.reader(handle)
    except (OSError, ValueError, csv.Error):
        return


def read_predictions(file: Path, classes: tuple[str, ...]) -> Predictions | None:
    """The rows of a ``predictions_{part}.csv``; None where it is not whole or of other classes.

    Probabilities as imgtrain writes them, six digits each, are read as a block of bytes; any
    other CSV of these columns is read, too, but slowly.
    """
    header = next(read_rows(file), [])
    if not classes or header != [*_FIXED_COLUMNS, *(f"prob_{name}" for name in classes)]:
        return None
    found = _read_blocks(file, len(classes)) or _read_any(file)
    if found is None:
        return None
    paths, names, probs = found
    index = {name: i for i, name in enumerate(classes)}
    if not paths or probs.shape[1] != len(classes) or not index.keys() >= set(names):
        return None
    labels = np.array([index[name] for name in names], dtype=np.int64)
    return Predictions(tuple(paths), labels, probs.argmax(axis=1), probs)


_Table = tuple[list[str], list[str], Floats]
"""Paths, labels, and probabilities of shape (N, C)."""


def _read_any(file: Path) -> _Table | None:
    rows = read_rows(file)
    next(rows)
    paths, labels, probs = [], [], []
    try:
        for path, label, _, _, *row in rows:
            probs.append(np.array(row, dtype=np.float64))
            labels.append(label)
            paths.append(path)
        table = np.stack(probs)
    except ValueError:
        return None
    return (paths, labels, table) if np.isfinite(table).all() else None


def _read_blocks(file: Path, classes: int) -> _Table | None:
    """The table if every line ends in ``classes`` cells of six digits; else None.

    The table is as large as the file allows at most; memory that no row needs is never touched.
    """
    width = _CELL * classes
    with file.open("rb") as handle:
        next(csv.reader(line.decode() for line in handle))
        left = file.stat().st_size - handle.tell()
        table = np.empty((left // width, classes), np.float64)
        paths: list[str] = []
        labels: list[str] = []
        for heads, tails in _batches(handle, width):
            values = _six_digits(b"".join(tails), classes)
            names = _heads(heads)
            if values is None or names is None:
                return None
            table[len(paths) : len(paths) + len(values)] = values
            paths += (path for path, _ in names)
            labels += (label for _, label in names)
    return (paths, labels, table[: len(paths)]) if paths else None


def _batches(handle: BinaryIO, width: int) -> Iterator[tuple[list[bytes], list[bytes]]]:
    """Lines cut in two: what comes before the last ``width`` bytes, and those."""
    heads: list[bytes] = []
    tails: list[bytes] = []
    for line in handle:
        whole = line.rstrip(b"\r\n")
        heads.append(whole[:-width])
        tails.append(whole[-width:])
        if len(tails) * width >= _BLOCK:
            yield heads, tails
            heads, tails = [], []
    if tails:
        yield heads, tails


def _heads(heads: list[bytes]) -> list[tuple[str, str]] | None:
    """Path and label of every row; None where a row goes over several lines."""
    try:
        text = [head.decode() for head in heads]
        rows = [head.split(",") if '"' not in head else next(csv.reader([head])) for head in text]
        return [(path, label) for path, label, _, _ in rows]
    except (ValueError, csv.Error):
        return None


def _six_digits(data: bytes, classes: int) -> Floats | None:
    """``,0.123456`` after ``,0.123456`` as numbers, as `float` reads them; None if it is not so."""
    if len(data) % (_CELL * classes):
        return None
    cells = np.frombuffer(data, np.uint8).reshape(-1, _CELL)
    digits = cells[:, [1, 3, 4, 5, 6, 7, 8]] - np.uint8(ord("0"))
    if (cells[:, 0] != ord(",")).any() or (cells[:, 2] != ord(".")).any() or (digits > 9).any():  # noqa: PLR2004  # the last digit
        return None
    scaled = (digits.astype(np.float32) @ _PLACES).astype(np.float64)
    return scaled.reshape(-1, classes) / 1e6


_PLACES = np.array([1e6, 1e5, 1e4, 1e3, 1e2, 1e1, 1], np.float32)
"""Whole numbers below 2^24 are exact in float32, so 1.000000 is at most what may stand there."""
