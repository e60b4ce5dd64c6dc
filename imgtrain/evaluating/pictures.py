"""Labelled pictures that a model is scored on: a run's own parts, or others."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from imgtrain import console
from imgtrain.continuing import provenance_of, read_saved
from imgtrain.data.folds_file import read_folds
from imgtrain.data.index import Index, Source, read_labelled
from imgtrain.data.listing import NO_PART, PARTS, Ints, count, some
from imgtrain.data.split import HELD
from imgtrain.errors import DataError, RunError, SettingsError, nearest
from imgtrain.evaluating.places import name_of
from imgtrain.known_sets import settle_root
from imgtrain.rundir import RunDir
from imgtrain.settings.schema import Settings


class Picked:
    """Some pictures of a source, numbered anew; satisfies ``Source``."""

    def __init__(self, source: Source, positions: Ints) -> None:
        self._source, self._positions = source, positions.tolist()

    def __len__(self) -> int:
        """How many."""
        return len(self._positions)

    def path(self, i: int) -> str:
        """As the source has it."""
        return self._source.path(self._positions[i])

    def read(self, i: int) -> bytes:
        """The file's bytes."""
        return self._source.read(self._positions[i])

    def stamp(self, i: int) -> tuple[int, int]:
        """Size in bytes, time of change in ns."""
        return self._source.stamp(self._positions[i])


@dataclass(frozen=True, eq=False)
class Labelled:
    """Pictures whose classes are known.

    Args:
        index: Where they are.
        positions: Shape (N,), in the index.
        labels: Shape (N,), in the order of the model's classes.
        part: Which part of the data they are; None where it has none.
        run: The run whose part this is; None for other pictures.
    """

    index: Index
    positions: Ints
    labels: Ints
    part: str | None
    run: Path | None = None

    @cached_property
    def source(self) -> Picked:
        """These pictures alone."""
        return Picked(self.index.source, self.positions)

    @property
    def name(self) -> str:
        """What an evaluation on them is called."""
        return name_of(self.index.root, self.part, is_own=self.run is not None)

    @property
    def words(self) -> str:
        """``the test part of runs/photos``, ``/photos/new``."""
        if self.run is not None:
            return f"the {self.part} part of {self.run}"
        return f"{self.index.root}{'' if self.part is None else f', part {self.part}'}"

    def take(self, rows: Ints) -> Labelled:
        """Some of them."""
        return Labelled(self.index, self.positions[rows], self.labels[rows], self.part, self.run)


@dataclass(frozen=True, eq=False)
class Own:
    """The pictures that a run was cut from, as they are now.

    Args:
        run: The run.
        index: The pictures.
        parts: Positions in each part.
    """

    run: RunDir
    index: Index
    parts: dict[str, Ints]

    def part(self, name: str, classes: Sequence[str]) -> Labelled:
        """One of its parts.

        Raises:
            DataError: If the run has no such part, or its pictures are gone.
        """
        positions = self.parts.get(name, np.empty(0, np.int64))
        if not len(positions):
            there = [part for part, found in self.parts.items() if len(found) and part in HELD]
            raise DataError(
                f"{self.run.path} has no {name} part{_gone(self.index, name)}",
                f"it has {some(there, 4) or 'none'}: name one with --split, "
                "or other labelled pictures with --data",
            )
        return labelled(self.index, positions, classes, name, run=self.run.path)


def _gone(index: Index, name: str) -> str:
    return f" in {index.root}" if name in HELD else ""


def read_own(run: RunDir) -> Own:
    """The pictures that a run was cut from, in the parts that it wrote down.

    What changed since is said; what is still there is used.

    Raises:
        RunError: If the run does not say what it was trained on.
        DataError: If its pictures are gone.
    """
    about = provenance_of(run)
    root = about.get("data_root")
    if not root:
        raise RunError(
            f"{run.path} does not say which pictures it was trained on",
            "name labelled pictures with --data PATH",
        )
    group_by = read_saved(run).data.group_by  # brings its plugins, too
    try:
        index = read_labelled(str(root), group_by=group_by)
    except DataError as error:
        raise DataError(
            f"the pictures of {run.path} cannot be found: {error.message}",
            "bring them back, or name labelled pictures with --data PATH",
        ) from error
    if (run.path / "folds.csv").is_file():
        folds = read_folds(run.path / "folds.csv", index)
        parts = {"train": folds.pool(), "val": folds.aside(), "test": folds.test()}
    else:
        parts = _parts(run, index, is_same=about.get("fingerprint") == index.fingerprint)
    return Own(run, index, parts)


