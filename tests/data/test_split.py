"""How pictures are cut into parts."""

import csv
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgtrain.data.index import Index, read_index
from imgtrain.data.split import hold_out_calibration, make_split, write_splits
from imgtrain.errors import DataError, SettingsError

USUAL = (0.8, 0.1, 0.1)


class Named:
    """Pictures that only have names."""

    def __init__(self, names):
        self._names = names

    def __len__(self):
        return len(self._names)

    def path(self, i):
        """Its name."""
        return self._names[i]

    def read(self, i):
        """Nothing is read for a split."""
        raise OSError(i)

    def stamp(self, _):
        """Nothing to see."""
        return 0, 0


def index_of(labels, *, parts=None, groups=None):
    """An index with these labels, the data's own parts, and groups."""
    labels = np.array(labels, np.int64)
    number = int(labels.max()) + 1
    return Index(
        root="x",
        classes=tuple(f"c{label:04}" for label in range(number)),
        source=Named([f"{i:06}.png" for i in range(len(labels))]),
        labels=labels,
        given=np.array([-1] * len(labels) if parts is None else parts, np.int8),
        groups=None if groups is None else np.array(groups, np.int64),
        group_names=() if groups is None else tuple(f"g{i}" for i in range(max(groups) + 1)),
        natural=True,
        notes=(),
        fingerprint="",
    )


def counts(index, positions):
    """Pictures of each class."""
    return np.bincount(index.labels[positions], minlength=len(index.classes)).tolist()


def check(index, split):
    """Every picture is in one part, positions are sorted, train has every class that it can."""
    every = np.concatenate([split.train, split.val, split.test])
    assert sorted(every.tolist()) == list(range(len(index.labels)))
    for name in ("train", "val", "test"):
        assert (np.diff(split.part(name)) > 0).all()
        assert split.part(name).dtype == np.int64


def test_shares_of_every_class():
    """Each class is cut by the ratio."""
    index = index_of([0] * 100 + [1] * 50 + [2] * 10)
    split, sentences = make_split(index, USUAL, 0)
    check(index, split)
    assert counts(index, split.train) == [80, 40, 8]
    assert counts(index, split.val) == [10, 5, 1]
    assert counts(index, split.test) == [10, 5, 1]
    assert sentences == (
        "split: train 128, val 16, test 16 pictures (stratified by class, seed 0)",
    )


def test_only_proportions_count():
    """8,1,1 is 0.8,0.1,0.1."""
    index = index_of([0] * 30 + [1] * 30)
    first, second = (make_split(index, ratio, 3)[0] for ratio in (USUAL, (8, 1, 1)))
    np.testing.assert_array_equal(first.val, second.val)


def test_many_small_classes_add_up():
    """14 pictures a class, a tenth each: rounding is carried over, the part has a tenth."""
    index = index_of(np.repeat(np.arange(100), 14))
    split, _ = make_split(index, USUAL, 0)
    assert len(split.val) == len(split.test) == 140
    assert set(counts(index, split.val)) == {1, 2}


def test_a_seed_is_a_split():
    """The same seed gives the same split, another seed another; 0 is a seed."""
    index = index_of([0] * 50 + [1] * 50)
    tests = [make_split(index, USUAL, seed)[0].test.tolist() for seed in (0, 0, 1)]
    assert tests[0] == tests[1] != tests[2]


def test_the_known_split():
    """The draw does not change between versions: positions are fixed for ever."""
    split, _ = make_split(index_of([0] * 10 + [1] * 10), USUAL, 0)
    assert (split.val.tolist(), split.test.tolist()) == ([0, 18], [9, 15])


def test_a_new_picture_hardly_moves_the_others():
    """After adding one picture, few others change their part."""
    labels = [0] * 200 + [1] * 200
    before = set(make_split(index_of(labels), USUAL, 0)[0].test.tolist())
    after = set(make_split(index_of([*labels, 1]), USUAL, 0)[0].test.tolist())
    assert len(before ^ after) <= 2


def test_no_val_is_legal():
    """A share of 0 means no such part."""
    index = index_of([0] * 10 + [1] * 10)
    split, sentences = make_split(index, (0.8, 0, 0.2), 0)
    check(index, split)
    assert (len(split.train), len(split.val), len(split.test)) == (16, 0, 4)
    assert len(sentences) == 1
    split, _ = make_split(index, (1, 0, 0), 0)
    assert len(split.train) == 20


@pytest.mark.parametrize("ratio", [(0, 0.5, 0.5), (-1, 1, 1), (0, 0, 0), (float("nan"), 1, 1)])
def test_a_ratio_without_train(ratio):
    """Something must be left to train on."""
    with pytest.raises(SettingsError, match="leaves no train part"):
        make_split(index_of([0, 1]), ratio, 0)


