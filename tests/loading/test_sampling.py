"""Order and random numbers: functions of (seed, epoch, position)."""

import numpy as np
import pytest

from imgtrain.engine.schedule import Batches
from imgtrain.loading.orders import Order
from imgtrain.loading.sampling import (
    DRAWS,
    draws,
    scoring_shares,
    training_shares,
)


def _order(train, *, seed, epoch):
    return Order(train, np.zeros(len(train), np.int64)).epoch(epoch, seed=seed)


def _cut(micro, accumulation, world_size):
    return Batches(micro=micro, accumulation=accumulation, world_size=world_size)


def test_an_epoch_shows_every_picture_once_and_no_two_epochs_alike():
    """A permutation, another one each epoch and seed, the same one each time."""
    train = np.arange(100, 200)
    first = _order(train, seed=0, epoch=1)

    assert sorted(first) == list(train)
    assert (first == _order(train, seed=0, epoch=1)).all()
    assert (first != _order(train, seed=0, epoch=2)).any()
    assert (first != _order(train, seed=1, epoch=1)).any()


@pytest.mark.parametrize("rows", [range(5), range(17, 40), [3, 90, 4], [0]])
def test_random_numbers_depend_on_the_position_alone(rows):
    """Any rows asked for are those rows of the whole table."""
    table = draws(np.arange(100), seed=7, epoch=3)
    some = draws(np.array(rows), seed=7, epoch=3)

    assert table.shape == (100, DRAWS)
    assert (some == table[list(rows)]).all()
    assert table.min() >= 0
    assert table.max() < 1
    assert abs(table.mean() - 0.5) < 0.05


@pytest.mark.parametrize("rows", [range(1000, 1050), [2047, 2048], [5, 4100], [9000]])
def test_random_numbers_are_those_of_one_stream(rows):
    """Numpy's own, whichever part of them was drawn before."""
    words = np.random.SeedSequence([7, 3, 2]).generate_state(2, np.uint64)
    table = np.random.Generator(np.random.Philox(key=words)).random((9001, DRAWS))

    assert (draws(np.array(rows), seed=7, epoch=3) == table[list(rows)]).all()


@pytest.mark.parametrize("cut", [(8, 1, 1), (4, 2, 1), (4, 1, 2), (2, 2, 2), (1, 4, 2)])
def test_every_cut_of_a_batch_holds_the_same_pictures(cut):
    """Processes and micro-batches only cut the effective batch; positions go along."""
    order = _order(np.arange(45), seed=0, epoch=1)
    batches = _cut(*cut)
    per_rank = [
        list(training_shares(order, batches, steps=6, first_step=0, rank=rank))
        for rank in range(cut[2])
    ]
    for step in range(6):
        shares = [share for rank in per_rank for share in rank[step]]
        counted = np.concatenate([s.pictures[s.counts] for s in shares])
        places = np.concatenate([s.positions[s.counts] for s in shares])
        assert list(counted) == list(order[step * 8 : (step + 1) * 8])
        assert list(places) == list(range(step * 8, min((step + 1) * 8, 45)))
        assert {len(s.pictures) for s in shares} == {cut[0]}


def test_an_epoch_can_begin_in_the_middle():
    """From step 3 on: what the whole epoch has from step 3 on."""
    order = np.arange(40)
    whole = list(training_shares(order, _cut(8, 1, 1), steps=5, first_step=0, rank=0))
    rest = list(training_shares(order, _cut(8, 1, 1), steps=5, first_step=3, rank=0))

    assert [list(s[0].pictures) for s in rest] == [list(s[0].pictures) for s in whole[3:]]


@pytest.mark.parametrize("world_size", [1, 2, 3, 7])
@pytest.mark.parametrize("count", [1, 63, 64, 65, 200])
def test_scoring_counts_nothing_twice(world_size, count):
    """All processes together see each picture once, in the same batches as one process."""
    part = np.arange(count) + 5
    alone = [list(s.pictures) for s in scoring_shares(part, 64, rank=0, world_size=1)]
    together = [
        list(s.pictures)
        for rank in range(world_size)
        for s in scoring_shares(part, 64, rank=rank, world_size=world_size)
    ]

    assert together == alone
    assert [i for batch in alone for i in batch] == list(part)
