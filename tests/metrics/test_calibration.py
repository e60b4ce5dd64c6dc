"""Calibration, by hand and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from imgtrain.metrics.calibration import (
    brier_score,
    expected_calibration_error,
    log_loss,
    reliability,
)


def test_ece_is_the_weighted_gap():
    """Two intervals worked out by hand: 3/4 x |2/3 - 0.92| + 1/4 x |0 - 0.3|."""
    confidence = np.array([0.9, 0.92, 0.94, 0.3])
    correct = np.array([True, True, False, False])

    found = expected_calibration_error(confidence, correct, bins=10)

    # 0.9 belongs to (0.8, 0.9], the next two to (0.9, 1], 0.3 to (0.2, 0.3]
    assert found == pytest.approx((abs(1 - 0.9) + 2 * abs(0.5 - 0.93) + abs(0 - 0.3)) / 4)


def test_intervals_are_closed_above():
    """A confidence on an edge belongs to the interval below; 1.0 has a place."""
    found = reliability(np.array([0.5, 1.0, 0.51]), np.array([True, True, False]), bins=2)

    assert found.counts.tolist() == [1, 2]
    assert found.accuracy.tolist() == [1.0, 0.5]


def test_an_empty_interval_has_no_means():
    """No picture, no number."""
    found = reliability(np.array([0.9]), np.array([True]), bins=2)

    assert np.isnan(found.accuracy[0])
    assert expected_calibration_error(np.array([0.9]), np.array([True])) == pytest.approx(0.1)


@pytest.mark.parametrize("classes", [2, 6])
def test_log_loss_and_brier_equal_those_of_scikit_learn(classes):
    """The same numbers, also where the true class got probability 0."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, classes, 100)
    labels[:classes] = np.arange(classes)
    probs = rng.dirichlet(np.ones(classes), 100)
    probs[0] = np.eye(classes)[1]

    assert log_loss(labels, probs) == pytest.approx(
        reference.log_loss(labels, probs, labels=range(classes))
    )
    assert brier_score(labels, probs) == pytest.approx(
        ((probs - np.eye(classes)[labels]) ** 2).sum(axis=1).mean()
    )


def test_a_perfect_answer_costs_nothing():
    """Certain and right: 0, and not minus 0."""
    found = log_loss(np.array([0]), np.array([[1.0, 0.0]]))

    assert str(found) == "0.0"
