"""Looking at every file of a set, with threads, and all findings about it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from imgtrain import console
from imgtrain.checking.findings import Finding, sort_findings
from imgtrain.checking.judging import Limits, judge
from imgtrain.checking.looks import Look, look_at, oversized, unreadable
from imgtrain.checking.sets import judge_set
from imgtrain.checking.tree import Entry, Tree, read_tree
from imgtrain.data.duplicates import Duplicates, find_duplicates
from imgtrain.data.prints import Prints, blank_prints
from imgtrain.data.walk import is_picture

_CHUNK = 256
_WORTH_A_BAR = 200
_HEAD = 2**16
"""Bytes that tell whether a file under no picture's name is one."""


@dataclass(frozen=True, eq=False)
class Survey:
    """A set, what each of its files is, and what was found.

    Args:
        tree: The files.
        looks: One a file, in the order of ``tree.entries``.
        prints: Shape (N,), not taken where there is no picture.
        duplicates: Positions in ``tree.entries``.
        findings: The worst first.
    """

    tree: Tree
    looks: list[Look]
    prints: Prints
    duplicates: Duplicates
    findings: list[Finding]

    @property
    def pictures(self) -> int:
        """How many files could be decoded."""
        return sum(look.quality is not None for look in self.looks)


def survey(
    root: str, *, limits: Limits, group_by: str | None = None, jobs: int = 1, near: bool = True
) -> Survey:
    """Look at every file under ``root``.

    Args:
        root: Folder, manifest, or name of a known set.
        limits: From where on something is reported.
        group_by: As in training.
        jobs: Threads.
        near: Whether copies of other bytes are looked for, too.

    Raises:
        DataError: If there is no such set.
        SettingsError: If ``group_by`` fits nothing.
    """
    tree = read_tree(root, group_by)
    prints = blank_prints(len(tree.entries))
    looks: list[Look] = []

    def look(i: int) -> Look:
        try:
            found, taken = _look(tree, tree.entries[i], limits.max_pixels)
        except OSError as error:
            return unreadable(error)
        if taken is not None:
            prints[i] = taken
        return found

    numbers = range(len(tree.entries))
    with _told(len(numbers)) as done, ThreadPoolExecutor(jobs) as pool:
        for start in range(0, len(numbers), _CHUNK):  # so that Ctrl-C waits for a few only
            for found in pool.map(look, numbers[start : start + _CHUNK]):
                looks.append(found)
                done()
    duplicates = find_duplicates(prints, near=near)
    findings = [
        finding
        for entry, seen in zip(tree.entries, looks, strict=True)
        for finding in judge(entry.name, seen, limits)
    ]
    findings += judge_set(tree, looks, duplicates, limits)
    return Survey(tree, looks, prints, duplicates, sort_findings(findings))


def _look(tree: Tree, entry: Entry, max_pixels: int) -> tuple[Look, Prints | None]:
    """A look at a file; of films and the like that lie about, only the beginning is read."""
    listed = entry.number is not None
    size = _size(tree, entry)
    meant = listed or is_picture(entry.name.encode("utf-8", "surrogateescape"))
    if not meant and size > _HEAD:
        found, _ = look_at(read_entry(tree, entry, _HEAD), entry.name, max_pixels)
        if found.problem == "other-file" and found.reason:
            return replace(found, size=size), None
    large = oversized(size, max_pixels)
    if large is not None:
        return large, None
    return look_at(read_entry(tree, entry), entry.name, max_pixels, listed=listed)


def _size(tree: Tree, entry: Entry) -> int:
    if entry.place is not None:
        return os.stat(entry.place).st_size  # noqa: PTH116  # names are bytes
    assert tree.source is not None
    assert entry.number is not None
    return tree.source.stamp(entry.number)[0]


def read_entry(tree: Tree, entry: Entry, most: int = -1) -> bytes:
    """The bytes of a file that has a place, at most so many; of others all.

    Raises:
        OSError: If it cannot be read.
    """
    if entry.place is not None:
        with open(entry.place, "rb") as file:  # noqa: PTH123  # names are bytes
            return file.read(most)
    assert tree.source is not None
    assert entry.number is not None
    return tree.source.read(entry.number)


@contextlib.contextmanager
def _told(total: int) -> Iterator[Callable[[], None]]:
    """A progress bar where there is a terminal and enough to do."""
    if total < _WORTH_A_BAR or not console.is_live():
        yield lambda: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Left

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Left())
    with Progress(*columns, console=console.console(), transient=True) as bar:
        task = bar.add_task("looking at files", total=total)
        yield lambda: bar.advance(task)
