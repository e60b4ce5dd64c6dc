"""Batches: the same whatever the threads, and nothing replaced."""

import numpy as np
import pytest
import torch
from small import PREPROCESS, Shapes, small_state

from imgtrain.errors import DataError
from imgtrain.loading.cache import InMemory, Nowhere
from imgtrain.loading.loader import Loader, Pictures
from imgtrain.loading.samplewise import scoring_view
from imgtrain.loading.sampling import Share, scoring_shares


def _epoch(threads):
    state = small_state(threads=threads)
    found = [
        (b.pixels.clone(), b.targets.clone(), b.mask.clone()) for b in state.training_batches()
    ]
    state.loader.close()
    return found


@pytest.mark.parametrize("threads", [2, 3, 16])
def test_threads_change_nothing(threads):
    """The same bytes with one thread and with many."""
    for one, many in zip(_epoch(1), _epoch(threads), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, many, strict=True))


def _scored(on_bad, store=None):
    source = Shapes(10, bad=frozenset({4}))
    store = store or InMemory(10)
    pictures = Pictures(source, PREPROCESS, store, on_bad=on_bad)
    loader = Loader(pictures, source.labels, torch.device("cpu"), threads=2)
    shares = scoring_shares(np.arange(10), 8, rank=0, world_size=1)
    try:
        return pictures, [
            (b.count, b.mask.tolist()) for b in loader.batches(shares, scoring_view(PREPROCESS))
        ]
    finally:
        loader.close()


def test_a_bad_picture_is_left_out_counted_and_named():
    """skip: its row is masked; the reason is kept."""
    pictures, batches = _scored("skip")

    assert batches == [(7, [True] * 4 + [False] + [True] * 3), (2, [True, True])]
    assert set(pictures.bad) == {4}


def test_a_bad_picture_ends_the_work_when_asked_to():
    """error: the path and the reason are in the message, the way out in the hint."""
    with pytest.raises(DataError, match=r"1/0004\.png") as error:
        _scored("error")
    assert "--on-bad-image skip" in error.value.hint


class _Counting(Shapes):
    def __init__(self, count):
        super().__init__(count)
        self.reads = [0] * count

    def read(self, i):
        self.reads[i] += 1
        return super().read(i)


@pytest.mark.parametrize(("store", "times"), [(InMemory(6), 1), (Nowhere(), 3)])
def test_each_file_is_decoded_once(store, times):
    """Three epochs read each file once with a store, three times without."""
    source = _Counting(6)
    pictures = Pictures(source, PREPROCESS, store, on_bad="error")
    loader = Loader(pictures, source.labels, torch.device("cpu"), threads=2)
    for _ in range(3):
        for _ in loader.batches(
            scoring_shares(np.arange(6), 4, rank=0, world_size=1), scoring_view(PREPROCESS)
        ):
            pass
    loader.close()

    assert source.reads == [times] * 6


def test_leaving_an_epoch_early_leaves_no_thread_behind():
    """An iterator dropped in the middle gives its memory back, and the next one works."""
    state = small_state()
    for _ in range(20):
        batches = state.training_batches()
        next(batches)
        batches.close()
    slots = state.loader._slots[8, 8]

    assert len(slots) <= 5
    assert len(list(state.training_batches())) == state.plan.steps_per_epoch


def test_batches_keep_the_order_of_shares():
    """However slow a picture, batches come in order."""
    source = Shapes(40)
    pictures = Pictures(source, PREPROCESS, Nowhere(), on_bad="error")
    loader = Loader(pictures, np.arange(40), torch.device("cpu"), threads=4)
    shares = [Share(np.array([i, i + 1]), None, np.ones(2, np.bool_)) for i in range(0, 40, 2)]
    found = [b.targets.tolist() for b in loader.batches(shares, scoring_view(PREPROCESS))]
    loader.close()

    assert found == [[i, i + 1] for i in range(0, 40, 2)]


def test_an_unreadable_picture_does_not_shift_the_others():
    """Its row holds a copy of a readable one: batch norm sees no black picture."""
    source = Shapes(8, bad=frozenset({2, 5}))
    pictures = Pictures(source, PREPROCESS, Nowhere(), on_bad="skip")
    loader = Loader(pictures, source.labels, torch.device("cpu"), threads=3)
    shares = scoring_shares(np.arange(8), 8, rank=0, world_size=1)
    batch = next(loader.batches(shares, scoring_view(PREPROCESS)))
    loader.close()

    assert torch.equal(batch.pixels[2], batch.pixels[0])
    assert torch.equal(batch.pixels[5], batch.pixels[1])
    assert batch.mask.tolist() == [i not in {2, 5} for i in range(8)]
