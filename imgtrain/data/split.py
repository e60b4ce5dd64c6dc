"""Which picture is for training, validation and test: the data's own parts, or a stratified draw.

A picture's place in the draw is a hash of the seed and its path. So the split depends on nothing
but these (no order of files, no library's generator), and a new picture hardly moves the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imgtrain.data.grouped import draw_groups
from imgtrain.data.index import Index
from imgtrain.data.listing import NO_PART, PARTS, Ints, count, some
from imgtrain.errors import DataError, SettingsError
from imgtrain.files import write_csv

Ratio = tuple[float, float, float]
TRAIN, VAL, TEST = range(3)
HELD = ("train", "val", "calibration", "test")
"""All parts with pictures in use; of copies, the later part keeps its own."""

WRITTEN = (*HELD, "unused")
"""What ``splits.csv`` calls the parts."""


@dataclass(frozen=True, eq=False)
class Split:
    """Positions in the ``Index``, sorted; no position is in two parts.

    ``unused`` are those that were left out on purpose: beyond a subset, or seen in another part.
    ``calibration`` is empty unless it is asked for: probabilities are made honest on it, nothing is
    learnt from it or selected by it.
    """

    train: Ints
    val: Ints
    test: Ints
    unused: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    calibration: Ints = field(default_factory=lambda: np.empty(0, np.int64))

    def part(self, name: str) -> Ints:
        """The positions of one of ``WRITTEN``."""
        positions: Ints = getattr(self, name)
        return positions

    def __str__(self) -> str:
        """``80 train, 10 val, 10 test``: how many pictures are in use for what."""
        named = {name: len(self.part(name)) for name in HELD}
        shown = (name for name in HELD if name != "calibration" or named[name])
        return ", ".join(f"{named[name]} {name}" for name in shown)

    def used(self) -> Ints:
        """The positions of all pictures in use, part after part."""
        return np.concatenate([self.train, self.val, self.calibration, self.test])


def make_split(index: Index, ratio: Ratio, seed: int) -> tuple[Split, tuple[str, ...]]:
    """Cut the pictures into parts.

    The data's own parts win. A part that it lacks is held out of its train part, stratified by
    class and in whole groups, unless its share is 0; test never serves as val.

    Args:
        index: The pictures.
        ratio: Shares of train, val and test; only their proportions count.
        seed: Of the draw.

    Returns:
        The split, and what there is to say about it.

    Raises:
        SettingsError: If the shares leave nothing for train.
    """
    _refuse_ratio(ratio)
    has_parts = bool((index.given != NO_PART).any())
    present = [bool((index.given == part).any()) for part in range(3)]
    wanted = [part for part in (VAL, TEST) if not present[part] and ratio[part] > 0]
    parts = np.maximum(index.given, TRAIN).astype(np.int64)
    if wanted:
        pool = np.flatnonzero(parts == TRAIN)
        shares = np.array([ratio[part] for part in (TRAIN, *wanted)])
        drawn = _draw(index, pool, shares / shares.sum(), str(seed))
        parts[pool] = np.array((TRAIN, *wanted))[drawn]
    split = Split(*(np.flatnonzero(parts == part) for part in range(3)))
    sentences = [_summary(index, split, seed, wanted if has_parts else None)]
    sentences += _small_classes(index, parts, {VAL, TEST} & {*wanted})
    return split, (*sentences, *straddling(index, parts))


def hold_out_calibration(
    index: Index, split: Split, share: float, seed: int
) -> tuple[Split, tuple[str, ...]]:
    """Take ``share`` of the training pictures aside for calibration.

    Drawn as the other parts are: stratified by class, in whole groups, by a hash of seed and path.

    Returns:
        The split, and what there is to say about it.

    Raises:
        DataError: If no picture can be spared.
    """
    train = split.train
    shares = np.array([1 - share, share])
    drawn = _draw(index, train, shares, f"calibration{seed}")
    held = replace(split, train=train[drawn == 0], calibration=train[drawn == 1])
    if not len(held.calibration):
        raise DataError(
            f"--calibration-fraction {share:g} of {count(len(train), 'training picture')} leaves "
            "none for calibration",
            "every class keeps one to train on: add pictures, or ask for a larger fraction",
        )
    told = f"calibration: {len(held.calibration):,} of {len(train):,} training pictures held out"
    return held, (told, *_not_in(index, held.calibration, "calibration"))


def write_splits(path: Path, index: Index, split: Split) -> None:
    """Write ``path,label,part,group``, a line a picture in the order of the index."""
    write_csv(path, ("path", "label", "part", "group"), _lines(index, split))


def _lines(index: Index, split: Split) -> Iterator[tuple[str, str, str, str | None]]:
    parts = np.full(len(index.labels), NO_PART)
    for number, name in enumerate(WRITTEN):
        parts[split.part(name)] = number
    for i in np.flatnonzero(parts != NO_PART).tolist():
        group = None if index.groups is None else index.group_names[index.groups[i]]
        yield index.source.path(i), index.classes[index.labels[i]], WRITTEN[parts[i]], group


def _refuse_ratio(ratio: Ratio) -> None:
    if not (all(np.isfinite(ratio)) and min(ratio) >= 0 and ratio[TRAIN] > 0):
        raise SettingsError(
            f"data.split_ratio {', '.join(f'{share:g}' for share in ratio)} leaves no train part",
            "give three shares of train, val and test, for example --split-ratio 0.8,0.1,0.1",
        )


def _draw(index: Index, pool: Ints, shares: NDArray[np.float64], seed: str) -> Ints:
    """For every picture of ``pool`` a position in ``shares``; 0 is train."""
    chance = chances(index, pool, seed)
    labels = index.labels[pool]
    if index.groups is not None:
        return draw_groups(labels, index.groups[pool], chance, shares)
    drawn = np.zeros(len(pool), np.int64)
    owed = np.zeros(len(shares))
    order = np.lexsort((chance, labels))
    for members in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
        numbers = _numbers(len(members), shares, owed)
        drawn[members] = np.repeat(np.arange(len(shares)), numbers)
    return drawn


def _numbers(size: int, shares: NDArray[np.float64], owed: NDArray[np.float64]) -> list[int]:
    """How many of a class's ``size`` pictures go to train and to each other part.

    Fractions are carried over to the next class in ``owed``, so that many small classes do not add
    up to a part that is too small. Train gets one picture first, then the other parts, the last
    (test) before the one before it.
    """
    numbers = [0] * len(shares)
    left = size - 1
    for part in range(len(shares) - 1, 0, -1):
        exact = size * shares[part] + owed[part]
        numbers[part] = min(max(round(exact), 1), left)
        owed[part] = np.clip(exact - numbers[part], -1, 1)
        left -= numbers[part]
    numbers[TRAIN] = left + 1
    return numbers


def chances(index: Index, pool: Ints, seed: str) -> NDArray[np.uint64]:
    """A random number for every picture of ``pool``, a hash of ``seed`` and its path."""
    salt = f"{seed}\0".encode()
    path = index.source.path
    return np.fromiter(
        (
            int.from_bytes(hashlib.blake2b(salt + path(i).encode(), digest_size=8).digest(), "big")
            for i in pool.tolist()
        ),
        np.uint64,
        len(pool),
    )


def _summary(index: Index, split: Split, seed: int, held_out: list[int] | None) -> str:
    sizes = ", ".join(f"{name} {len(split.part(name)):,}" for name in PARTS)
    how = f"stratified by class{', whole groups' if index.groups is not None else ''}, seed {seed}"
    if held_out is None:
        return f"split: {sizes} pictures ({how})"
    if not held_out:
        return f"split as the data has it: {sizes} pictures"
    names = " and ".join(PARTS[part] for part in held_out)
    return f"the data has no {names}: held out of its train ({how}); now {sizes} pictures"


def _small_classes(index: Index, parts: Ints, drawn: set[int]) -> list[str]:
    """Which classes the drawn parts lack."""
    return [
        sentence
        for part in sorted(drawn)
        for sentence in _not_in(index, np.flatnonzero(parts == part), PARTS[part])
    ]


def _not_in(index: Index, positions: Ints, part: str) -> list[str]:
    """A sentence about the classes that ``part`` has no picture of, if there are any."""
    there = np.bincount(index.labels[positions], minlength=len(index.classes))
    lacking = [repr(index.classes[label]) for label in np.flatnonzero(there == 0)]
    if not lacking:
        return []
    unit = "groups" if index.groups is not None else "pictures"
    what = f"{count(len(lacking), 'class', 'classes')} with too few {unit} for every part"
    return [f"{what} {'is' if len(lacking) == 1 else 'are'} not in {part}: {some(lacking, 5)}"]


def straddling(index: Index, parts: Ints) -> list[str]:
    """A warning where the data's own parts share a group.

    Args:
        index: The pictures.
        parts: Shape (N,), each one's part.
    """
    if index.groups is None:
        return []
    pairs = np.unique(np.stack([index.groups, parts], axis=1), axis=0)
    torn = int((np.unique(pairs[:, 0], return_counts=True)[1] > 1).sum())
    if not torn:
        return []
    verb = "has" if torn == 1 else "have"
    what = f"{count(torn, 'group')} {verb} pictures in more than one of the data's own parts"
    return [f"{what}: scores on such parts are too good"]
