"""Scores against scikit-learn and against numbers worked out by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn import metrics as reference

from imgtrain.metrics.confusion import confusion_matrix
from imgtrain.metrics.scores import score, top_k


def drawn(pictures: int, classes: int, *, seed: int = 0, digits: int = 16):
    """Labels and probabilities that know something; few digits make ties."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, pictures)
    logits = rng.normal(size=(pictures, classes))
    logits[np.arange(pictures), labels] += 1.2
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return labels, np.round(probs, digits)


def names(classes: int) -> list[str]:
    return [f"class {i}" for i in range(classes)]


@pytest.mark.parametrize(("pictures", "classes"), [(300, 7), (50, 2), (40, 12)])
@pytest.mark.parametrize("digits", [16, 1])
def test_scores_equal_those_of_scikit_learn(pictures, classes, digits):
    """Every score that scikit-learn has too comes out the same, ties or not."""
    labels, probs = drawn(pictures, classes, digits=digits)
    labels[:classes] = np.arange(classes)
    predicted = probs.argmax(axis=1)
    truth = np.eye(classes)[labels]

    found = score(labels, probs, names(classes))

    expected = {
        "n": pictures,
        "top1": reference.accuracy_score(labels, predicted),
        "balanced_accuracy": reference.balanced_accuracy_score(labels, predicted),
        "macro_f1": reference.f1_score(labels, predicted, average="macro"),
        "weighted_f1": reference.f1_score(labels, predicted, average="weighted"),
        "macro_auroc": np.mean(
            [reference.roc_auc_score(truth[:, i], probs[:, i]) for i in range(classes)]
        ),
        "micro_auroc": reference.roc_auc_score(truth.ravel(), probs.ravel()),
        "macro_average_precision": reference.average_precision_score(truth, probs),
    }
    assert {k: found[k] for k in expected} == pytest.approx(expected, abs=1e-12)


def test_per_class_scores_equal_those_of_scikit_learn():
    """The table of classes is scikit-learn's, with areas."""
    labels, probs = drawn(400, 5)
    columns = reference.precision_recall_fscore_support(labels, probs.argmax(axis=1))

    found = score(labels, probs, names(5))["per_class"]

    assert list(found) == names(5)
    for i, row in enumerate(found.values()):
        assert row == pytest.approx(
            {
                "precision": columns[0][i],
                "recall": columns[1][i],
                "f1": columns[2][i],
                "support": columns[3][i],
                "auroc": reference.roc_auc_score(labels == i, probs[:, i]),
                "average_precision": reference.average_precision_score(labels == i, probs[:, i]),
            }
        )


def test_a_class_without_pictures_has_no_scores_and_spoils_no_average():
    """What is undefined is None, and averages go over what is defined."""
    labels = np.array([0, 0, 1])
    probs = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.2, 0.5, 0.3]])

    found = score(labels, probs, ["a", "b", "c"])

    assert found["per_class"]["c"] == {
        "precision": None,
        "recall": None,
        "f1": None,
        "support": 0,
        "auroc": None,
        "average_precision": None,
    }
    assert found["balanced_accuracy"] == pytest.approx((1 / 2 + 1) / 2)
    assert found["macro_f1"] == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert found["macro_auroc"] == pytest.approx((1 / 2 + 1 / 2) / 2)


def test_a_class_that_is_never_predicted_has_no_precision():
    """Precision is undefined without predictions; recall and F1 are 0."""
    found = score(np.array([0, 1]), np.array([[0.9, 0.1], [0.8, 0.2]]), ["a", "b"])

    row = found["per_class"]["b"]
    assert (row["precision"], row["recall"], row["f1"]) == (None, 0.0, 0.0)


def test_one_picture_can_be_scored():
    """One picture has scores, and no AUROC of a class."""
    found = score(np.array([1]), np.array([[0.2, 0.8]]), ["a", "b"])

    assert found == {
        "n": 1,
        "top1": 1.0,
        "top3": None,
        "top5": None,
        "balanced_accuracy": 1.0,
        "macro_f1": 1.0,
        "weighted_f1": 1.0,
        "macro_auroc": None,
        "micro_auroc": 1.0,
        "macro_average_precision": 1.0,
        "log_loss": pytest.approx(-np.log(0.8)),
        "ece": pytest.approx(0.2),
        "intervals": {
            "top1": [pytest.approx(0.206549, abs=1e-6), 1.0],
            "balanced_accuracy": None,
            "macro_f1": None,
        },
        "per_class": {
            "a": {
                "precision": None,
                "recall": None,
                "f1": None,
                "support": 0,
                "auroc": None,
                "average_precision": None,
            },
            "b": {
                "precision": 1.0,
                "recall": 1.0,
                "f1": 1.0,
                "support": 1,
                "auroc": None,
                "average_precision": 1.0,
            },
        },
    }


def test_scores_are_json():
    """Nothing in the scores needs more than plain JSON, and writing loses nothing."""
    found = score(*drawn(30, 4), names(4))

    assert json.loads(json.dumps(found, allow_nan=False)) == found


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_top_k_equals_that_of_scikit_learn(k):
    """Without ties the share of pictures is scikit-learn's."""
    labels, probs = drawn(200, 6)

    expected = reference.top_k_accuracy_score(labels, probs, k=k, labels=range(6))

    assert top_k(labels, probs, k) == pytest.approx(expected)


@pytest.mark.parametrize(("k", "classes"), [(3, 2), (3, 3), (5, 5), (5, 3)])
def test_top_k_says_nothing_where_it_would_name_every_class(k, classes):
    """Top-5 of three classes is no number, not a padded 1.0."""
    assert top_k(*drawn(10, classes), k) is None


def test_the_lower_class_wins_a_tie():
    """Equal probabilities: top-k agrees with argmax, whatever k."""
    probs = np.array([[0.25, 0.25, 0.25, 0.25]] * 4)
    labels = np.arange(4)

    assert [top_k(labels, probs, k) for k in (1, 2, 3)] == [0.25, 0.5, 0.75]


def test_rows_of_the_matrix_are_true_classes():
    """The matrix is scikit-learn's, classes without pictures included."""
    labels, predicted = np.array([0, 0, 2, 2, 2]), np.array([0, 2, 2, 0, 3])

    expected = reference.confusion_matrix(labels, predicted, labels=range(4))

    np.testing.assert_array_equal(confusion_matrix(labels, predicted, 4), expected)


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_out_of_range_is_refused(label):
    """A class that is not there is never counted as another."""
    with pytest.raises(ValueError, match=r"labels must lie in \[0, 3\)"):
        confusion_matrix(np.array([label]), np.array([0]), 3)


def test_nothing_to_score_is_refused():
    """There is no score without pictures, and none of shapes that do not fit."""
    with pytest.raises(ValueError, match="0 labels"):
        score(np.zeros(0, np.int64), np.zeros((0, 2)), ["a", "b"])
    with pytest.raises(ValueError, match="3 classes"):
        score(np.zeros(1, np.int64), np.ones((1, 2)), ["a", "b", "c"])
