"""Intervals against the bootstrap that draws pictures."""

from __future__ import annotations

import time

import numpy as np
import pytest
from sklearn import metrics as reference

from imgtrain.metrics.confusion import confusion_matrix
from imgtrain.metrics.intervals import bootstrap_intervals, intervals, wilson_interval


def drawn(pictures: int, classes: int):
    rng = np.random.default_rng(5)
    labels = rng.choice(
        classes, pictures, p=np.arange(1, classes + 1) / np.arange(classes + 1).sum()
    )
    wrong = rng.random(pictures) < 0.3
    return labels, np.where(wrong, rng.integers(0, classes, pictures), labels)


def test_drawing_cells_is_drawing_pictures():
    """The intervals are those of a bootstrap that draws pictures, but for chance."""
    labels, predicted = drawn(150, 4)
    rng = np.random.default_rng(0)
    samples = [rng.integers(0, 150, 150) for _ in range(600)]
    scores = {
        "top1": reference.accuracy_score,
        "balanced_accuracy": reference.balanced_accuracy_score,
        "macro_f1": lambda a, b: reference.f1_score(a, b, average="macro"),
    }

    found = bootstrap_intervals(confusion_matrix(labels, predicted, 4), resamples=20_000)

    for name, metric in scores.items():
        values = [metric(labels[s], predicted[s]) for s in samples]
        assert found[name] == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=0.02)


def test_the_seed_decides():
    """The same seed gives the same interval, another one another."""
    matrix = confusion_matrix(*drawn(100, 3), 3)

    assert bootstrap_intervals(matrix, seed=1) == bootstrap_intervals(matrix, seed=1)
    assert bootstrap_intervals(matrix, seed=1) != bootstrap_intervals(matrix, seed=2)


def test_the_score_lies_in_its_interval_and_more_pictures_make_it_narrower():
    """Four times the pictures, about half the width."""
    few = confusion_matrix(*drawn(400, 4), 4)

    small, large = bootstrap_intervals(few), bootstrap_intervals(4 * few)

    for name in small:
        ratio = (large[name][1] - large[name][0]) / (small[name][1] - small[name][0])
        assert ratio == pytest.approx(0.5, abs=0.1)
    assert small["top1"][0] < few.trace() / few.sum() < small["top1"][1]


def test_a_perfect_model_has_an_interval_without_width():
    """Resampling right answers gives right answers."""
    found = bootstrap_intervals(np.diag([3, 0, 5]))

    assert set(found.values()) == {(1.0, 1.0)}


def test_a_thousand_classes_take_no_minutes():
    """The cost grows with the cells in use, not with the pictures."""
    labels, predicted = drawn(50_000, 1000)
    start = time.perf_counter()

    bootstrap_intervals(confusion_matrix(labels, predicted, 1000), resamples=100)

    assert time.perf_counter() - start < 5


@pytest.mark.parametrize(("hits", "count"), [(0, 10), (7, 10), (180, 180), (1, 1), (951, 1000)])
def test_wilson_solves_its_equation(hits, count):
    """The textbook formula, as the roots of (p - x)^2 = z^2 x (1 - x) / n."""
    z = 1.959963984540054
    share = hits / count
    a, b, c = 1 + z * z / count, -(2 * share + z * z / count), share * share
    low, high = sorted(np.roots([a, b, c]).real)

    assert wilson_interval(hits, count) == pytest.approx((low, high), abs=1e-9)


def test_no_mistake_is_no_certainty():
    """180 of 180: top-1 is between 97.9 % and 100 %; what resampling cannot tell is None."""
    found = intervals(np.diag([90, 90]))

    assert found["top1"] == pytest.approx((0.9791, 1.0), abs=1e-4)
    assert found["balanced_accuracy"] is None
    assert found["macro_f1"] is None
