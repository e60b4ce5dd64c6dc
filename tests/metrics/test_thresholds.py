"""Thresholds against every possible one, and by hand."""

import numpy as np
import pytest

from imgtrain.metrics.thresholds import accepted, best_reached, choose_threshold

SCORES = np.array([0.9, 0.8, 0.8, 0.7, 0.6, 0.5])
RIGHT = np.array([True, True, False, True, True, False])


@pytest.mark.parametrize(
    ("target", "threshold"),
    [
        (1.0, 0.9),  # of {0.9} all are right
        (0.75, 0.6),  # 4 of 5 are; from 0.7 on 3 of 4, which is fewer answers
        (0.8, 0.6),
        (0.66, 0.5),  # all: 4 of 6
    ],
)
def test_precision_by_hand(target, threshold):
    """The smallest threshold that reaches it: the most answers are kept."""
    assert choose_threshold(SCORES, RIGHT, "precision", target, wanted=6) == threshold


@pytest.mark.parametrize(("target", "threshold"), [(0.1, 0.9), (0.3, 0.8), (0.6, 0.6)])
def test_recall_by_hand(target, threshold):
    """The largest threshold that reaches it; 4 of 6 is all that can be had."""
    assert choose_threshold(SCORES, RIGHT, "recall", target, wanted=6) == threshold
    assert choose_threshold(SCORES, RIGHT, "recall", 0.7, wanted=6) is None
    assert best_reached(SCORES, RIGHT, "recall", wanted=6) == pytest.approx(4 / 6)


@pytest.mark.parametrize("aim", ["precision", "recall"])
@pytest.mark.parametrize("target", [0.3, 0.62, 0.9])
def test_no_other_threshold_is_better(aim, target):
    """Of all thresholds with six digits near a score, none keeps more and reaches the target."""
    rng = np.random.default_rng(3)
    scores = rng.beta(2, 1, 200).round(2)
    right = rng.random(200) < scores
    wanted = int(right.sum()) if aim == "recall" else 200
    grid = np.unique(scores)

    reached = [
        t
        for t in grid
        if (getattr(accepted(scores, right, t, wanted=wanted), aim) or 0.0) >= target
    ]

    found = choose_threshold(scores, right, aim, target, wanted=wanted)
    assert found == (None if not reached else min(reached) if aim == "precision" else max(reached))


def test_six_digits_accept_what_was_chosen():
    """A score with more digits is not shut out by rounding up."""
    scores = np.array([0.12345678, 0.9])

    found = choose_threshold(scores, np.array([True, True]), "precision", 1.0, wanted=2)

    assert found == 0.123456
    assert accepted(scores, np.array([True, True]), found, wanted=2).accepted == 2


def test_nothing_accepted_has_no_precision():
    """0 of 0 is no number; the rest is written all the same."""
    found = accepted(SCORES, RIGHT, 0.95, wanted=6).to_dict()

    assert found["precision"] is None
    assert found["precision_interval"] is None
    assert found["coverage"] == 0
    assert choose_threshold(np.empty(0), np.empty(0, bool), "recall", 0.5, wanted=0) is None


def test_the_best_of_the_unreachable():
    """1 of 2 at the top, 2 of 3 below: two thirds is the best precision."""
    scores, right = np.array([0.9, 0.9, 0.5, 0.4]), np.array([True, False, True, False])

    assert choose_threshold(scores, right, "precision", 0.9, wanted=4) is None
    assert best_reached(scores, right, "precision", wanted=4) == pytest.approx(2 / 3)
