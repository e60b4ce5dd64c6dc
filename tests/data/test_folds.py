"""How pictures are dealt out to folds, and the file that says so."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold
from test_split import Named, index_of

from imgtrain.data.dealing import deal
from imgtrain.data.duplicates import ALONE
from imgtrain.data.folds import ABSENT, make_folds
from imgtrain.data.folds_file import read_folds, torn_groups, write_folds
from imgtrain.data.split import chances, make_split
from imgtrain.errors import DataError, SettingsError

BALANCED = [0] * 50 + [1] * 33 + [2] * 17


def spread(labels, folds):
    """Largest distance of a fold's share of a class from an equal share, in pictures."""
    counts = np.stack(
        [np.bincount(labels[folds == f], minlength=labels.max() + 1) for f in set(folds)]
    )
    return np.abs(counts - counts.mean(axis=0)).max()


def test_classes_and_sizes_are_even_to_one_picture():
    """Without groups no fold has more than one picture more than another, of a class or of all."""
    index = index_of(BALANCED)

    made, told = make_folds(index, folds=4, ratio=(0.9, 0, 0.1))

    numbers = made.numbers[0]
    sizes = [int((numbers == fold).sum()) for fold in range(1, 5)]
    assert max(sizes) - min(sizes) <= 1
    for label in range(3):
        of_class = [int(((numbers == f) & (index.labels == label)).sum()) for f in range(1, 5)]
        assert max(of_class) - min(of_class) <= 1
    assert told == (
        "held out for test: 10 pictures (seed 0)",
        "folds: 4 of 22 to 23 pictures (stratified by class, seed 0)",
    )


def test_the_test_part_is_that_of_a_single_training():
    """With the same seed and shares, cross-validation and training hold out the same pictures."""
    index = index_of(BALANCED)

    made, _ = make_folds(index, folds=3, ratio=(0.7, 0.1, 0.2), seed=4)

    assert made.test().tolist() == make_split(index, (0.7, 0.1, 0.2), 4)[0].test.tolist()


def test_every_picture_outside_of_test_is_validated_once_a_repeat():
    """Its fold trains on the rest; repeats cut otherwise and hold out the same test part."""
    index = index_of(BALANCED)

    made, _ = make_folds(index, folds=5, repeats=2)

    assert made.total == 10
    for repeat in (1, 2):
        splits = [made.split(fold) for fold in range(1, 11) if made.repeat_of(fold) == repeat]
        assert sorted(np.concatenate([s.val for s in splits]).tolist()) == made.pool().tolist()
        for split in splits:
            assert sorted([*split.train, *split.val, *made.test()]) == list(range(100))
            assert not len(split.test)
    assert (made.numbers[0] + 5 != made.numbers[1])[made.pool()].any()


def test_a_picture_more_hardly_moves_the_others():
    """A picture's place is a hash of seed and path, not of its position."""
    labels = np.zeros(200, np.int64)
    index = index_of(labels)
    before = deal(labels, chances(index, np.arange(200), "x"), folds=5)
    more = replace(
        index, labels=np.zeros(201, np.int64), source=Named([*index.source._names, "new.png"])
    )

    after = deal(more.labels, chances(more, np.arange(201), "x"), folds=5)

    assert (before != after[:200]).sum() <= 5


@settings(max_examples=40, deadline=None)
@given(
    groups=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 12)), min_size=12, max_size=60),
    folds=st.integers(2, 5),
)
def test_groups_stay_whole_and_folds_are_as_even_as_scikit_learns(groups, folds):
    """No group is torn; classes are spread no worse than by StratifiedGroupKFold."""
    labels = np.array([label for label, size in groups for _ in range(size)] + [0, 1, 2, 3] * folds)
    units = [g for g, (_, size) in enumerate(groups) for _ in range(size)]
    units = np.array(units + list(range(len(groups), len(groups) + 4 * folds)))
    index = index_of(labels)

    ours = deal(labels, chances(index, np.arange(len(labels)), "0"), folds=folds, units=units)

    assert all(len(set(ours[units == unit])) == 1 for unit in set(units.tolist()))
    theirs = np.empty(len(labels), np.int64)
    cutter = StratifiedGroupKFold(folds)
    for fold, (_, val) in enumerate(cutter.split(labels, labels, units)):
        theirs[val] = fold
    assert spread(labels, ours) <= spread(labels, theirs) + 1


