"""``folds.csv``: which picture is in which fold, written before the first training, read again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from imgtrain.data.folds import ABSENT, Folds
from imgtrain.data.index import Index
from imgtrain.data.listing import Ints, count, some
from imgtrain.data.tables import Table, read_table
from imgtrain.errors import DataError
from imgtrain.files import write_csv

HEADER = ("path", "label", "repeat", "fold", "group")
_MOST = 1_000_000


def write_folds(path: Path, index: Index, folds: Folds) -> None:
    """Write ``path,label,repeat,fold,group``, a line a picture and repeat.

    Fold 0 is the test part, -1 what is kept aside to pick an ensemble, and a picture that was left
    out has an empty cell.
    """
    write_csv(path, HEADER, _lines(index, folds))


def _lines(index: Index, folds: Folds) -> Iterator[tuple[str, str, int, int | None, str]]:
    names = _unit_names(index, folds.units)
    for repeat, row in enumerate(folds.numbers, start=1):
        for i, fold in enumerate(row.tolist()):
            shown = None if fold == ABSENT else fold
            label = index.classes[index.labels[i]]
            yield index.source.path(i), label, repeat, shown, names[i]


def _unit_names(index: Index, units: Ints | None) -> list[str]:
    """What the pictures that stay together are called: by their group, else by the first path."""
    length = len(index.labels)
    if units is None:
        return [""] * length
    _, first, which, sizes = np.unique(
        units, return_index=True, return_inverse=True, return_counts=True
    )
    names = [
        "" if index.groups is None else index.group_names[index.groups[i]] for i in first.tolist()
    ]
    names = [
        name or (index.source.path(i) if size > 1 else "")
        for name, i, size in zip(names, first.tolist(), sizes.tolist(), strict=True)
    ]
    return [names[number] for number in which.tolist()]


def read_folds(path: Path, index: Index) -> Folds:
    """The folds of a file that has at least the columns ``path`` and ``fold``.

    Raises:
        DataError: If its pictures are not those of ``index``, a picture is in two folds of a
            repeat, a label is another, or the folds are not 1, 2, ... of equal number.
    """
    table = read_table(path)
    wanted = _columns(path, table)
    places = {index.source.path(i): i for i in range(len(index.source))}
    rows: dict[int, dict[int, int]] = {}
    groups: dict[int, str] = {}
    unknown: list[str] = []
    for line, cells in table.rows([table.place(name) or 0 for name in wanted]):
        row = dict(zip(wanted, cells, strict=True))
        i = places.get(row["path"])
        if i is None:
            unknown.append(row["path"])
            continue
        label = index.classes[index.labels[i]]
        if row.get("label", label) != label:
            raise DataError(
                f"{path}, row {line}: {row['path']} is {row['label']!r} there and {label!r} here"
            )
        repeat = _number(path, line, row.get("repeat", "1"))
        here = rows.setdefault(repeat, {})
        if i in here:
            raise DataError(f"{path}, row {line}: {row['path']} stands twice in repeat {repeat}")
        here[i] = ABSENT if not row["fold"].strip() else _number(path, line, row["fold"])
        groups[i] = row.get("group", "")
    _refuse_others(path, index, rows, unknown)
    numbers = np.stack([_in_order(rows[repeat]) for repeat in sorted(rows)])
    return Folds(numbers, _per_repeat(path, index, numbers), _units_of(groups))


def torn_groups(index: Index, folds: Folds) -> tuple[str, ...]:
    """A warning where the data's groups are in more than one fold: a file may say so."""
    if index.groups is None:
        return ()
    torn: set[int] = set()
    for row in folds.numbers:
        used = row != ABSENT
        pairs = np.unique(np.stack([index.groups[used], row[used]], axis=1), axis=0)
        groups, times = np.unique(pairs[:, 0], return_counts=True)
        torn |= set(groups[times > 1].tolist())
    if not torn:
        return ()
    verb = "is" if len(torn) == 1 else "are"
    return (f"{count(len(torn), 'group')} {verb} in more than one fold: scores are too good",)


def _units_of(groups: dict[int, str]) -> Ints | None:
    """Equal numbers for pictures of a group; who has none is alone."""
    if not any(groups.values()):
        return None
    names = [(groups[i],) if groups[i] else ("", i) for i in sorted(groups)]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([numbers[name] for name in names], np.int64)


def _columns(path: Path, table: Table) -> list[str]:
    lacking = [name for name in ("path", "fold") if table.place(name) is None]
    if lacking:
        raise DataError(
            f"{path} has no column {' and no column '.join(lacking)}",
            "path and fold are needed; label and repeat are understood too",
        )
    return [name for name in HEADER if table.place(name) is not None]


def _number(path: Path, line: int, text: str) -> int:
    try:
        number = int(text)
    except ValueError as error:
        raise DataError(f"{path}, row {line}: {text!r} is no whole number") from error
    if abs(number) > _MOST:
        raise DataError(f"{path}, row {line}: there is no fold or repeat {text}")
    return number


def _in_order(row: dict[int, int]) -> Ints:
    return np.array([row[i] for i in sorted(row)], np.int64)


def _refuse_others(
    path: Path, index: Index, rows: dict[int, dict[int, int]], unknown: list[str]
) -> None:
    """The file names the same pictures as the data, in every repeat."""
    known = set.intersection(*map(set, rows.values())) if rows else set()
    missing = [index.source.path(i) for i in range(len(index.source)) if i not in known]
    told = []
    if unknown:
        told.append(f"{count(len(unknown), 'picture')} that the data has not ({some(unknown)})")
    if missing:
        told.append(f"not {count(len(missing), 'picture')} that it has ({some(missing)})")
    if told:
        raise DataError(
            f"{path} is of other pictures than {index.root}: it names {' and '.join(told)}",
            "give the folds.csv of the same pictures, or leave out --folds-file",
        )


def _per_repeat(path: Path, index: Index, numbers: Ints) -> int:
    """Folds of each repeat, once they are found to be sound."""
    found = [np.unique(row[row > 0]) for row in numbers]
    size = len(found[0])
    for repeat, folds in enumerate(found):
        if folds.tolist() != list(range(1 + repeat * size, 1 + (repeat + 1) * size)):
            there = some(folds.tolist(), 12) or "none"
            raise DataError(
                f"{path}: the folds of repeat {repeat + 1} are {there}",
                "they count 1, 2, ... and go on with the next repeat; 0 is the test part",
            )
    if size < 2:  # noqa: PLR2004  # one validates, the others are learnt from
        raise DataError(f"{path} has {count(size, 'fold')}, at least 2 are needed")
    kinds = np.clip(numbers, ABSENT - 1, 1)
    if (kinds != kinds[0]).any() or kinds.min() < ABSENT:
        raise DataError(
            f"{path}: other pictures are outside of the folds in one repeat than in another",
            "fold 0 (test) and empty cells are the same in every repeat",
        )
    for fold in range(1, size * len(numbers) + 1):
        _refuse_unlearnt(path, index, Folds(numbers, size).split(fold).train, fold)
    return size


def _refuse_unlearnt(path: Path, index: Index, train: Ints, fold: int) -> None:
    there = np.bincount(index.labels[train], minlength=len(index.classes))
    if there.min() == 0:
        name = index.classes[int(there.argmin())]
        raise DataError(f"{path}: fold {fold} leaves no picture of class {name!r} to learn from")
