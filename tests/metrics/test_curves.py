"""Curves against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from imgtrain.metrics.curves import curves

BETWEEN = np.linspace(0, 1, 997)[1:-1] + 1e-7
"""Places on the x axis at which no curve jumps."""


def drawn(pictures: int, classes: int, digits: int):
    rng = np.random.default_rng(3)
    labels = rng.integers(0, classes, pictures)
    probs = rng.dirichlet(np.ones(classes), pictures)
    probs[np.arange(pictures), labels] += 0.2
    return labels, np.round(probs, digits)


@pytest.mark.parametrize("digits", [1, 2, 16])
def test_roc_is_the_curve_of_scikit_learn(digits):
    """The same curve, ties drawn as a slope, and the same area."""
    labels, probs = drawn(120, 3, digits)

    found = curves(labels, probs).roc[1]

    x, y, _ = reference.roc_curve(labels == 1, probs[:, 1])
    np.testing.assert_allclose(np.interp(BETWEEN, found.x, found.y), np.interp(BETWEEN, x, y))
    assert found.area == pytest.approx(reference.auc(x, y))
    assert np.all(np.diff(found.x) >= 0)
    assert np.all(np.diff(found.y) >= 0)


@pytest.mark.parametrize("digits", [1, 2, 16])
def test_average_precision_equals_that_of_scikit_learn(digits):
    """Precision at each threshold of a positive, and the sum over them."""
    labels, probs = drawn(120, 3, digits)

    found = curves(labels, probs)

    precision, recall, _ = reference.precision_recall_curve(labels == 2, probs[:, 2])
    expected = {
        (round(r, 12), round(p, 12)) for r, p in zip(recall, precision, strict=True) if r > 0
    }
    curve = found.pr[2]
    ends = set(zip(curve.x[1::2].round(12), curve.y[1::2].round(12), strict=True))
    assert ends <= expected
    assert curve.area == pytest.approx(reference.average_precision_score(labels == 2, probs[:, 2]))
    truth = np.eye(3)[labels]
    assert found.pr_micro.area == pytest.approx(
        reference.average_precision_score(truth, probs, average="micro")
    )


def test_a_class_of_all_pictures_has_no_roc_but_precision():
    """AUROC needs others; average precision needs only pictures of the class."""
    found = curves(np.array([0, 0]), np.array([[0.9, 0.1], [0.4, 0.6]]))

    assert found.roc == (None, None)
    assert found.roc_macro is None
    assert found.macro_auroc is None
    assert [None if c is None else c.area for c in found.pr] == [1.0, None]
    assert found.macro_average_precision == 1.0


def test_one_class_alone_has_no_curve_but_its_precision():
    """With a single class every answer is right and nothing can be told apart."""
    found = curves(np.array([0]), np.array([[1.0]]))

    assert found.micro_auroc is None
    assert found.pr_macro.area == 1.0


def test_scores_that_are_all_equal_are_a_coin():
    """One big tie is the diagonal."""
    found = curves(np.array([0, 1, 1]), np.full((3, 2), 0.5)).roc[0]

    assert found.area == pytest.approx(0.5)
    assert (found.x.tolist(), found.y.tolist()) == ([0, 0, 1, 1], [0, 0, 1, 1])


def test_macro_curves_average_the_classes():
    """Of one perfect and one average class the mean lies in between, at every rate."""
    found = curves(*drawn(200, 2, 16))

    for macro, parts in ((found.roc_macro, found.roc), (found.pr_macro, found.pr)):
        assert macro.area == pytest.approx(np.mean([p.area for p in parts]))
        assert macro.x[0] == 0
        assert macro.x[-1] == 1
        traced = np.diff(macro.x) @ (macro.y[1:] + macro.y[:-1]) / 2
        assert traced == pytest.approx(macro.area, abs=0.01)


def test_a_thinned_curve_keeps_its_ends_its_number_and_its_shape():
    """Fewer points, the same picture."""
    whole = curves(*drawn(5000, 2, 16)).roc[0]

    thin = whole.thinned(50)

    assert thin.x.size <= 50
    assert thin.area == whole.area
    assert (thin.x[0], thin.y[0], thin.x[-1], thin.y[-1]) == (0, 0, 1, 1)
    drawn_thin, drawn_whole = (np.interp(BETWEEN, c.x, c.y) for c in (thin, whole))
    assert drawn_thin == pytest.approx(drawn_whole, abs=0.05)
    assert whole.thinned(10**6) is whole
