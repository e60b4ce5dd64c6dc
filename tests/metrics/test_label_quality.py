"""Confident learning against hand-computed matrices and the paper's definition, pair by pair."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgtrain.metrics.label_quality import (
    label_noise,
    label_quality,
    likeliest_other,
    likely_wrong,
)

LABELS = np.array([0, 0, 0, 1, 1, 2])
PROBS = np.array(
    [
        [0.80, 0.10, 0.10],
        [0.60, 0.30, 0.10],
        [0.10, 0.85, 0.05],  # labelled 0, is 1
        [0.20, 0.70, 0.10],  # below what class 1 has on average: counts nowhere
        [0.10, 0.90, 0.00],
        [0.20, 0.30, 0.50],
    ]
)
SPLIT_LABELS = np.array([0, 0, 0, 0, 1, 2])
SPLIT = np.array(
    [
        [0.90, 0.05, 0.05],
        [0.90, 0.05, 0.05],
        [0.05, 0.45, 0.50],  # the least likely label
        [0.10, 0.85, 0.05],  # the largest margin of class 1
        [0.10, 0.80, 0.10],
        [0.10, 0.10, 0.80],
    ]
)


def test_the_confident_joint_by_hand():
    """Thresholds are means of the own class; each picture counts for the likeliest it reaches."""
    noise = label_noise(LABELS, PROBS)

    np.testing.assert_allclose(noise.thresholds, [0.5, 0.8, 0.5])
    assert noise.joint.tolist() == [[2, 1, 0], [0, 1, 0], [0, 0, 1]]
    np.testing.assert_allclose(noise.counts, [[2, 1, 0], [0, 2, 0], [0, 0, 1]])
    assert noise.share == pytest.approx(1 / 6)
    assert noise.wrong.tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 0]]


def test_the_joint_is_scaled_to_the_labels_and_rounded_by_remainders():
    """Row 0 has three of four pictures in the joint: 2 and 1 become 2.67 and 1.33, then 3 and 1."""
    noise = label_noise(SPLIT_LABELS, SPLIT)

    assert noise.joint.tolist() == [[2, 1, 0], [0, 1, 0], [0, 0, 1]]
    np.testing.assert_allclose(noise.counts[0], [8 / 3, 4 / 3, 0])
    assert noise.wrong.tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    ("pruning", "expected"),
    [("class", [2]), ("noise-rate", [3]), ("both", []), ("none", [2, 3])],
)
def test_the_prunings_by_hand(pruning, expected):
    """By class the least likely label goes, by noise rate the largest margin of the pair."""
    noise = label_noise(SPLIT_LABELS, SPLIT)

    found = likely_wrong(SPLIT_LABELS, SPLIT, noise, pruning)

    assert np.flatnonzero(found).tolist() == expected


def test_quality_by_hand():
    """The label's probability; half of one more than its lead over the next class."""
    own = label_quality(LABELS, PROBS, "self-confidence")
    margin = label_quality(LABELS, PROBS, "margin")

    np.testing.assert_allclose(own, [0.8, 0.6, 0.1, 0.7, 0.9, 0.5])
    np.testing.assert_allclose(margin, [0.85, 0.65, 0.125, 0.75, 0.9, 0.6])
    assert likeliest_other(LABELS, PROBS).tolist() == [1, 1, 1, 0, 0, 1]


def test_a_class_without_pictures_takes_part_in_nothing():
    """No picture can be counted as of it, and its row is empty."""
    noise = label_noise(np.array([0, 0, 2]), np.full((3, 3), 1 / 3))

    assert np.isnan(noise.thresholds[1])
    assert noise.joint[:, 1].tolist() == [0, 0, 0]
    assert noise.counts.sum(axis=1).tolist() == [2, 0, 1]


def test_shapes_are_checked():
    """Nothing, or one class, cannot be judged."""
    for labels, probs in ((LABELS[:0], PROBS[:0]), (LABELS, PROBS[:3]), (LABELS, PROBS[:, :1])):
        with pytest.raises(ValueError, match="shape"):
            label_noise(labels, probs)


def by_definition(labels, probs):
    """The confident joint as the paper defines it, one picture and class at a time."""
    classes = range(probs.shape[1])
    mean = [probs[labels == k, k].mean() if (labels == k).any() else None for k in classes]
    joint = np.zeros((len(classes), len(classes)), int)
    for label, row in zip(labels, probs, strict=True):
        reached = [k for k in classes if mean[k] is not None and row[k] >= mean[k]]
        if reached:
            joint[label, max(reached, key=lambda k: (row[k], -k))] += 1
    return joint


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 6), st.integers(1, 60), st.integers(0, 10**6))
def test_properties_of_any_set(classes, number, seed):
    """As defined; rows keep their sums; order plays no part; agreed labels are never flagged."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, number)
    probs = rng.dirichlet(np.full(classes, 0.5), number)
    noise = label_noise(labels, probs)
    support = np.bincount(labels, minlength=classes)

    assert noise.joint.tolist() == by_definition(labels, probs).tolist()
    np.testing.assert_allclose(noise.counts.sum(axis=1), support, atol=1e-9)
    assert (noise.wrong.sum(axis=1) <= support).all()
    assert (np.abs(noise.wrong + np.diag(noise.counts.diagonal()) - noise.counts) < 1).all()
    assert -1e-12 <= noise.share <= 1
    order = rng.permutation(number)
    assert label_noise(labels[order], probs[order]).joint.tolist() == noise.joint.tolist()
    found = {p: likely_wrong(labels, probs, noise, p) for p in ("class", "noise-rate", "both")}
    assert (found["both"] == (found["class"] & found["noise-rate"])).all()
    for flags in found.values():
        assert not (flags & (probs.argmax(axis=1) == labels)).any()
        assert flags.sum() <= noise.wrong.sum()


@pytest.mark.parametrize(
    ("pruning", "share"), [("class", 0.6), ("noise-rate", 0.6), ("both", 0.5), ("none", 0.95)]
)
def test_planted_noise_is_found(pruning, share):
    """A fifth of one class is called another: the pair comes out, and mostly wrong labels.

    Noise in one direction is estimated too low: fewer are taken than there are.
    """
    rng = np.random.default_rng(0)
    true = rng.integers(0, 4, 2000)
    logits = rng.normal(size=(2000, 4))
    logits[np.arange(2000), true] += 6
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    moved = (true == 1) & (rng.random(2000) < 0.2)
    labels = np.where(moved, 3, true)

    noise = label_noise(labels, probs)
    found = likely_wrong(labels, probs, noise, pruning)

    assert np.unravel_index(noise.wrong.argmax(), (4, 4)) == (3, 1)
    assert noise.share == pytest.approx(moved.mean(), abs=0.02)
    assert (found & moved).sum() / found.sum() > 0.85
    assert (found & moved).sum() / moved.sum() > share
