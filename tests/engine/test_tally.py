"""Sums that metrics are made of."""

import numpy as np
import pytest
import torch
from sklearn import metrics

from imgtrain.engine.tally import Tally


def _batch(n=200, classes=7, seed=0):
    rng = np.random.default_rng(seed)
    logits = torch.tensor(rng.normal(size=(n, classes)), dtype=torch.float32)
    targets = torch.tensor(rng.integers(0, classes - 1, n))
    logits[torch.arange(n), targets] += 1.0
    losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    return logits, targets, losses


def _read(parts, classes=7):
    tally = Tally(classes, torch.device("cpu"))
    for logits, targets, losses in parts:
        tally.add(logits, targets, losses, torch.ones(len(targets), dtype=torch.bool))
    return tally.read()


def test_scores_are_scikit_learns():
    """top-1, top-5, macro F1 and log-loss, with a class that has no pictures."""
    logits, targets, losses = _batch()
    scores = _read([(logits, targets, losses)])
    predicted = logits.argmax(1).numpy()

    assert scores.top1 == metrics.accuracy_score(targets, predicted)
    assert scores.top5 == metrics.top_k_accuracy_score(targets, logits, k=5, labels=range(7))
    assert scores.macro_f1 == pytest.approx(
        metrics.f1_score(targets, predicted, average="macro", zero_division=0), abs=1e-12
    )
    chances = logits.double().softmax(1).numpy()
    assert scores.loss == pytest.approx(
        metrics.log_loss(targets, chances, labels=range(7)), abs=1e-6
    )


@pytest.mark.parametrize("size", [1, 3, 64, 199])
def test_the_sum_does_not_depend_on_the_cut(size):
    """Whatever the batches and their order, the same numbers to the last bit."""
    whole = _batch()
    cut = [tuple(t[k : k + size] for t in whole) for k in range(0, 200, size)]

    assert _read([whole]) == _read(cut) == _read(cut[::-1])


@pytest.mark.parametrize("more", [1, 40])
def test_what_was_held_is_put_back(more):
    """Batches added since are forgotten, whether they were counted already or were waiting."""
    logits, targets, losses = _batch(8)
    mask = torch.ones(8, dtype=torch.bool)
    tally = Tally(7, torch.device("cpu"))
    for _ in range(3):
        tally.add(logits, targets, losses, mask)
    held = tally.held()
    for _ in range(more):
        tally.add(logits, targets, losses * torch.nan, mask)
    tally.restore(held)
    tally.add(logits, targets, losses, mask)

    assert tally.read() == _read([(logits, targets, losses)] * 4)


def test_a_checkpoint_and_a_sum_over_processes_know_what_waits():
    """No batch is lost between two countings, and the tally that was asked goes on by itself."""
    parts = [_batch(8, seed=seed) for seed in range(19)]
    mask = torch.ones(8, dtype=torch.bool)
    tally, resumed = Tally(7, torch.device("cpu")), Tally(7, torch.device("cpu"))
    for part in parts[:18]:
        tally.add(*part, mask)
    resumed.load(tally.state())
    resumed.add(*parts[18], mask)
    doubled = tally.summed(lambda sums: 2 * sums)
    tally.add(*parts[18], mask)

    assert tally.read() == resumed.read() == _read(parts)
    assert doubled.read() == _read(parts[:18] * 2)


def test_masked_rows_count_nowhere():
    """A masked row changes no number, even when its loss is not one."""
    logits, targets, losses = _batch(10)
    logits, losses = logits.clone(), losses.clone()
    losses[9] = torch.nan
    tally = Tally(7, torch.device("cpu"))
    tally.add(logits, targets, losses, torch.arange(10) < 9)

    assert tally.read() == _read([(logits[:9], targets[:9], losses[:9])])


def test_a_loss_that_is_no_number_shows():
    """NaN and infinity are noticed, not added."""
    logits, targets, losses = _batch(4)
    for value in (torch.nan, torch.inf):
        spoilt = losses.clone()
        spoilt[2] = value
        assert not _read([(logits, targets, spoilt)]).is_finite


def test_top5_of_five_classes_is_nothing():
    """A score that could not be below 1 is not given."""
    assert _read([_batch(classes=5)], classes=5).top5 is None


def test_no_picture_no_score():
    """An empty part has no numbers, and does not divide by zero."""
    scores = _read([])

    assert (scores.n, scores.loss, scores.top1) == (0, None, None)
