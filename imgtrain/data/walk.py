"""Walking a folder: which files are pictures, what is left out and told, links without circles."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from imgtrain.data.listing import Files, Names, count, shown, some
from imgtrain.errors import DataError

PICTURES = frozenset(
    b"apng avif bmp dib gif ico j2c j2k jfif jp2 jpe jpeg jpf jpg jpx mpo npy pbm pcx pfm pgm png"
    b" pnm ppm qoi ras sgi tga tif tiff webp".split()
)
LITTER = frozenset({b"__macosx", b"thumbs.db", b"desktop.ini", b"@eadir", b"lost+found"})
RECORD = b"dataset.json"  # what a fetched set says about itself
SHOWN = 4  # one more than a sentence names, so that it knows to end in "..."
LEFT_OUT = {
    "hidden": ("hidden file or folder", "hidden files and folders", "left out"),
    "other": ("file that is no picture", "files that are no pictures", "left out"),
    "stray": (
        "picture outside the class folders",
        "pictures outside the class folders",
        "left out",
    ),
    "broken": ("broken link or special file", "broken links or special files", "left out"),
    "circle": ("link to a folder already seen", "links to folders already seen", "not followed"),
    "folder": ("folder that is no part", "folders that are no parts", "left out"),
    "part": (
        "part without pictures in class folders",
        "parts without pictures in class folders",
        "left out",
    ),
    "empty": ("empty class folder", "empty class folders", "left out"),
    "alike": (
        "picture whose name reads like another's",
        "pictures whose names read like another's",
        "kept",
    ),
}


def is_picture(name: bytes) -> bool:
    """Whether the name ends like one of a picture."""
    return name.rpartition(b".")[2].lower() in PICTURES


def last_change(about: os.stat_result) -> int:
    """When a file was last changed, or put in the place of another, in nanoseconds."""
    return max(about.st_mtime_ns, about.st_ctime_ns)


def is_hidden(name: bytes) -> bool:
    """What people did not put there: dot files, and what systems leave behind."""
    return name[:1] == b"." or name.lower() in LITTER


@dataclass
class _Tally:
    """How many of a kind, and the first few names in alphabetical order."""

    number: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        self.number += 1
        if len(self.first) < SHOWN or name < self.first[-1]:
            self.first = sorted({*self.first, name})[:SHOWN]


class Walk:
    """The pictures under ``root``, in the order in which they are taken.

    Raises:
        DataError: In every method, if a folder cannot be read.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._names, self._sizes, self._times = Names(), array("q"), array("q")
        self._left: dict[str, _Tally] = {kind: _Tally() for kind in LEFT_OUT}

    def files(self) -> Files:
        """All that was taken."""
        return Files(self._root, self._names, self._sizes, self._times)

    def folders(self, *inside: bytes) -> list[bytes]:
        """Names of the visible folders directly in ``root/inside``; pictures there are strays."""
        above = self._above(inside)
        found = []
        for entry in self._scan(self._path(inside)):
            if not _is_folder(entry):
                kind = "stray" if is_picture(entry.name) else "other"
                self.leave_out(kind if _is_file(entry) else "broken", entry.name)
            elif _identity(entry.path) in above:
                self.leave_out("circle", entry.name)
            else:
                found.append(entry.name)
        return found

    def take(self, *inside: bytes) -> int:
        """Add every picture at any depth of ``root/inside``, sorted by name; how many they were."""
        names: list[bytes] = []
        sizes, times = array("q"), array("q")
        for name, entry in self._below(inside):
            try:
                stat = entry.stat()
            except OSError:
                self.leave_out("broken", name)
                continue
            names.append(name)
            sizes.append(stat.st_size)
            times.append(last_change(stat))
        for i in self._order(names):
            self._names.append(names[i])
            self._sizes.append(sizes[i])
            self._times.append(times[i])
        return len(names)

    def leave_out(self, kind: str, name: bytes) -> None:
        """Count what is not taken, to be told at the end."""
        self._left[kind].add(shown(name))

    def strays(self) -> int:
        """Pictures seen so far that lie in no class folder."""
        return self._left["stray"].number

    def notes(self) -> tuple[str, ...]:
        """A sentence for each kind of thing that was not taken."""
        sentences = []
        for kind, tally in self._left.items():
            one, many, fate = LEFT_OUT[kind]
            verb = "was" if tally.number == 1 else "were"
            if tally.number:
                sentences.append(
                    f"{count(tally.number, one, many)} ({some(tally.first)}) {verb} {fate}"
                )
        return tuple(sentences)

    def _below(self, inside: tuple[bytes, ...]) -> Iterator[tuple[bytes, os.DirEntry[bytes]]]:
        """Every picture file under ``root/inside``, with its name relative to the root."""
        top = self._path(inside)
        seen = self._above(inside) | {_identity(top)}
        waiting = [(top, b"/".join(inside) + b"/")]
        while waiting:
            folder, prefix = waiting.pop()
            for entry in self._scan(folder):
                name = prefix + entry.name
                if _is_folder(entry):
                    who = _identity(entry.path)
                    if who in seen:
                        self.leave_out("circle", name)
                    else:
                        seen.add(who)
                        waiting.append((entry.path, name + b"/"))
                elif not _is_file(entry):
                    self.leave_out("broken", name)
                elif is_picture(entry.name):
                    yield name, entry
                else:
                    self.leave_out("other", name)

    def _scan(self, folder: bytes) -> Iterator[os.DirEntry[bytes]]:
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if is_hidden(entry.name):
                        self.leave_out("hidden", entry.name)
                    elif entry.name != RECORD:
                        yield entry
        except OSError as error:
            raise DataError(
                f"cannot read the folder {shown(folder)}: {error.strerror or error}"
            ) from error

    def _order(self, names: list[bytes]) -> list[int]:
        """Positions of ``names`` in the order in which they read."""
        keys = names
        if not all(map(bytes.isascii, names)):
            keys = [shown(name).encode() for name in names]
        order = sorted(range(len(names)), key=keys.__getitem__)
        if keys is not names:
            for before, i in pairwise(order):
                if keys[before] == keys[i]:
                    self.leave_out("alike", names[i])
        return order

    def _above(self, inside: tuple[bytes, ...]) -> set[tuple[int, int]]:
        """Identities of the folders that contain ``root/inside``, the root among them."""
        return {_identity(self._path(inside[:depth])) for depth in range(len(inside) or 1)}

    def _path(self, inside: tuple[bytes, ...]) -> bytes:
        return os.path.join(os.fsencode(self._root), *inside)  # noqa: PTH118  # names are bytes


def _identity(folder: bytes) -> tuple[int, int]:
    try:
        stat = os.stat(folder)  # noqa: PTH116  # names are bytes
    except OSError as error:
        raise DataError(
            f"cannot read the folder {shown(folder)}: {error.strerror or error}"
        ) from error
    return stat.st_dev, stat.st_ino


def _is_folder(entry: os.DirEntry[bytes]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_file(entry: os.DirEntry[bytes]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link to itself
        return False
