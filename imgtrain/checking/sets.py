"""What only shows when all files are seen together: copies, leaks, conflicts, classes, names."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from imgtrain.checking.findings import Finding
from imgtrain.checking.judging import Limits
from imgtrain.checking.looks import Look
from imgtrain.checking.tree import Entry, Tree
from imgtrain.data.duplicates import ALONE, NEAR, Duplicates
from imgtrain.data.index import PARTS
from imgtrain.data.listing import count, some

TRAIN = PARTS[0]


def judge_set(
    tree: Tree, looks: Sequence[Look], duplicates: Duplicates, limits: Limits
) -> Iterator[Finding]:
    """Everything about the set as a whole."""
    if tree.refusal is not None:
        yield Finding("unusable", (), tree.refusal)
    for note in tree.notes:
        yield Finding("note", (), note)
    for name, reason in tree.broken:
        yield Finding("broken-link", (name,), reason)
    yield from collisions([*tree.folders, *(entry.name for entry in tree.entries)])
    yield from _copies(tree.entries, duplicates)
    yield from _torn_groups(tree.entries)
    yield from _channels(looks)
    good = [
        entry for entry, look in zip(tree.entries, looks, strict=True) if look.quality is not None
    ]
    yield from _classes(count_classes(good), limits.max_imbalance)


def count_classes(entries: Iterable[Entry]) -> dict[str, dict[str, int]]:
    """Pictures by class and part (``all`` without parts), classes in order of their names."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for entry in entries:
        if entry.label is not None:
            counts[entry.label][entry.part or "all"] += 1
    return {name: dict(counts[name]) for name in sorted(counts)}


def members(duplicates: Duplicates) -> list[list[int]]:
    """The positions of each cluster, in order."""
    found = np.flatnonzero(duplicates.clusters != ALONE)
    clusters: dict[int, list[int]] = defaultdict(list)
    for i in found.tolist():
        clusters[int(duplicates.clusters[i])].append(i)
    return list(clusters.values())


def _copies(entries: Sequence[Entry], duplicates: Duplicates) -> Iterator[Finding]:
    """Every cluster under the worst that is true of it; a conflict besides."""
    near = set(duplicates.clusters[duplicates.pairs[duplicates.kinds == NEAR][:, 0]].tolist())
    for cluster in members(duplicates):
        there = [entries[i] for i in cluster]
        files = tuple(entry.name for entry in there)
        other = int(duplicates.clusters[cluster[0]]) in near
        how = "re-encoded, resized or mirrored" if other else "the same bytes"
        parts = sorted({entry.part for entry in there if entry.part}, key=PARTS.index)
        labels = sorted({entry.label for entry in there if entry.label})
        if len(parts) > 1:
            yield Finding("leak", files, f"in {' and '.join(parts)}; {how}")
        if len(labels) > 1:
            yield Finding("conflict", files, f"as {some(labels, 6)}; {how}")
        if max(len(parts), len(labels)) <= 1:
            yield Finding("near-duplicate" if other else "exact-duplicate", files)


def _torn_groups(entries: Iterable[Entry]) -> Iterator[Finding]:
    groups: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.group and entry.part:
            groups[entry.group].append(entry)
    for name, there in groups.items():
        counts = Counter(str(entry.part) for entry in there)
        if len(counts) > 1:
            shares = ", ".join(f"{counts[part]:,} in {part}" for part in PARTS if counts[part])
            yield Finding(
                "group-leak", tuple(entry.name for entry in there), f"group {name}: {shares}"
            )


def _channels(looks: Iterable[Look]) -> Iterator[Finding]:
    names = {1: "grey", 3: "colour"}
    counts = Counter(look.planes for look in looks if look.quality is not None)
    if len(counts) > 1:
        shares = (f"{n:,} {names.get(c, f'of {c} planes')}" for c, n in sorted(counts.items()))
        yield Finding("channels", (), ", ".join(shares))


def _classes(counts: dict[str, dict[str, int]], most: float) -> Iterator[Finding]:
    parts = [part for part in PARTS if any(part in by_part for by_part in counts.values())]
    for part in parts:
        lacking = [name for name, by_part in counts.items() if part not in by_part]
        if lacking:
            what = count(len(lacking), "class", "classes")
            yield Finding("missing-class", (), f"{part} lacks {what}: {some(lacking, 6)}")
    where = TRAIN if TRAIN in parts else "all"
    sizes = {name: by_part[where] for name, by_part in counts.items() if where in by_part}
    if not sizes:
        return
    small, large = min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)
    if sizes[large] > most * sizes[small]:
        ratio = sizes[large] / sizes[small]
        yield Finding(
            "imbalance",
            (),
            f"{large} has {count(sizes[large], 'picture')}, {small} {sizes[small]:,}"
            f" ({ratio:.1f} to 1)",
        )


def collisions(names: Iterable[str]) -> Iterator[Finding]:
    """Names that are one on file systems which fold case, or compose letters."""
    known = list(names)
    twice = {name for name, number in Counter(known).items() if number > 1}
    alike: dict[str, list[str]] = defaultdict(list)
    for name in known:
        folder, _, own = name.rpartition("/")
        if folder in twice:  # two folders are one here, and so is all that is in them
            continue
        alike[f"{folder}/{unicodedata.normalize('NFC', own).casefold()}"].append(name)
    for same in alike.values():
        if len(same) > 1:
            detail = "" if len(set(same)) > 1 else "they differ in their Unicode form alone"
            yield Finding("name-collision", tuple(sorted(same)), detail)
