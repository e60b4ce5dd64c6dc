"""Folds for cross-validation: the test part is held out first, the rest is dealt out.

What belongs together stays together: the data's own groups, and pictures that are copies of each
other. Which fold a picture is in is a hash of the seed, the repeat and its path, as in
``imgtrain.data.split``: it depends on no order of files and no library's generator.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from imgtrain.data.dealing import deal
from imgtrain.data.duplicates import ALONE
from imgtrain.data.index import Index
from imgtrain.data.listing import Ints, count, some
from imgtrain.data.split import TEST as TEST_PART
from imgtrain.data.split import TRAIN, VAL, Ratio, Split, chances, make_split, straddling
from imgtrain.errors import DataError, SettingsError

TEST, ASIDE, ABSENT = 0, -1, -2
"""In place of a fold: held out, kept aside to pick the members of an ensemble, or left out."""


@dataclass(frozen=True, eq=False)
class Folds:
    """Which fold validates each picture.

    Args:
        numbers: Shape (R, N), one row a repeat: the fold, counted on from one repeat to the next
            (1 to K, K + 1 to 2 K, ...), or ``TEST``, ``ASIDE``, ``ABSENT``.
        per_repeat: K.
        units: Shape (N,), equal for pictures that stay together; None where each is alone.
    """

    numbers: Ints
    per_repeat: int
    units: Ints | None = None

    @property
    def total(self) -> int:
        """Folds of all repeats."""
        return len(self.numbers) * self.per_repeat

    def repeat_of(self, fold: int) -> int:
        """The repeat of a fold, both from 1."""
        return (fold - 1) // self.per_repeat + 1

    def split(self, fold: int) -> Split:
        """The parts when this fold validates. Their test part is empty: no training may see it."""
        numbers = self.numbers[self.repeat_of(fold) - 1]
        return Split(
            train=np.flatnonzero((numbers > 0) & (numbers != fold)),
            val=np.flatnonzero(numbers == fold),
            test=np.empty(0, np.int64),
            unused=np.flatnonzero(numbers <= 0),
        )

    def pool(self) -> Ints:
        """Positions of the pictures that are in folds."""
        return np.flatnonzero(self.numbers[0] > 0)

    def test(self) -> Ints:
        """Positions of the test part."""
        return np.flatnonzero(self.numbers[0] == TEST)

    def aside(self) -> Ints:
        """Positions of what is kept aside."""
        return np.flatnonzero(self.numbers[0] == ASIDE)


def make_folds(
    index: Index,
    *,
    folds: int,
    repeats: int = 1,
    ratio: Ratio = (0.8, 0.1, 0.1),
    seed: int = 0,
    copies: Ints | None = None,
    on_leak: str = "warn",
    keep_aside: bool = False,
) -> tuple[Folds, tuple[str, ...]]:
    """Hold out the test part, and deal the rest out to folds, stratified by class.

    The data's own test part wins; else it is drawn as for a single training, so that without groups
    and copies the two are the same. The data's own val part joins the folds, unless it is kept
    aside.

    Args:
        index: The pictures.
        folds: How many, at least 2.
        repeats: How often everything but the test part is dealt out.
        ratio: Shares of train, val and test; a drawn test part takes its share, and val its own
            where it is kept aside.
        seed: Of the draw.
        copies: Shape (N,), equal for pictures that are the same, ``ALONE`` for others; None where
            nobody looked.
        on_leak: What happens where a picture of the data's own test part is in train, too:
            ``error``, ``warn`` or ``fix``.
        keep_aside: Whether a val part stays outside the folds.

    Returns:
        The folds, and what there is to say about them.

    Raises:
        DataError: If a class or the groups do not suffice for so many folds; if copies of the
            data's own test part are in train and ``on_leak`` is ``error``.
        SettingsError: If there is no val part to keep aside.
    """
    units = _units(index.groups, copies)
    split, told = _held_out(index, units, ratio, seed, keep_aside=keep_aside)
    aside = split.val if keep_aside else np.empty(0, np.int64)
    pool = split.train if keep_aside else np.union1d(split.train, split.val)
    if copies is not None:
        pool, aside, sentences = _apart(
            index, pool, aside, split.test, copies=copies, on_leak=on_leak
        )
        told += sentences
    check_enough(index, pool, units, folds)
    numbers = np.full((repeats, len(index.labels)), ABSENT, np.int64)
    numbers[:, split.test], numbers[:, aside] = TEST, ASIDE
    together = None if units is None else units[pool]
    for repeat in range(repeats):
        chance = chances(index, pool, f"fold{seed}/{repeat}")
        dealt = deal(index.labels[pool], chance, folds=folds, units=together)
        numbers[repeat, pool] = dealt + 1 + repeat * folds
    made = Folds(numbers, folds, units)
    parts = np.full(len(index.labels), TRAIN)
    parts[made.aside()], parts[made.test()] = VAL, TEST_PART
    told += (_summary(made, index, seed, copies), *straddling(index, parts))
    return made, (*told, *_lacking(made, index))


def check_enough(index: Index, pool: Ints, units: Ints | None, folds: int) -> None:
    """Every class is in every fold, and no fold is empty.

    Raises:
        DataError: With the class or the groups that are too few.
    """
    counts = np.bincount(index.labels[pool], minlength=len(index.classes))
    least = int(counts.argmin())
    if counts[least] < folds:
        found = f"class {index.classes[least]!r} has {count(int(counts[least]), 'picture')}"
        way = f"ask for at most --folds {counts[least]}, " if counts[least] > 1 else ""
        raise DataError(
            f"{found} outside of test, {folds} folds need {folds}",
            f"{way}add pictures of it, or leave the class out",
        )
    if units is None:
        return
    groups = len(np.unique(units[pool]))
    if groups < folds:
        raise DataError(
            f"{count(groups, 'group')} cannot be dealt out to {folds} folds",
            f"ask for at most --folds {groups}" if groups > 1 else "group by something finer",
        )
    pairs = np.unique(np.stack([index.labels[pool], units[pool]], axis=1), axis=0)
    of_class = np.bincount(pairs[:, 0], minlength=len(index.classes))
    if of_class.min() < 2:  # noqa: PLR2004  # one to learn from, one to validate
        name = index.classes[int(of_class.argmin())]
        raise DataError(
            f"all pictures of class {name!r} are of one group: the fold with it would have none "
            "to learn from",
            "add pictures of it that belong to other groups, or leave the class out",
        )


def _units(groups: Ints | None, copies: Ints | None) -> Ints | None:
    """Equal numbers for what hangs together by groups, by copies, or by both in turn."""
    if copies is None or not (copies != ALONE).any():
        return groups
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    places = np.arange(len(copies))
    mates = np.where(copies == ALONE, places, copies)
    if groups is not None:
        _, first, which = np.unique(groups, return_index=True, return_inverse=True)
        mates, places = np.concatenate([mates, first[which]]), np.tile(places, 2)
    links = coo_array((np.ones(len(mates), np.int8), (places, mates)), shape=(len(copies),) * 2)
    found: Ints = connected_components(links, directed=False)[1].astype(np.int64)
    return found


def _held_out(
    index: Index, units: Ints | None, ratio: Ratio, seed: int, *, keep_aside: bool
) -> tuple[Split, tuple[str, ...]]:
    """The test part, and val where it is kept aside; train is the rest, or lacks given val."""
    given = [bool((index.given == part).any()) for part in range(3)]
    if keep_aside and not given[VAL] and ratio[1] == 0:
        raise SettingsError(
            "--ensemble greedy picks its members on pictures outside the folds, and --split-ratio "
            "leaves val none",
            "give val a share, or take --ensemble mean",
        )
    shares = ratio if keep_aside else (ratio[0] + ratio[1], 0.0, ratio[2])
    names = () if units is None else tuple("" for _ in range(int(units.max()) + 1))
    split, _ = make_split(replace(index, groups=units, group_names=names), shares, seed)
    told = []
    if not len(split.test):
        told.append("no test part is held out: the folds' own scores are all there is")
    elif given[TEST_PART]:
        told.append(f"test as the data has it: {count(len(split.test), 'picture')}")
    else:
        told.append(f"held out for test: {count(len(split.test), 'picture')} (seed {seed})")
    if keep_aside:
        told.append(f"kept aside to pick the ensemble: {count(len(split.val), 'picture')}")
    elif given[VAL]:
        told.append(f"the data's own val part, {len(split.val):,} pictures, joins the folds")
    return split, tuple(told)


def _apart(
    index: Index, pool: Ints, aside: Ints, test: Ints, *, copies: Ints, on_leak: str
) -> tuple[Ints, Ints, tuple[str, ...]]:
    """The pool and what is kept aside, without copies of held-out pictures where that is asked."""
    torn, told = _copied(
        index,
        (np.union1d(pool, aside), test),
        copies,
        on_leak,
        words=("outside of test {are} in it, too", "the test score is too good"),
    )
    pool, aside = np.setdiff1d(pool, torn), np.setdiff1d(aside, torn)
    torn, more = _copied(
        index,
        (pool, aside),
        copies,
        on_leak,
        words=("of the folds {are} kept aside, too", "members are picked on what they learnt"),
    )
    return np.setdiff1d(pool, torn), aside, (*told, *more)


def _copied(
    index: Index, sides: tuple[Ints, Ints], copies: Ints, on_leak: str, *, words: tuple[str, str]
) -> tuple[Ints, tuple[str, ...]]:
    """Which pictures of the first side leave it as copies of the second, and what to say."""
    first, second = sides
    there = np.unique(copies[second])
    torn = first[np.isin(copies[first], there[there != ALONE])]
    if not len(torn):
        return torn, ()
    twin = second[copies[second] == copies[torn[0]]][0]
    where = words[0].format(are="is" if len(torn) == 1 else "are")
    sentence = (
        f"{count(len(torn), 'picture')} {where} "
        f"(for example {index.source.path(int(torn[0]))} = {index.source.path(int(twin))})"
    )
    if on_leak == "error":
        raise DataError(
            sentence, "--on-leak fix leaves them out of the folds, --on-leak warn goes on"
        )
    if on_leak == "fix":
        return torn, (f"{sentence}; left out of the folds",)
    return torn[:0], (f"{sentence}: {words[1]} (--on-leak fix leaves them out)",)


def _summary(folds: Folds, index: Index, seed: int, copies: Ints | None) -> str:
    sizes = [int((row == fold).sum()) for row in folds.numbers for fold in np.unique(row[row > 0])]
    low, high = min(sizes), max(sizes)
    times = len(folds.numbers)
    how = "stratified by class"
    how += ", whole groups" if index.groups is not None else ""
    pool = folds.pool()
    alike = 0 if copies is None else int((copies[pool] != ALONE).sum())
    how += f", {alike:,} copies of each other together" if alike else ""
    return (
        f"folds: {folds.per_repeat}{f' x {times}' if times > 1 else ''} of "
        f"{low if low == high else f'{low:,} to {high:,}'} pictures ({how}, seed {seed})"
    )


def _lacking(folds: Folds, index: Index) -> list[str]:
    """Classes that some fold has no picture of: whole groups can do that."""
    short: set[int] = set()
    for fold in range(1, folds.total + 1):
        there = np.bincount(index.labels[folds.split(fold).val], minlength=len(index.classes))
        short |= set(np.flatnonzero(there == 0).tolist())
    if not short:
        return []
    names = some([repr(index.classes[label]) for label in sorted(short)], 5)
    noun = count(len(short), "class", "classes")
    return [f"{noun} in too few groups for every fold: {names}; some folds do not validate them"]