def test_small_classes_stay_in_train():
    """One picture is for train, a second for test, a third for val; what is lacking is said."""
    index = index_of([0] + [1] * 2 + [2] * 3 + [3] * 40)
    split, sentences = make_split(index, USUAL, 0)
    check(index, split)
    assert counts(index, split.train)[:3] == [1, 1, 1]
    assert counts(index, split.val)[:3] == [0, 0, 1]
    assert counts(index, split.test)[:3] == [0, 1, 1]
    assert sentences[1:] == (
        "2 classes with too few pictures for every part are not in val: 'c0000', 'c0001'",
        "1 class with too few pictures for every part is not in test: 'c0000'",
    )


def test_own_parts_win():
    """The data's parts are taken as they are, whatever ratio and seed."""
    index = index_of([0, 1] * 6, parts=[0] * 6 + [1] * 2 + [2] * 4)
    split, sentences = make_split(index, (0.1, 0.8, 0.1), 5)
    assert split.train.tolist() == list(range(6))
    assert split.val.tolist() == [6, 7]
    assert split.test.tolist() == [8, 9, 10, 11]
    assert sentences == ("split as the data has it: train 6, val 2, test 4 pictures",)


def test_val_comes_from_train_never_from_test():
    """Train and test are given: val is held out of train by val / (train + val)."""
    index = index_of([0, 1] * 100, parts=[0] * 180 + [2] * 20)
    split, sentences = make_split(index, USUAL, 0)
    check(index, split)
    assert split.test.tolist() == list(range(180, 200))
    assert counts(index, split.val) == [10, 10]
    assert sentences == (
        (
            "the data has no val: held out of its train (stratified by class, seed 0);"
            " now train 160, val 20, test 20 pictures"
        ),
    )


def test_test_comes_from_train_never_from_val():
    """Train and val are given: test is held out of train."""
    index = index_of([0, 1] * 100, parts=[0] * 180 + [1] * 20)
    split, sentences = make_split(index, USUAL, 0)
    assert split.val.tolist() == list(range(180, 200))
    assert len(split.test) == 20
    assert sentences[0].startswith("the data has no test: held out")


def test_only_train_is_given():
    """Both other parts are held out of it."""
    index = index_of([0, 1] * 50, parts=[0] * 100)
    split, sentences = make_split(index, USUAL, 0)
    assert (len(split.train), len(split.val), len(split.test)) == (80, 10, 10)
    assert "no val and test" in sentences[0]


def test_groups_stay_together():
    """No group is in two parts, shares are kept, and each class is in each part."""
    rng = np.random.default_rng(0)
    groups = np.sort(rng.integers(0, 120, 1200))
    labels = rng.integers(0, 4, 120)[groups]
    index = index_of(labels, groups=groups.tolist())
    split, sentences = make_split(index, USUAL, 0)
    check(index, split)
    parts = [set(groups[split.part(name)].tolist()) for name in ("train", "val", "test")]
    assert sum(map(len, parts)) == len(set.union(*parts))
    for held in (split.val, split.test):
        assert 0.08 < len(held) / 1200 < 0.12
        for here, all_of_it in zip(counts(index, held), np.bincount(labels), strict=True):
            assert 0.05 < here / all_of_it < 0.16
    assert "whole groups" in sentences[0]


def test_groups_of_many_classes():
    """Groups that each hold all classes are shared out by size."""
    index = index_of(np.tile(np.arange(5), 200), groups=np.repeat(np.arange(50), 20).tolist())
    split, _ = make_split(index, USUAL, 0)
    assert (len(split.train), len(split.val), len(split.test)) == (800, 100, 100)


