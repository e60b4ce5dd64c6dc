"""Which pictures are to be scored: files, folders, globs, lists, manifests, addresses."""

from __future__ import annotations

import errno
import os
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator
from glob import glob, has_magic
from pathlib import Path

from imgtrain.data.listing import Names, some
from imgtrain.data.manifest import find_file
from imgtrain.data.tables import SUFFIXES, read_table
from imgtrain.data.walk import Walk
from imgtrain.errors import DataError, SettingsError

_SCHEMES = ("http://", "https://")


class Listed:
    """Pictures in their order, packed: a hundred thousand take a few megabytes. A ``Source``.

    Names are as they were given; those of a manifest's rows are relative to it.

    Args:
        fetch: Reads what is behind an address; None refuses addresses.
    """

    def __init__(self, fetch: Callable[[str], bytes] | None) -> None:
        self._fetch = fetch
        self._names, self._labels = Names(), Names()
        self._roots, self._root_of = [""], array("l")
        self.has_labels = self.has_addresses = False

    def add(self, name: str, *, root: str = "", label: str = "") -> None:
        """Take one more.

        Raises:
            SettingsError: If it is an address, and nobody asked to fetch any.
        """
        if is_address(name):
            self.has_addresses = True
            if self._fetch is None:
                raise SettingsError(
                    f"{name} is an address, and nothing is fetched unasked", "add --urls"
                )
        if root != self._roots[-1]:
            self._roots.append(root)
        self._root_of.append(len(self._roots) - 1)
        self._names.append(os.fsencode(name))
        self._labels.append(label.encode("utf-8", "surrogateescape"))

    def __len__(self) -> int:
        """How many."""
        return len(self._names)

    def path(self, i: int) -> str:
        """As it was given."""
        return os.fsdecode(self._names[i])

    def label(self, i: int) -> str | None:
        """What a manifest says it is; None where no manifest has a label."""
        if not self.has_labels:
            return None
        return self._labels[i].decode("utf-8", "surrogateescape")

    def read(self, i: int) -> bytes:
        """The file's bytes, or what is behind the address.

        Raises:
            OSError: If they cannot be had.
        """
        name = self.path(i)
        if is_address(name):
            assert self._fetch is not None
            return self._fetch(name)
        return Path(self._place(i, name)).read_bytes()

    def stamp(self, i: int) -> tuple[int, int]:
        """Size in bytes, time of change in ns; zeros for an address."""
        name = self.path(i)
        if is_address(name):
            return 0, 0
        found = Path(self._place(i, name)).stat()
        return found.st_size, found.st_mtime_ns

    def _place(self, i: int, name: str) -> str:
        if "\0" in name:  # as in a list from find -print0
            raise OSError(errno.EINVAL, "the name holds a zero byte")
        root = self._roots[self._root_of[i]]
        return os.path.join(root, find_file(root, name)[0]) if root else name  # noqa: PTH118  # names may be any bytes


def is_address(name: str) -> bool:
    """Whether a name is that of something on the web."""
    return name[:8].lower().startswith(_SCHEMES)


def list_pictures(names: Iterable[str], *, fetch: Callable[[str], bytes] | None) -> Listed:
    """Files as they are; pictures in folders, below globs, in manifests, and listed on stdin.

    A name that matches nothing is passed on: its row will say that it is not there.

    Raises:
        DataError: If there are none, or a folder or manifest cannot be read.
        SettingsError: If one is an address, and ``fetch`` is None.
    """
    asked, listed = list(names), Listed(fetch)
    for name in asked:
        if name == "-":
            lines = (line.rstrip(b"\r\n") for line in sys.stdin.buffer)
            _add(listed, (os.fsdecode(line) for line in lines if line.strip()))
        elif is_address(name):
            listed.add(name)
        elif os.path.isdir(name):  # noqa: PTH112  # unlike Path's, never raises
            _add(listed, _inside(name))
        elif Path(name).suffix.lower() in SUFFIXES:
            _add_rows(listed, Path(name))
        elif not os.path.lexists(name) and has_magic(name):
            found = glob(name, recursive=True)  # noqa: PTH207  # relative, absolute and ** alike
            _add(listed, sorted(f for f in found if Path(f).is_file()) or [name])
        else:
            listed.add(name)
    if not len(listed):
        raise DataError(
            f"no pictures in {some(asked)}",
            "give files, folders, globs, or - for stdin",
        )
    return listed


def _add(listed: Listed, names: Iterable[str]) -> None:
    for name in names:
        listed.add(name)


def _inside(folder: str) -> Iterator[str]:
    """Every picture at any depth, sorted; hidden ones are left out, links followed once."""
    walk = Walk(folder)
    walk.take()
    above, names = str(Path(folder)), walk.files().names
    for i in range(len(names)):
        yield os.path.join("" if above == "." else above, os.fsdecode(names[i]).lstrip("/"))  # noqa: PTH118  # a million of them


def _add_rows(listed: Listed, manifest: Path) -> None:
    """The pictures of a manifest, in the order of its rows, with its labels where it has some."""
    table = read_table(manifest)
    path, label = table.place("path"), table.place("label")
    if path is None:
        raise DataError(
            f"{manifest} has no column path; its columns are: {some(table.columns, 12) or 'none'}",
            "a manifest names a picture in each row; label is carried through",
        )
    listed.has_labels = listed.has_labels or label is not None
    root = str(manifest.parent)
    for number, cells in table.rows([path] if label is None else [path, label]):
        name, said = cells[0].strip(), "" if label is None else cells[1].strip()
        if not name:
            raise DataError(f"{manifest}, row {number}: it has no path")
        listed.add(name, root="" if is_address(name) else root, label=said)
