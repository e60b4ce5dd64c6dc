"""Which labels are likely wrong: confident learning on out-of-sample probabilities.

Northcutt, Jiang & Chuang 2021, "Confident learning: estimating uncertainty in dataset labels",
Journal of Artificial Intelligence Research 70 (arXiv:1911.00068). The given label may be wrong; the
true one is unknown. A picture is counted as truly of a class if its probability there reaches what
pictures of that class have on average, so that classes of which the model is never sure count too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from imgtrain.metrics.confusion import Floats, Ints, ratio

Flags = NDArray[np.bool_]
Pruning = Literal["class", "noise-rate", "both", "none"]
"""How many of which: per given class, per pair of classes, what both say, or every doubt."""

Quality = Literal["self-confidence", "margin"]
BELIEVED = 0.5
"""The doubts of models that agree with fewer of the labels say more of them than of the labels."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelNoise:
    """How labels and likely true classes go together.

    Args:
        thresholds: Shape (C,): the mean probability of a class over the pictures labelled so; NaN
            for a class without pictures.
        joint: Shape (C, C), the confident joint: pictures by given class (rows) and the class that
            they confidently are of (columns).
        counts: Shape (C, C): the joint scaled so that each row adds up to the pictures labelled so.
    """

    thresholds: Floats
    joint: Ints
    counts: Floats

    @property
    def share(self) -> float:
        """Estimated share of wrong labels, in [0, 1]."""
        return float(1 - self.counts.trace() / self.counts.sum())

    @property
    def wrong(self) -> Ints:
        """Estimated wrong labels as whole numbers, shape (C, C): 0 on the diagonal."""
        found = _rounded(self.counts)
        np.fill_diagonal(found, 0)
        return found


def agreement(labels: Ints, probs: Floats) -> float:
    """The share of the N pictures whose label is the most probable of the C classes."""
    return float((probs.argmax(axis=1) == labels).mean())


def label_noise(labels: Ints, probs: Floats) -> LabelNoise:
    """Estimate the noise of labels.

    Args:
        labels: Shape (N,), given classes in [0, C).
        probs: Shape (N, C), of models that have not trained on the picture.

    Returns:
        Thresholds, confident joint, and the joint calibrated to the counts of the labels. A class
        of which no picture is confidently anything is taken as labelled right.

    Raises:
        ValueError: If there is no picture or the shapes do not fit together.
    """
    _check(labels, probs)
    classes = probs.shape[1]
    support = np.bincount(labels, minlength=classes)
    own = np.bincount(labels, weights=_own(labels, probs), minlength=classes)
    thresholds = ratio(own, support)
    reached = probs >= thresholds  # nothing reaches NaN
    confident = reached.any(axis=1)
    likely = np.where(reached, probs, -1.0).argmax(axis=1)
    joint = np.zeros((classes, classes), np.int64)
    np.add.at(joint, (labels[confident], likely[confident]), 1)
    rows = joint.sum(axis=1)
    known = np.where((rows > 0)[:, None], joint, np.eye(classes))
    counts = known / np.maximum(rows, 1)[:, None] * support[:, None]
    return LabelNoise(thresholds, joint, counts)


def likely_wrong(labels: Ints, probs: Floats, noise: LabelNoise, pruning: Pruning) -> Flags:
    """Flag as many labels as are estimated to be wrong.

    ``class`` takes, of each class, those with the lowest probability of their own label;
    ``noise-rate`` takes, of each pair of classes, those that the margin speaks most against;
    ``both`` takes what both take; ``none`` takes every label that is not the likeliest. One that is
    the likeliest is never flagged.

    Args:
        labels: Shape (N,).
        probs: Shape (N, C).
        noise: Of the same pictures.
        pruning: Which.

    Returns:
        Shape (N,).
    """
    _check(labels, probs)
    wrong = noise.wrong
    found: Flags = probs.argmax(axis=1) != labels
    if pruning in {"class", "both"}:
        found &= _by_class(labels, probs, wrong)
    if pruning in {"noise-rate", "both"}:
        found &= _by_noise_rate(labels, probs, wrong)
    return found


def label_quality(labels: Ints, probs: Floats, quality: Quality) -> Floats:
    """How well the models agree with each label, in [0, 1]; 0 is worst.

    ``self-confidence`` is the probability of the label; ``margin`` is how far it lies above the
    likeliest other class, brought from [-1, 1] to [0, 1].

    Args:
        labels: Shape (N,).
        probs: Shape (N, C), C at least 2.
        quality: Which.

    Returns:
        Shape (N,).
    """
    _check(labels, probs)
    own = _own(labels, probs)
    if quality == "self-confidence":
        return own
    return (
        own - np.take_along_axis(probs, likeliest_other(labels, probs)[:, None], 1)[:, 0] + 1
    ) / 2


def likeliest_other(labels: Ints, probs: Floats) -> Ints:
    """The likeliest class that is not the label, shape (N,)."""
    others = probs.copy()
    others[np.arange(labels.size), labels] = -1.0
    return np.asarray(others.argmax(axis=1))


def _check(labels: Ints, probs: Floats) -> None:
    if labels.size == 0 or probs.ndim != 2 or len(probs) != labels.size or probs.shape[1] < 2:  # noqa: PLR2004  # shape (N, C), two classes
        raise ValueError(f"{labels.size} labels and probabilities of shape {probs.shape}")


def _own(labels: Ints, probs: Floats) -> Floats:
    return np.asarray(probs[np.arange(labels.size), labels])


def _by_class(labels: Ints, probs: Floats, wrong: Ints) -> Flags:
    found = np.zeros(labels.size, np.bool_)
    own = _own(labels, probs)
    for label, number in enumerate(wrong.sum(axis=1).tolist()):
        here = np.flatnonzero(labels == label)
        found[here[np.argsort(own[here], kind="stable")[:number]]] = True
    return found


def _by_noise_rate(labels: Ints, probs: Floats, wrong: Ints) -> Flags:
    found = np.zeros(labels.size, np.bool_)
    for label in np.flatnonzero(wrong.sum(axis=1)).tolist():
        here = np.flatnonzero(labels == label)
        for other in np.flatnonzero(wrong[label]).tolist():
            margin = probs[here, label] - probs[here, other]
            order = np.argsort(margin, kind="stable")[: wrong[label, other]]
            found[here[order]] = True
    return found


def _rounded(counts: Floats) -> Ints:
    """Whole numbers whose rows add up as before: the largest remainders are rounded up."""
    down = np.floor(counts + 1e-9)
    missing = np.rint(counts.sum(axis=1) - down.sum(axis=1)).astype(np.int64)
    order = np.argsort(-(counts - down), axis=1, kind="stable")
    rank = np.argsort(order, axis=1, kind="stable")
    found: Ints = (down + (rank < missing[:, None])).astype(np.int64)
    return found