def test_few_groups():
    """Three groups a class are enough for three parts; one group stays in train, and it is said."""
    index = index_of([0] * 9 + [1] * 9 + [2] * 9, groups=[0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
                     + [4] * 3 + [5] * 3 + [6] * 9)  # fmt: skip
    split, sentences = make_split(index, USUAL, 0)
    assert counts(index, split.train) == [3, 3, 9]
    assert counts(index, split.val) == [3, 3, 0]
    assert counts(index, split.test) == [3, 3, 0]
    assert sentences[1] == "1 class with too few groups for every part is not in val: 'c0002'"


def test_given_parts_with_common_groups():
    """Where the data's own parts share a group, a sentence counts them."""
    index = index_of([0, 1] * 4, parts=[0] * 4 + [1] * 2 + [2] * 2, groups=[0, 1, 2, 3, 0, 4, 1, 5])
    _, sentences = make_split(index, USUAL, 0)
    assert sentences[-1] == (
        "2 groups have pictures in more than one of the data's own parts:"
        " scores on such parts are too good"
    )


@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), min_size=1, max_size=60),
    ratio=st.tuples(st.floats(0.05, 1), st.floats(0, 1), st.floats(0, 1)),
    seed=st.integers(0, 3),
    grouped=st.booleans(),
)
def test_any_split_is_sound(rows, ratio, seed, grouped):
    """Whatever classes, groups and ratio: one part each, whole groups, every class in train."""
    index = index_of([row[0] for row in rows], groups=[row[1] for row in rows] if grouped else None)
    split, _ = make_split(index, ratio, seed)
    check(index, split)
    assert set(index.labels[split.train]) == set(index.labels)
    if grouped:
        held = Counter()
        for name in ("train", "val", "test"):
            held.update(set(index.groups[split.part(name)].tolist()))
        assert max(held.values()) == 1
    for share, part in zip(ratio, (split.train, split.val, split.test), strict=True):
        assert share > 0 or len(part) == 0


def test_splits_csv(tmp_path):
    """One row a picture in the order of the index: path, label, part, group."""
    index = index_of([0, 1, 0, 1], parts=[0, 0, 2, 1], groups=[0, 1, 0, 1])
    split, _ = make_split(index, USUAL, 0)
    write_splits(tmp_path / "splits.csv", index, split)
    assert (tmp_path / "splits.csv").read_text() == (
        "path,label,part,group\n"
        "000000.png,c0000,train,g0\n"
        "000001.png,c0001,train,g1\n"
        "000002.png,c0000,test,g0\n"
        "000003.png,c0001,val,g1\n"
    )
    write_splits(tmp_path / "splits.csv", replace(index, groups=None), split)
    with (tmp_path / "splits.csv").open() as file:
        assert [row["group"] for row in csv.DictReader(file)] == [""] * 4


def test_the_file_system_does_not_decide(tree):
    """Two folders with the same files, written in another order, have the same split."""
    names = [f"{label}/{i}.png" for label in "ab" for i in range(20)]
    one, two = read_index(tree(*names)), read_index(tree(*names[::-1], root="again"))
    first, second = make_split(one, USUAL, 0)[0], make_split(two, USUAL, 0)[0]
    assert [one.source.path(i) for i in first.val] == [two.source.path(i) for i in second.val]


def calibrated(index, share=0.25, seed=0, ratio=USUAL):
    """Parts with a calibration part, and what is said of it."""
    return hold_out_calibration(index, make_split(index, ratio, 0)[0], share, seed)


def test_a_calibration_part_comes_out_of_train_alone():
    """A quarter of each class of train; val and test stay as they are; the sum is all."""
    index = index_of([0] * 100 + [1] * 50 + [2] * 10)
    plain = make_split(index, USUAL, 0)[0]
    split, told = calibrated(index)

    assert counts(index, split.calibration) == [20, 10, 2]
    np.testing.assert_array_equal(np.union1d(split.train, split.calibration), plain.train)
    np.testing.assert_array_equal(split.val, plain.val)
    np.testing.assert_array_equal(split.test, plain.test)
    assert told == ("calibration: 32 of 128 training pictures held out",)
    assert str(split) == "96 train, 16 val, 32 calibration, 16 test"
    assert str(plain) == "128 train, 16 val, 16 test"


def test_a_calibration_part_has_its_seed():
    """The split's seed decides, and nothing else does."""
    index = index_of([0] * 50 + [1] * 50)
    parts = [calibrated(index, seed=seed)[0].calibration.tolist() for seed in (0, 0, 1)]

    assert parts[0] == parts[1] != parts[2]


def test_groups_are_calibrated_on_as_a_whole():
    """No group is in train and in calibration."""
    groups = np.repeat(np.arange(30), 5).tolist()
    index = index_of(np.repeat(np.arange(30) % 2, 5), groups=groups)
    split, _ = calibrated(index)

    assert len(split.calibration)
    assert not np.intersect1d(index.groups[split.train], index.groups[split.calibration]).size


def test_train_keeps_one_of_each_class():
    """Where there is nothing to spare, that is said, and refused where nothing is left over."""
    index = index_of([0] * 40 + [1])
    split, told = calibrated(index, ratio=(1, 0, 0))

    assert counts(index, split.train)[1] == 1
    assert told[1].endswith("is not in calibration: 'c0001'")
    with pytest.raises(DataError, match="leaves none for calibration"):
        calibrated(index_of([0, 1, 2]), ratio=(1, 0, 0))
