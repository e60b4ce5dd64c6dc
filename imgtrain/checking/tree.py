"""Which files there are: all of them, those that training leaves out as well."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from imgtrain.data.index import PARTS, Index, read_index
from imgtrain.data.listing import NO_PART, PART_WORDS, Source, shown
from imgtrain.data.walk import is_hidden
from imgtrain.errors import DataError, SettingsError


@dataclass(frozen=True, slots=True)
class Entry:
    """One file.

    Args:
        name: As people read it, relative to the root.
        place: Where it lies, as the file system spells it; None for a set without files.
        number: Its position in the source, or None where training leaves it out.
        label: Name of its class, or None.
        part: ``train``, ``val``, ``test``, or None where the data has no parts.
        group: Name of its group, or None.
    """

    name: str
    place: bytes | None
    number: int | None
    label: str | None
    part: str | None
    group: str | None = None


@dataclass
class Tree:
    """All files of a set.

    Args:
        root: Absolute path, or the name of a known set.
        is_folder: Whether it is a folder of files.
        entries: Sorted by name.
        source: What reads the entries that have no place.
        folders: Names of all folders, with slashes.
        broken: Links that lead nowhere, pipes and devices, and folders that cannot be read.
        notes: What reading the set said.
        refusal: Why it cannot be trained on, or None.
    """

    root: str
    is_folder: bool
    entries: list[Entry] = field(default_factory=list)
    source: Source | None = None
    folders: list[str] = field(default_factory=list)
    broken: list[tuple[str, str]] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    refusal: str | None = None


def absolute(root: str) -> str:
    """The absolute path of what a user typed; links stay as they are.

    Raises:
        SettingsError: If it is empty, as a variable that is not set: the folder one happens to be
            in is not meant.
    """
    if not root:
        raise SettingsError("PATH is empty", "the folder one is in is written as a dot: .")
    return os.path.abspath(os.path.expanduser(root))  # noqa: PTH100, PTH111  # see above


def read_tree(root: str, group_by: str | None = None) -> Tree:
    """List every file of a folder, manifest or known set.

    Raises:
        SettingsError: If ``root`` is empty, or ``group_by`` fits nothing.
        DataError: If there is no such thing, or a manifest that cannot be read.
    """
    place = absolute(root)
    if not os.path.isdir(place):  # noqa: PTH112  # unlike Path's, never raises
        return _listed(read_index(root, group_by=group_by))
    tree = Tree(place, is_folder=True)
    index = None
    try:
        index = read_index(root, group_by=group_by)
        tree.notes = index.notes
    except DataError as error:
        tree.refusal = f"{error.message}; {error.hint}" if error.hint else error.message
    _walk(tree, _by_name(index) if index else {}, index)
    tree.entries.sort(key=lambda entry: entry.name)
    return tree


def _listed(index: Index) -> Tree:
    """A manifest or known set: its pictures and nothing else."""
    tree = Tree(index.root, is_folder=False, source=index.source, notes=index.notes)
    tree.entries = [_entry(index, i, None) for i in range(len(index.labels))]
    return tree


def _entry(index: Index, i: int, place: bytes | None) -> Entry:
    given = int(index.given[i])
    return Entry(
        name=index.source.path(i),
        place=place,
        number=i,
        label=index.classes[index.labels[i]],
        part=None if given == NO_PART else PARTS[given],
        group=None if index.groups is None else index.group_names[index.groups[i]] or None,
    )


def _by_name(index: Index) -> dict[str, int]:
    return {index.source.path(i): i for i in range(len(index.labels))}


def _walk(tree: Tree, numbers: dict[str, int], index: Index | None) -> None:
    """Every visible file, at whatever depth; each folder once."""
    top = os.fsencode(tree.root)
    seen: set[tuple[int, int]] = set()
    waiting = [(top, b"")]
    while waiting:
        folder, prefix = waiting.pop()
        try:
            about = os.stat(folder)  # noqa: PTH116  # names are bytes
            if (about.st_dev, about.st_ino) in seen:
                continue
            seen.add((about.st_dev, about.st_ino))
            entries = list(os.scandir(folder))
        except OSError as error:
            tree.broken.append((shown(prefix.rstrip(b"/")) or ".", error.strerror or str(error)))
            continue
        for found in entries:
            name = prefix + found.name
            if is_hidden(found.name):
                continue
            if _is(found, "dir"):
                tree.folders.append(shown(name))
                waiting.append((found.path, name + b"/"))
            elif _is(found, "file"):
                i = numbers.get(shown(name))
                tree.entries.append(
                    _guessed(name, found.path)
                    if index is None or i is None
                    else _entry(index, i, found.path)
                )
            else:
                what = "it leads nowhere" if found.is_symlink() else "a pipe, a device or the like"
                tree.broken.append((shown(name), what))


def _is(entry: os.DirEntry[bytes], what: str) -> bool:
    try:
        return entry.is_dir() if what == "dir" else entry.is_file()
    except OSError:  # a link to itself
        return False


def _guessed(name: bytes, place: bytes) -> Entry:
    """A file outside the index: part and class by its folders."""
    inside = shown(name).split("/")[:-1]
    part = PART_WORDS.get(inside[0].casefold()) if inside else None
    label = inside[1:2] if part is not None else inside[:1]
    return Entry(
        name=shown(name),
        place=place,
        number=None,
        label=label[0] if label else None,
        part=None if part is None else PARTS[part],
    )
