"""What the readers of folders, manifests and known sets share: names, packed paths, a listing."""

from __future__ import annotations

import os
import unicodedata
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

PARTS = ("train", "val", "test")
PART_WORDS = {
    "train": 0,
    "training": 0,
    "val": 1,
    "valid": 1,
    "validation": 1,
    "dev": 1,
    "test": 2,
    "testing": 2,
}
NO_PART = -1

Ints = NDArray[np.int64]


class Source(Protocol):
    """Pictures as integers from 0."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def path(self, i: int) -> str:
        """The name of picture ``i`` as people read it: with slashes, NFC, valid UTF-8."""
        ...

    def read(self, i: int) -> bytes:
        """The whole file.

        Raises:
            OSError: If it cannot be read.
        """
        ...

    def stamp(self, i: int) -> tuple[int, int]:
        """Size in bytes and time of the last change in nanoseconds."""
        ...


def shown(raw: bytes) -> str:
    r"""A file name as text: NFC, and bytes that are not UTF-8 as ``\xff``."""
    if raw.isascii():
        return raw.decode("ascii")
    return unicodedata.normalize("NFC", raw.decode("utf-8", "backslashreplace"))


class Names:
    """Many byte strings in one buffer: a million ``str`` would take 100 MB and slow collections."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._ends = array("q", [0])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, i: int) -> bytes:
        if not 0 <= i < len(self):
            raise IndexError(i)
        return bytes(self._bytes[self._ends[i] : self._ends[i + 1]])

    def append(self, name: bytes) -> None:
        """Add one at the end."""
        self._bytes += name
        self._ends.append(len(self._bytes))


class Files:
    """Files under a folder, as a ``Source``.

    Args:
        root: Folder that the names are relative to (absolute names stand for themselves).
        names: One name a file, with slashes, as the file system spells it.
        sizes: In bytes.
        times: Of the last change, in nanoseconds.
    """

    def __init__(self, root: str, names: Names, sizes: array[int], times: array[int]) -> None:
        self._root = os.fsencode(os.path.abspath(root))  # noqa: PTH100  # links stay as they are
        self.names, self._sizes, self._times = names, sizes, times

    def __len__(self) -> int:
        return len(self.names)

    def path(self, i: int) -> str:
        """The name as people read it."""
        return shown(self.names[i])

    def read(self, i: int) -> bytes:
        """The whole file."""
        with open(os.path.join(self._root, self.names[i]), "rb") as file:  # noqa: PTH118, PTH123  # names are bytes
            return file.read()

    def stamp(self, i: int) -> tuple[int, int]:
        """Size in bytes and time of the last change, when the folder was read."""
        return self._sizes[i], self._times[i]


@dataclass(frozen=True, eq=False)
class Listing:
    """Labelled pictures in their order: by part, class and name.

    ``labels`` count in ``classes``; ``given`` is the part that the data itself names, or -1;
    ``groups`` names each picture's group, b"" where it has none, and ``groups_by`` the column that
    says so.
    """

    classes: tuple[str, ...]
    source: Source
    labels: Ints
    given: NDArray[np.int8]
    groups: Names | None = None
    groups_by: str | None = None
    natural: bool = True
    notes: tuple[str, ...] = ()


def some(names: Sequence[object], most: int = 3) -> str:
    """The first few of ``names``, and ``...`` where there are more."""
    return ", ".join(str(name) for name in names[:most]) + (", ..." if len(names) > most else "")


def count(number: int, one: str, many: str = "") -> str:
    """``1 picture``, ``2,000 pictures``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def twins(names: Iterable[tuple[str, bytes]]) -> tuple[bytes, bytes] | None:
    """Two different spellings on disk that read the same, if any."""
    seen: dict[str, bytes] = {}
    for name, raw in names:
        if seen.setdefault(name, raw) != raw:
            return seen[name], raw
    return None
