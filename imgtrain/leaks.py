"""Before training: is a picture of val, calibration or test in train, too?

Prints are taken from the decoded pictures that the first epoch wants anyway, and are kept between
runs.
"""

from __future__ import annotations

import contextlib
import hashlib
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from imgtrain import console
from imgtrain.data.duplicates import ALONE, find_duplicates
from imgtrain.data.index import Index
from imgtrain.data.listing import Ints, count, some
from imgtrain.data.prints import PrintBook, take_print
from imgtrain.data.split import HELD, Split
from imgtrain.data.subset import without
from imgtrain.engine.world import World
from imgtrain.errors import DataError, DiskError
from imgtrain.files import cache_folder, replacing, write_csv
from imgtrain.loading.loader import Pictures

SEARCH = 2
"""Raised whenever the same prints give other leaks."""

_CHUNK = 512
_WORTH_A_BAR = 500
_TRAIN = 0


@dataclass(frozen=True, eq=False)
class Leaks:
    """Pictures that are the same and lie in more than one part.

    Args:
        pictures: Shape (L,), positions in the index, sorted by cluster.
        clusters: Shape (L,), equal for pictures that are the same.
        parts: Shape (L,), positions in ``HELD``.
    """

    pictures: Ints
    clusters: Ints
    parts: Ints

    def __len__(self) -> int:
        """How many clusters."""
        return len(np.unique(self.clusters))

    def seen_elsewhere(self) -> Ints:
        """What training must not see: copies in each part of what a later part of ``HELD`` has."""
        highest = dict.fromkeys(self.clusters.tolist(), _TRAIN)
        for cluster, part in zip(self.clusters.tolist(), self.parts.tolist(), strict=True):
            highest[cluster] = max(highest[cluster], part)
        top = np.array([highest[cluster] for cluster in self.clusters.tolist()], np.int64)
        return np.sort(self.pictures[self.parts < top])

    def write(self, path: Path, index: Index) -> None:
        """One line a picture: ``cluster,path,part,label``."""
        rows = (
            (cluster, index.source.path(i), HELD[part], index.classes[index.labels[i]])
            for i, cluster, part in zip(
                self.pictures.tolist(), self.clusters.tolist(), self.parts.tolist(), strict=True
            )
        )
        write_csv(path, ("cluster", "path", "part", "label"), rows)


def gate(
    pictures: Pictures, index: Index, split: Split, world: World, *, policy: str, threads: int
) -> tuple[Split, Leaks | None]:
    """Look for leaks, and do what ``--on-leak`` says.

    Args:
        pictures: Decoded once here, and kept in their store for the first epoch.
        index: The pictures.
        split: Their parts.
        world: Each process takes its share of the prints.
        policy: ``error``, ``warn``, ``fix`` or ``off``.
        threads: How many decode.

    Returns:
        The split, without the copies for ``fix``; and the leaks, if there are any.

    Raises:
        DataError: If there are leaks and the policy is ``error``.
    """
    used = split.used()
    if policy == "off" or len(used) == len(split.train):
        return split, None
    book = _prints(pictures, index, used, world, threads)
    leaks = world.gather(_remembered(book, split) if world.is_first else None)[0]
    if not len(leaks):
        return split, None
    sentence = _sentence(leaks, index)
    if policy == "error":
        raise DataError(
            sentence,
            "--on-leak fix leaves them out of train, --on-leak warn goes on; "
            f"imgtrain data validate {index.root} shows all",
        )
    if policy == "warn":
        console.warn(f"{sentence}: scores are too good (--on-leak fix; see leaks.csv)")
        return split, leaks
    gone = leaks.seen_elsewhere()
    console.warn(f"{sentence}; {count(len(gone), 'copy', 'copies')} left out (see leaks.csv)")
    kept = without(split, gone)
    lost = np.setdiff1d(index.labels[split.train], index.labels[kept.train])
    if len(lost):
        names = some([repr(index.classes[label]) for label in lost.tolist()], 5)
        console.warn(f"every training picture of {names} was such a copy: nothing is learnt of it")
    return kept, leaks


