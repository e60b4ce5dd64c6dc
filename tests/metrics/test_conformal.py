"""Prediction sets keep what they promise."""

import numpy as np
import pytest

from imgtrain.metrics.conformal import (
    conformity_scores,
    enough_for,
    least_probability,
    prediction_sets,
)


def drawn(rng, count, classes=6, sureness=2.0):
    """Probabilities that are wrong in their own way, and labels."""
    logits = rng.normal(size=(count, classes))
    labels = rng.integers(0, classes, count)
    logits[np.arange(count), labels] += rng.normal(1.0, 1.0, count)
    scaled = np.exp(sureness * logits)
    return scaled / scaled.sum(axis=1, keepdims=True), labels


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.95])
@pytest.mark.parametrize("sureness", [0.3, 2.0, 8.0])
def test_sets_hold_the_right_class_as_often_as_promised(coverage, sureness):
    """Over 400 draws of 99 calibration pictures: the share is the promise, for any calibration."""
    rng = np.random.default_rng(int(100 * coverage + sureness))
    shares = []
    for _ in range(400):
        known, labels = drawn(rng, 99, sureness=sureness)
        fresh, truth = drawn(rng, 100, sureness=sureness)
        least = least_probability(conformity_scores(known, labels), coverage)
        shares.append((fresh >= least)[np.arange(100), truth].mean())

    assert abs(np.mean(shares) - coverage) < 0.01


def test_by_hand():
    """Of nine scores and a promise of 0.8, the eighth from above counts: (9 + 1) x 0.8."""
    scores = np.arange(1, 10) / 10  # 0.1 to 0.9

    assert least_probability(scores, 0.8) == pytest.approx(0.2, rel=1e-5)
    assert least_probability(scores, 0.9) == pytest.approx(0.1, rel=1e-5)
    assert least_probability(scores, 0.91) == 0.0  # ten pictures would be needed


def test_too_few_pictures_promise_nothing():
    """Then every class is in the set, and it is known how many would do."""
    assert enough_for(0.95) == 19
    assert least_probability([0.1] * 18, 0.95) == 0.0
    assert least_probability([0.1] * 19, 0.95) == pytest.approx(0.1, rel=1e-5)
    assert prediction_sets(np.array([[0.7, 0.3]]), 0.0).all()


def test_equal_probabilities_are_in():
    """What a calibration picture's class had, to the last digit, is enough."""
    least = least_probability(conformity_scores(np.array([[0.3, 0.7]] * 9), np.zeros(9, int)), 0.9)

    assert prediction_sets(np.array([[0.3, 0.7]]), least).all()


def test_no_set_is_empty():
    """The likeliest class is always in."""
    sets = prediction_sets(np.array([[0.4, 0.3, 0.3], [0.95, 0.05, 0.0]]), 0.9)

    assert sets.tolist() == [[True, False, False], [True, False, False]]


@pytest.mark.parametrize("coverage", [0.0, 1.0, -1.0, 2.0])
def test_a_coverage_outside_of_0_and_1_is_refused(coverage):
    """A certainty is not to be had."""
    with pytest.raises(ValueError, match="coverage"):
        least_probability([0.5], coverage)