def test_copies_and_groups_hang_together():
    """What is linked by a copy or by a group, over both in turn, is in one fold or all in test."""
    groups = [i // 2 for i in range(60)]
    copies = np.full(60, ALONE)
    copies[[1, 2]] = 1  # groups 0 and 1
    copies[[3, 4]] = 3  # groups 1 and 2
    index = index_of([0, 1] * 30, groups=groups)

    made, told = make_folds(index, folds=3, copies=copies)

    assert len(set(made.numbers[0][:6].tolist())) == 1
    for group in range(30):
        assert len(set(made.numbers[0][2 * group : 2 * group + 2].tolist())) == 1
    assert any("whole groups" in sentence for sentence in told)


def test_copies_of_a_given_test_part_follow_on_leak():
    """They are told of, left out, or end the work."""
    parts = [0] * 30 + [2] * 10
    copies = np.full(40, ALONE)
    copies[[3, 33]] = 3
    index = index_of([0, 1] * 20, parts=parts)

    kept, told = make_folds(index, folds=3, copies=copies)
    fixed, _ = make_folds(index, folds=3, copies=copies, on_leak="fix")

    assert kept.numbers[0][3] > 0
    assert (
        "1 picture outside of test is in it, too (for example 000003.png = 000033.png)" in told[1]
    )
    assert fixed.numbers[0][3] == ABSENT
    with pytest.raises(DataError, match="is in it, too"):
        make_folds(index, folds=3, copies=copies, on_leak="error")


def test_copies_of_what_is_kept_aside_follow_on_leak():
    """Members are not picked on pictures of the folds, nor on those of the test part."""
    copies = np.full(50, ALONE)
    copies[[3, 33]], copies[[35, 45]] = 3, 35  # train and val, val and test
    index = index_of([0, 1] * 25, parts=[0] * 30 + [1] * 10 + [2] * 10)
    find = {"folds": 3, "copies": copies, "keep_aside": True}

    _, told = make_folds(index, **find)
    fixed, _ = make_folds(index, **find, on_leak="fix")

    assert any(
        "1 picture of the folds is kept aside, too (for example 000003.png = 000033.png): members "
        "are picked on what they learnt" in sentence
        for sentence in told
    )
    assert any("(for example 000035.png = 000045.png): the test" in sentence for sentence in told)
    assert fixed.numbers[0][[3, 33, 35, 45]].tolist() == [ABSENT, -1, ABSENT, 0]


def test_groups_on_both_sides_are_told(tmp_path):
    """Of the data's own test part and the folds; of the folds of a file."""
    groups = [i // 2 for i in range(40)]
    index = index_of([0, 1] * 20, parts=[0] * 29 + [2] * 11, groups=groups)

    _, told = make_folds(index, folds=3)
    path = _file(tmp_path, [(i, 1 + (i + 1) // 2 % 3) for i in range(40)])

    words = "1 group has pictures in more than one of the data's own parts: scores on such parts"
    assert any(words in sentence for sentence in told)
    assert torn_groups(index, read_folds(path, index)) == (
        "20 groups are in more than one fold: scores are too good",
    )


def test_a_file_that_went_through_a_spreadsheet_is_read(tmp_path):
    """Windows' line ends, semicolons, a byte order mark, rows and columns in another order."""
    index = index_of([0, 1] * 20, groups=[i // 2 for i in range(40)])
    made, _ = make_folds(index, folds=3, repeats=2)
    write_folds(tmp_path / "folds.csv", index, made)
    head, *lines = [line.split(",") for line in (tmp_path / "folds.csv").read_text().splitlines()]
    lines = [";".join(reversed(row)) for row in (head, *reversed(lines))]
    (tmp_path / "excel.csv").write_bytes("\r\n".join(lines).encode("utf-8-sig"))

    found = read_folds(tmp_path / "excel.csv", index)

    assert found.numbers.tolist() == made.numbers.tolist()
    assert found.units.tolist() == made.units.tolist()


def test_a_val_part_joins_the_folds_unless_it_is_kept_aside():
    """To pick an ensemble's members it stays outside; without one there is nothing to pick by."""
    parts = [0] * 30 + [1] * 10 + [2] * 10
    index = index_of([0, 1] * 25, parts=parts)

    joined, told = make_folds(index, folds=3)
    aside, _ = make_folds(index, folds=3, keep_aside=True)

    assert joined.pool().tolist() == list(range(40))
    assert "the data's own val part, 10 pictures, joins the folds" in told
    assert aside.pool().tolist() == list(range(30))
    assert aside.aside().tolist() == list(range(30, 40))
    with pytest.raises(SettingsError, match="leaves val none"):
        make_folds(index_of(BALANCED), folds=3, ratio=(0.9, 0, 0.1), keep_aside=True)


@pytest.mark.parametrize(
    ("index", "folds", "words"),
    [
        (index_of([0] * 20 + [1] * 4), 5, "class 'c0001' has 3 pictures outside of test"),
        (
            index_of([0, 1] * 18, groups=[i // 12 for i in range(36)]),
            5,
            "2 groups cannot be dealt out to 5 folds",
        ),
        (
            index_of([0] * 12 + [1] * 6, groups=[*range(12), *[12] * 6], parts=[0] * 18),
            3,
            "all pictures of class 'c0001' are of one group",
        ),
    ],
)
def test_too_few_for_so_many_folds(index, folds, words):
    """Named before any work: the class and its pictures, or the groups."""
    with pytest.raises(DataError, match=words):
        make_folds(index, folds=folds)


def test_the_file_gives_the_folds_back(tmp_path):
    """Numbers, groups and what was left out survive, whatever the names."""
    parts = [0] * 30 + [2] * 10
    copies = np.full(40, ALONE)
    copies[[3, 33]], copies[[5, 8]] = 3, 5
    index = index_of([0, 1] * 20, parts=parts)
    index = replace(index, source=Named([f'ü,"{i}\n.png' for i in range(40)]))
    made, _ = make_folds(index, folds=3, repeats=2, copies=copies, on_leak="fix")

    write_folds(tmp_path / "folds.csv", index, made)
    found = read_folds(tmp_path / "folds.csv", index)

    assert found.numbers.tolist() == made.numbers.tolist()
    assert found.per_repeat == 3
    write_folds(tmp_path / "again.csv", index, found)
    assert (tmp_path / "again.csv").read_text() == (tmp_path / "folds.csv").read_text()


def _file(tmp_path, rows):
    path = tmp_path / "f.csv"
    path.write_text("path,fold\n" + "".join(f"{i:06}.png,{fold}\n" for i, fold in rows))
    return path


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([(i, 1 + i // 2 % 2) for i in range(7)], r"not 1 picture that it has \(000007.png\)"),
        (
            [(i, 1 + i // 2 % 2) for i in range(9)],
            r"1 picture that the data has not",
        ),
        ([(i, 1 + i % 2) for i in range(8)], "fold 1 leaves no picture of class 'c0000'"),
        ([(i, 1 + 2 * (i // 2 % 2)) for i in range(8)], "the folds of repeat 1 are 1, 3"),
        ([(0, 1), *((i, 1 + i // 2 % 2) for i in range(8))], "000000.png stands twice"),
        ([(i, 1) for i in range(8)], "1 fold, at least 2"),
        ([(i, "a") for i in range(8)], "'a' is no whole number"),
        ([(i, "9" * 30) for i in range(8)], "row 2: there is no fold or repeat 999"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path, rows, words):
    """It says which pictures, which row, which fold."""
    with pytest.raises(DataError, match=words):
        read_folds(_file(tmp_path, rows), index_of([0, 1] * 4))


def test_the_split_of_many_seeds_differs():
    """Another seed deals out otherwise; the same one gives the same."""
    index = index_of(BALANCED)
    found = Counter(
        tuple(make_folds(index, folds=5, seed=seed)[0].numbers[0].tolist()) for seed in (0, 1, 2, 2)
    )

    assert sorted(found.values()) == [1, 1, 2]
