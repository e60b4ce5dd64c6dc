"""What was moved where, written down before it is done: JSON lines that any crash leaves readable.

::

    {"format": 1, "root": ...}                                       the data folder of what follows
    {"do": "move", "origin": ..., "to": ..., "reason": ..., "size": ..., "sha256": ..., ...}
    {"do": "rename", ...}                                            a new name in the same folder
    {"do": "write", "to": ..., "size": ..., "sha256": ...}           a new file in the data folder
    {"undone": 3}                                                    that record (from 0) is back

Places are relative: in quarantine to its folder, others to the data folder, so that both may be
moved. Bytes that are not UTF-8 are lone surrogates, as Python spells file names.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from imgtrain.errors import DataError, DiskError, disk_error
from imgtrain.files import sync_folder

FORMAT = 1
NAME = "journal.jsonl"


@dataclass(frozen=True, slots=True)
class Record:
    """One intent.

    Args:
        do: ``move`` into quarantine, ``rename`` in place, or ``write`` a new file.
        to: Where the file goes: for ``move`` in the quarantine, else in the data folder.
        origin: Where in the data folder it comes from; empty for ``write``.
        reason: Why, for people.
        size: In bytes.
        sha256: Of the content, or of a link's target.
        is_link: Whether it is a symbolic link.
    """

    do: Literal["move", "rename", "write"]
    to: str
    origin: str
    reason: str
    size: int
    sha256: str
    is_link: bool = False


class Journal:
    """The journal of a quarantine folder; one process at a time.

    Args:
        folder: The quarantine folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / NAME
        self._root = ""
        self._number = 0

    @contextlib.contextmanager
    def opened(self, root: Path, *, anew: bool = False) -> Iterator[list[Record | None]]:
        """Its records, None for what was put back; new ones can be added inside the block.

        Args:
            root: The data folder.
            anew: Begin one where there is none.

        Raises:
            DataError: If there is none, it is of another data folder, or another process works
                on it.
            DiskError: If it cannot be written.
        """
        if not anew and not self._path.is_file():
            raise DataError(
                f"{self.folder} is no quarantine: it has no {NAME}",
                "data clean --apply makes one; --restore puts back what is in it",
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("ab+")
        except OSError as error:
            raise _cannot(error, self._path) from error
        with self._file:
            self._lock()
            self._cut_off_half_a_line()
            records = self._records()
            if any(records):
                self._refuse_another(root)
            elif self._root != str(root):
                self._append({"format": FORMAT, "root": str(root)})
                sync_folder(self.folder)
                sync_folder(self.folder.parent)
            self._number = len(records)
            yield records

    def _lock(self) -> None:
        try:
            import fcntl
        except ImportError:  # Windows: nobody else is expected
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DataError(
                f"another process works on {self.folder}", "wait until it has ended"
            ) from error

    def _cut_off_half_a_line(self) -> None:
        """A crash while a line was written: what it announces was not begun."""
        self._file.seek(0)
        data = self._file.read()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            os.ftruncate(self._file.fileno(), whole)
        self._file.seek(0, os.SEEK_END)

    def _refuse_another(self, root: Path) -> None:
        """Files of one set must not get into another; only a folder that is gone has moved."""
        own = Path(self._root)
        if own.is_dir() and not own.samefile(root):
            raise DataError(
                f"{self.folder} holds files of {own}, not of {root}",
                f"imgtrain data clean {shlex.quote(str(own))} --restore --quarantine"
                f" {shlex.quote(str(self.folder))} puts them back; --quarantine DIR names another",
            )

    def _records(self) -> list[Record | None]:
        self._file.seek(0)
        found: list[Record | None] = []
        for number, line in enumerate(self._file, start=1):
            try:
                value = json.loads(line)
                if "undone" in value:
                    found[value["undone"]] = None
                elif "do" in value:
                    found.append(Record(**value))
                else:
                    self._root = value["root"]
            except (ValueError, TypeError, IndexError, KeyError) as error:
                raise DataError(f"{self._path}, line {number} cannot be read: {error}") from error
        self._file.seek(0, os.SEEK_END)
        return found

    def intend(self, record: Record) -> int:
        """Write down what will be done next, before it is done; its number."""
        self._append(asdict(record))
        self._number += 1
        return self._number - 1

    def undone(self, number: int) -> None:
        """Write down that a record is put back."""
        self._append({"undone": number})

    def _append(self, value: dict[str, Any]) -> None:
        try:
            self._file.write(json.dumps(value).encode("ascii") + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise _cannot(error, self._path) from error


def moved_from(folder: Path, root: Path) -> set[str]:
    """Origins of the files of ``root`` that were moved or renamed and are not back.

    Only a look: nothing is locked or written, and a journal that cannot be read says nothing.
    """
    found: list[str | None] = []
    known = ""
    try:
        with (folder / NAME).open(encoding="ascii") as lines:
            for line in lines:
                value = json.loads(line)
                if "undone" in value:
                    found[value["undone"]] = None
                elif "do" in value:
                    found.append(value["origin"])
                else:
                    known = value["root"]
    except (OSError, ValueError, LookupError, TypeError):
        pass  # half a line of a crash, or none
    return {origin for origin in found if origin} if known == str(root) else set()


def _cannot(error: OSError, path: Path) -> DiskError:
    found = disk_error(error, path)
    found.hint = "free some room or choose another place with --quarantine DIR"
    return found