def is_own_data(run: RunDir, index: Index) -> bool:
    """Whether these are the very pictures that the run was cut from."""
    return provenance_of(run).get("fingerprint") == index.fingerprint


def _parts(run: RunDir, index: Index, *, is_same: bool) -> dict[str, Ints]:
    file = run.path / "splits.csv"
    try:
        with file.open(encoding="utf-8", newline="") as handle:
            rows = {row["path"]: (row["part"], row["label"]) for row in csv.DictReader(handle)}
    except (OSError, KeyError, TypeError, csv.Error) as error:
        raise RunError(
            f"{file} cannot be read: {error}", "name labelled pictures with --data PATH"
        ) from error
    found: dict[str, list[int]] = {}
    for i in range(len(index.source)):
        part, _ = rows.get(index.source.path(i), ("", ""))
        found.setdefault(part, []).append(i)
    if not is_same:
        console.warn(_difference(run, index, rows))
    return {part: np.array(i, np.int64) for part, i in found.items() if part}


def _difference(run: RunDir, index: Index, rows: dict[str, tuple[str, str]]) -> str:
    """What is not as it was when the run began."""
    now = {
        index.source.path(i): index.classes[label] for i, label in enumerate(index.labels.tolist())
    }
    lost = [path for path, (part, _) in rows.items() if part in HELD and path not in now]
    new = len(now.keys() - rows.keys())
    other = [path for path, label in now.items() if rows.get(path, ("", label))[1] != label]
    told = [
        f"{count(len(lost), 'picture')} of its parts {_verb(lost)} gone (for example {lost[0]})"
        if lost
        else "",
        f"{count(new, 'picture')} more than then" if new else "",
        f"{count(len(other), 'label')} changed (for example of {other[0]})" if other else "",
    ]
    what = "; ".join(filter(None, told)) or "some files have other sizes"
    return f"{index.root} is not as it was when {run.path} was trained: {what}"


def _verb(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def read_given(
    data: str, split: str | None, classes: Sequence[str], own: RunDir | None
) -> Labelled:
    """Labelled pictures of the user's; where they are the run's own, its parts count.

    Args:
        data: A folder, a manifest, or a known set's name.
        split: The part, where there are parts; ``test`` if not given.
        classes: The model's.
        own: The run that is scored, if it is one.

    Raises:
        DataError: If there are no such pictures, or classes that the model does not know.
        SettingsError: If the data have no parts, and one is asked for.
    """
    root = settle_root(Settings.model_validate({"data": {"root": data}}))
    index = read_labelled(root)
    for sentence in index.notes:
        console.say(sentence)
    if own is not None and is_own_data(own, index):
        console.say(f"{data} is what {own.path} was trained on: its own parts count")
        return read_own(own).part(split or "test", classes)
    part = _part_of(index, split)
    positions = np.arange(len(index.labels))
    if part is not None:
        positions = np.flatnonzero(index.given == PARTS.index(part))
    return labelled(index, positions, classes, part)


def _part_of(index: Index, split: str | None) -> str | None:
    there = [part for number, part in enumerate(PARTS) if (index.given == number).any()]
    if not there:
        if split is not None:
            raise SettingsError(
                f"{index.root} has no parts, --split {split} asks for one", "leave out --split"
            )
        return None
    part = split or "test"
    if part not in there:
        raise DataError(
            f"{index.root} has no {part} part", f"it has {', '.join(there)}: name one with --split"
        )
    return part


def labelled(
    index: Index,
    positions: Ints,
    classes: Sequence[str],
    part: str | None,
    *,
    run: Path | None = None,
) -> Labelled:
    """Pictures with the model's numbers for their classes, which are matched by name.

    Raises:
        DataError: If the model does not know one of them.
    """
    numbers = {name: i for i, name in enumerate(classes)}
    present = np.unique(index.labels[positions]).tolist()
    unknown = [index.classes[label] for label in present if index.classes[label] not in numbers]
    if unknown:
        hint = nearest(unknown[0], classes)
        raise DataError(
            f"{index.root}: the model knows no class {some([*map(repr, unknown)], 6)}{hint}",
            f"its classes are {some(list(classes), 12)}; rename these, or leave them out",
        )
    table = np.array([numbers.get(name, NO_PART) for name in index.classes], np.int64)
    return Labelled(index, positions, table[index.labels[positions]], part, run)
