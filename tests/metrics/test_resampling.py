"""Intervals of probabilities' scores against a plain bootstrap with scikit-learn."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn import metrics as reference

from imgtrain.metrics import resampling
from imgtrain.metrics.calibration import brier_score, expected_calibration_error
from imgtrain.metrics.groups import robustness, score_slices
from imgtrain.metrics.intervals import wilson_interval
from imgtrain.metrics.resampling import probability_intervals


def drawn(count=120, classes=3, digits=2):
    rng = np.random.default_rng(1)
    labels = rng.integers(0, classes, count)
    logits = rng.normal(size=(count, classes))
    logits[np.arange(count), labels] += 1
    probs = softmax(logits, axis=1).round(digits)  # with ties
    return labels, probs / probs.sum(axis=1, keepdims=True)


def test_the_brier_score_is_scikit_learns():
    """One binary score a class, added up."""
    labels, probs = drawn()
    wanted = sum(reference.brier_score_loss(labels == k, probs[:, k]) for k in range(3))

    assert brier_score(labels, probs) == pytest.approx(wanted)


def test_intervals_are_those_of_scoring_each_draw_anew():
    """The same draws, each scored by the reference: the same ends."""
    labels, probs = drawn(60)
    rng = np.random.default_rng(7)
    draws = [rng.integers(0, 60, 60) for _ in range(100)]
    scores = {
        "log_loss": lambda a, p: reference.log_loss(a, p, labels=range(3)),
        "brier": brier_score,
        "ece": lambda a, p: expected_calibration_error(p.max(axis=1), p.argmax(axis=1) == a),
        "macro_auroc": lambda a, p: np.mean(
            [reference.roc_auc_score(a == k, p[:, k]) for k in range(3)]
        ),
    }

    found = probability_intervals(labels, probs, seed=7, resamples=100)

    for name, metric in scores.items():
        values = [metric(labels[d], probs[d]) for d in draws]
        assert found[name] == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=1e-12), name


def test_what_cannot_be_known_is_none(monkeypatch):
    """One picture always draws itself; one class has no AUROC; too many cells take too long."""
    alone = probability_intervals(np.array([0]), np.array([[0.7, 0.3]]))
    same = probability_intervals(np.zeros(9, int), np.linspace([0.1, 0.9], [0.9, 0.1], 9))
    monkeypatch.setattr(resampling, "_WORK", 120 * 3 * 99)
    large = probability_intervals(*drawn())

    assert set(alone.values()) == {None}
    assert same["macro_auroc"] is None
    assert same["log_loss"] is not None
    assert large["macro_auroc"] is None


def test_slices_are_scored_by_themselves():
    """Each value's pictures, in the order of the names; together they are all pictures."""
    labels, probs = drawn()
    values = ["b" if i % 3 else "a" for i in range(120)]

    first, second = score_slices(labels, probs, values)

    own = np.arange(0, 120, 3)
    hits = (probs[own].argmax(axis=1) == labels[own]).sum()
    assert (first["value"], second["value"]) == ("a", "b")
    assert (first["n"], second["n"]) == (40, 80)
    assert first["top1"] == hits / 40
    assert first["interval"] == list(wilson_interval(int(hits), 40))
    assert first["macro_f1"] == pytest.approx(
        reference.f1_score(labels[own], probs[own].argmax(axis=1), average="macro")
    )


def test_a_relative_drop_by_hand():
    """From 0.8 to 0.6 on average, a quarter is lost; of nothing, nothing can be."""
    rows = [{"top1": 0.7}, {"top1": 0.5}]

    found = robustness(0.8, rows)

    assert found["mean_top1"] == pytest.approx(0.6)
    assert found["relative_drop"] == pytest.approx(0.25)
    assert robustness(0.0, rows)["relative_drop"] is None
