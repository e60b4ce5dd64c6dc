"""A text file that grows by batches, and goes on where an interrupted command left it."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from imgtrain.errors import SettingsError, disk_error
from imgtrain.files import refuse_device
from imgtrain.loading.locks import Lock
from imgtrain.predicting.answers import Answer
from imgtrain.predicting.listing import Listed
from imgtrain.predicting.rows import Known, Rows, text


class Table(Protocol):
    """A file of answers."""

    path: Path
    depends: Mapping[str, int]

    def is_begun(self) -> bool:
        """Whether there is something."""

    def known(self, listed: Listed) -> int:
        """How many of the first pictures it holds.

        Raises:
            SettingsError: If it holds others.
        """

    def floor(self, rows: int) -> int:
        """The largest number of rows, at most ``rows``, after which it can go on."""

    def failed(self, rows: int) -> int:
        """How many of its first rows are pictures that could not be read."""

    def begin(self, rows: int) -> None:
        """Keep so many rows, and get ready for more."""

    def write(self, said: Sequence[Answer]) -> None:
        """Add a batch."""

    def close(self, *, whole: bool) -> None:
        """Let go of it; ``whole``: it holds every picture."""


class Checked:
    """Rows that were read again, one after the other, against the pictures to be scored."""

    def __init__(self, path: Path, listed: Listed) -> None:
        self._path, self._listed = path, listed
        self.errors = array("b")

    def add(self, row: Known) -> None:
        """The next row.

        Raises:
            SettingsError: If it is of another picture.
        """
        number = len(self.errors)
        wanted = text(self._listed.path(number)) if number < len(self._listed) else "no more"
        if row[0] != wanted:
            raise SettingsError(
                f"{self._path} holds answers for other pictures: row {number + 1} is "
                f"{row[0]}, and now it would be {wanted}",
                "--fresh writes it anew; or name another file",
            )
        self.errors.append(row[1])


class Growing:
    """A ``Table`` of lines.

    Args:
        path: The file.
        rows: How its lines read.
    """

    def __init__(self, path: Path, rows: Rows) -> None:
        self.path, self._rows, self.depends = path, rows, rows.depends
        self._ends = array("q")
        self._errors = array("b")
        self._file: BinaryIO | None = None
        self._lock: Lock | None = None

    def is_begun(self) -> bool:
        """Whether there is a file that is not empty."""
        return self.path.is_file() and self.path.stat().st_size > 0

    def known(self, listed: Listed) -> int:
        """Whole rows that are there; from one that is none of ours on, nothing counts."""
        self._ends.append(len(self._rows.header))
        checked = Checked(self.path, listed)
        with self.path.open("rb") as file:
            if file.read(len(self._rows.header)) != self._rows.header:
                return 0
            for row in self._rows.split(file):
                known = self._rows.read(row)
                if known is None:
                    break
                checked.add(known)
                self._ends.append(self._ends[-1] + len(row))
        self._errors = checked.errors
        return len(self._errors)

    def floor(self, rows: int) -> int:
        """After any row."""
        return rows

    def failed(self, rows: int) -> int:
        """How many of its first rows are pictures that could not be read."""
        return sum(self._errors[:rows])

    def begin(self, rows: int) -> None:
        """Cut off what is not kept, a half-written line, too."""
        with told(self.path):
            refuse_device(self.path)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = Lock(self.path)
            if not self._lock.try_exclusive():
                raise SettingsError(
                    f"another command is writing {self.path}", "wait for it, or name another file"
                )
            self._file = self.path.open("r+b")
            if rows:
                self._file.seek(self._ends[rows])
            self._file.truncate()
            if not rows:
                self._file.write(self._rows.header)
            self._file.flush()

    def write(self, said: Sequence[Answer]) -> None:
        """Add a batch; it is in the file when this returns."""
        assert self._file is not None
        lines = "".join(map(self._rows.line, said))
        with told(self.path):
            self._file.write(lines.encode("utf-8", "backslashreplace"))
            self._file.flush()

    def close(self, *, whole: bool) -> None:  # noqa: ARG002  # a file of lines is as good unfinished
        """Let go of it, once it outlives a power cut."""
        if self._file is None or self._lock is None:
            return
        with told(self.path), self._file as file:
            os.fsync(file.fileno())
        self._lock.close()
        self._file = self._lock = None


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Say in one sentence why a file cannot be written."""
    try:
        yield
    except OSError as error:
        raise disk_error(error, path) from error
