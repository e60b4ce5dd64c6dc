"""Epochs that even out the classes."""

import numpy as np
import pytest

from imgtrain.loading.orders import Order

LABELS = np.repeat([0, 1, 2], [50, 20, 5])
TRAIN = np.arange(1000, 1000 + len(LABELS))


def _epoch(strategy, epoch=1, batch=8, seed=0):
    return Order(TRAIN, LABELS, strategy, batch).epoch(epoch, seed=seed)


def _labels(order):
    return LABELS[order - 1000]


@pytest.mark.parametrize("strategy", ["none", "weights", "focal"])
def test_loss_strategies_show_every_picture_once(strategy):
    """What the loss evens out, the order does not."""
    assert sorted(_epoch(strategy)) == list(TRAIN)


def test_oversampling_repeats_until_all_classes_are_as_large_as_the_largest():
    """50 of each class; of a class, no picture is seen twice more often than another."""
    order = _epoch("oversample")

    assert len(order) == len(Order(TRAIN, LABELS, "oversample")) == 150
    assert np.bincount(_labels(order)).tolist() == [50, 50, 50]
    seen = np.bincount(order - 1000, minlength=75)
    assert set(seen[:50]) == {1}
    assert set(seen[50:70]) == {2, 3}
    assert set(seen[70:]) == {10}


def test_undersampling_takes_the_smallest_class_size_of_each_class_anew_each_epoch():
    """5 of each class, none twice; over epochs, all pictures come."""
    orders = [_epoch("undersample", epoch=e) for e in range(1, 60)]

    for order in orders:
        assert np.bincount(_labels(order)).tolist() == [5, 5, 5]
        assert len(set(order)) == 15
    assert set(np.concatenate(orders)) == set(TRAIN)


@pytest.mark.parametrize("batch", [3, 8, 10, 64])
def test_every_batch_holds_the_classes_evenly(batch):
    """Counts of any two classes in a batch differ by at most one, over the epoch too."""
    order = _epoch("batch", batch=batch)

    assert len(order) == 75
    for start in range(0, 75, batch):
        counts = np.bincount(_labels(order[start : start + batch]), minlength=3)
        assert counts.max() - counts.min() <= 1
    whole = np.bincount(_labels(order))
    assert whole.max() - whole.min() <= 1


@pytest.mark.parametrize("strategy", ["none", "oversample", "undersample", "batch"])
def test_an_order_is_a_function_of_seed_and_epoch(strategy):
    """The same twice; others for another epoch and seed."""
    first = _epoch(strategy)

    assert (first == _epoch(strategy)).all()
    assert (first != _epoch(strategy, epoch=2)).any()
    assert (first != _epoch(strategy, seed=1)).any()


def test_a_class_without_training_pictures_is_no_reason_to_stop():
    """Of labels 0 and 2 alone, only these are dealt."""
    labels = np.array([0, 0, 0, 2])
    order = Order(np.arange(4), labels, "oversample").epoch(1, seed=0)

    assert np.bincount(labels[order]).tolist() == [3, 0, 3]
