"""Answers as lines of text files, and what such a line says when it is read again."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import BinaryIO, Protocol

from imgtrain.predicting.answers import DIGITS, Answer, Asked, as_json

Known = tuple[str, bool]
"""A row that was written: its picture's name, and whether that could not be read."""


class Rows(Protocol):
    """One kind of text file."""

    header: bytes
    depends: Mapping[str, int]
    """Settings that change these lines alone."""

    def line(self, said: Answer) -> str:
        """One row, its end included."""

    def split(self, file: BinaryIO) -> Iterator[bytes]:
        """Whole rows; a last one that is cut short is left out."""

    def read(self, row: bytes) -> Known | None:
        """What a row says; None for one that is none of ours."""


def text(name: str) -> str:
    """A name as it stands in a table; bytes that are not UTF-8 are shown as escapes."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


class CsvRows:
    """``path,[label],pred,prob,[set],prob_<class>...,error``."""

    depends: Mapping[str, int] = {}

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        names = ["path", *(["label"] if asked.labelled else []), "pred", "prob"]
        names += ["set"] if asked.least is not None else []
        self._columns = [*names, *(f"prob_{name}" for name in asked.classes), "error"]
        self.header = _csv_line(self._columns).encode("utf-8", "backslashreplace")

    def line(self, said: Answer) -> str:
        """One row; a set is a JSON list of names."""
        cells = [said.found.path, *([said.label or ""] if self._asked.labelled else [])]
        cells += [said.pred or "", "" if said.prob is None else f"{said.prob:.{DIGITS}f}"]
        if self._asked.least is not None:
            inside = said.inside
            cells.append("" if inside is None else json.dumps(inside, ensure_ascii=False))
        probs = said.found.probs
        if probs is None:
            cells += [""] * len(self._asked.classes)
        else:
            cells += [f"{prob:.{DIGITS}f}" for prob in probs.tolist()]
        return _csv_line([*cells, said.found.error or ""])

    def split(self, file: BinaryIO) -> Iterator[bytes]:
        """Rows end where a line ends outside quotes."""
        row = b""
        for line in file:
            row += line
            if row.endswith(b"\n") and row.count(b'"') % 2 == 0:
                yield row
                row = b""

    def read(self, row: bytes) -> Known | None:
        """The first cell, and whether the last says why not."""
        try:
            [cells] = csv.reader([row.decode("utf-8")], strict=True)
        except (ValueError, csv.Error):
            return None
        return (cells[0], bool(cells[-1])) if len(cells) == len(self._columns) else None


class JsonRows:
    """An object a line, as in the list of ``--json``."""

    header = b""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self.depends: Mapping[str, int] = {"top_k": min(asked.top_k, len(asked.classes))}

    def line(self, said: Answer) -> str:
        """One object, in ASCII."""
        return json.dumps(as_json(said, self._asked)) + "\n"

    def split(self, file: BinaryIO) -> Iterator[bytes]:
        """A row is a line."""
        return (line for line in file if line.endswith(b"\n"))

    def read(self, row: bytes) -> Known | None:
        """Its path, and whether it has an error."""
        try:
            value = json.loads(row)
            return text(value["path"]), value["error"] is not None
        except (ValueError, KeyError, TypeError, AttributeError):
            return None


def _csv_line(cells: Iterable[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(cells)
    return out.getvalue()