def _remembered(book: PrintBook, split: Split) -> Leaks:
    """What a search of the same prints in the same parts found before, else a search."""
    used, parts = _used(book, split)
    digest = hashlib.sha256(f"{SEARCH}".encode())
    for array in (used, parts, book.prints[used]):
        digest.update(np.ascontiguousarray(array).tobytes())
    place = cache_folder() / "prints" / f"leaks-{digest.hexdigest()[:32]}.npz"
    try:
        with place.open("rb") as file, np.load(file) as found:
            return Leaks(found["pictures"], found["clusters"], found["parts"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        pass
    leaks = find_leaks(book, split)
    with contextlib.suppress(DiskError), replacing(place) as handle:
        np.savez(handle, pictures=leaks.pictures, clusters=leaks.clusters, parts=leaks.parts)
    return leaks


def _used(book: PrintBook, split: Split) -> tuple[Ints, Ints]:
    """Positions of the pictures in a part, and the part of each."""
    parts = np.full(len(book.prints), -1, np.int64)
    for number, name in enumerate(HELD):
        parts[split.part(name)] = number
    used = np.flatnonzero(parts >= 0)
    return used, parts[used]


def find_leaks(book: PrintBook, split: Split) -> Leaks:
    """Clusters of equal pictures that touch more than one part."""
    used, parts = _used(book, split)
    clusters = find_duplicates(book.prints[used]).clusters
    parts = parts[clusters != ALONE]
    used, clusters = used[clusters != ALONE], clusters[clusters != ALONE]
    pairs = np.unique(np.stack([clusters, parts], axis=1), axis=0)
    names, places = np.unique(pairs[:, 0], return_counts=True)
    torn = np.isin(clusters, names[places > 1])
    used, clusters, parts = used[torn], clusters[torn], parts[torn]
    order = np.argsort(clusters, kind="stable")
    _, numbers = np.unique(clusters[order], return_inverse=True)
    return Leaks(used[order], numbers.astype(np.int64) + 1, parts[order])


def find_copies(
    pictures: Pictures, index: Index, world: World, *, threads: int, used: Ints | None = None
) -> Ints:
    """Which pictures of the whole set are the same.

    Args:
        pictures: Decoded once here, and kept in their store.
        index: The pictures.
        world: Each process takes its share of the prints.
        threads: How many decode.
        used: Positions that are looked at, sorted; others are not read, and alone. All if None.

    Returns:
        Shape (N,), the smallest position of each picture's cluster, or ``ALONE``.
    """
    used = np.arange(len(index.labels)) if used is None else used
    book = _prints(pictures, index, used, world, threads)
    found = world.from_first(lambda: find_duplicates(book.prints[used]).clusters)
    clusters = np.full(len(index.labels), ALONE, np.int64)
    clusters[used] = np.where(found == ALONE, ALONE, used[found])
    return clusters


def _prints(pictures: Pictures, index: Index, used: Ints, world: World, threads: int) -> PrintBook:
    """Prints of all pictures that are used, taken where they are not known."""
    book = PrintBook(index.source, index.root, f"side {pictures.preprocess.side}")
    missing = np.intersect1d(used, book.missing())
    mine = missing[world.rank :: world.size]

    def take(numbers: Ints) -> int:
        for i in numbers.tolist():
            pixels = pictures.get(i)
            if pixels is None:
                continue
            with contextlib.suppress(OSError):  # gone since: the loader will say so
                book.put(i, take_print(pixels, index.source.read(i)))
        return len(numbers)

    with _told(len(mine)) as done, ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(mine), _CHUNK):  # so that Ctrl-C waits for a few only
            chunk = mine[start : start + _CHUNK]
            for number in pool.map(take, np.array_split(chunk, 4 * threads)):
                done(number)
    for numbers, prints in world.gather((mine, book.prints[mine])):
        book.prints[numbers] = prints
    if world.is_first:
        book.save()
    return book


@contextlib.contextmanager
def _told(total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar where there is a terminal and enough to do."""
    if total < _WORTH_A_BAR or not console.is_live():
        yield lambda _: None
        return
    from rich.progress import Progress

    with Progress(console=console.console(), transient=True) as bar:
        task = bar.add_task("looking for copies", total=total)
        yield lambda number: bar.advance(task, number)


def _sentence(leaks: Leaks, index: Index) -> str:
    """``3 pictures of test are in train, too (for example a.jpg = b.jpg)``."""
    first = leaks.pictures[leaks.clusters == leaks.clusters[0]]
    example = " = ".join(index.source.path(i) for i in first[:2].tolist())
    counts = [
        count(found, "picture") + f" of {HELD[later]} in {HELD[earlier]}"
        for earlier, later in sorted(combinations(range(len(HELD)), 2), key=_gravity)
        if (found := _shared(leaks, earlier, later))
    ]
    return f"the same pictures are in two parts: {some(counts)} (for example {example})"


def _gravity(pair: tuple[int, int]) -> tuple[int, int]:
    """What training saw comes first, then what is scored last."""
    earlier, later = pair
    return earlier, -later


def _shared(leaks: Leaks, earlier: int, later: int) -> int:
    """Pictures of ``later`` that have a copy in ``earlier``."""
    there = np.isin(leaks.clusters, leaks.clusters[leaks.parts == earlier])
    return int((there & (leaks.parts == later)).sum())
