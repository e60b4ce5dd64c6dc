"""The probabilities of several models as those of one, and how much each of them counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt

from imgtrain.metrics.calibration import log_loss
from imgtrain.metrics.confusion import Floats, Ints, confusion_matrix, macro_f1

Rule = Literal["mean", "logits", "vote", "greedy"]
"""How members are combined; ``greedy`` is the mean with the weights that `greedy` chose."""

SMALLEST = float(np.finfo(np.float64).eps)
"""What a probability of 0 counts as where its logarithm is taken, as in `log_loss`."""

_VISIBLE = 2e-6
"""By how much a tie's winner leads: it comes first where six digits are written, too."""

_TURNS = 10
"""Rounds of the greedy selection for each member."""


def combine(probs: Floats, how: Rule, weights: Floats | None = None) -> Floats:
    """One model's probabilities from those of several.

    ``mean`` (and ``greedy``) averages probabilities. ``logits`` averages logits, which for
    networks with a softmax is the geometric mean of their probabilities, scaled to add up to 1
    (a product of experts; Hinton 2002, "Training products of experts by minimizing contrastive
    divergence"); a probability below 2.2e-16 counts as that, so that no member can rule a class
    out for all. ``vote`` gives every class the share of the members that take it for the most
    probable; among classes with equally many votes the one of the largest mean probability leads
    by two millionths, then the one of the lowest index.

    The result does not depend on the order of the members, to the last bit.

    Args:
        probs: Shape (M, N, C), float64, rows that add up to 1.
        how: The rule.
        weights: Shape (M,), at least 0 and not all 0; each counts the same if not given.

    Returns:
        Shape (N, C), float64, rows that add up to 1.

    Raises:
        ValueError: If the shapes do not fit together, or a weight is no weight.
    """
    shares = _shares(probs, weights)
    if how == "logits":
        return _geometric(probs, shares)
    mean = _total(shares[:, None, None] * probs)
    return _votes(probs, shares, mean) if how == "vote" else mean


def _shares(probs: Floats, weights: Floats | None) -> Floats:
    """The weights of M members, scaled to add up to 1."""
    if probs.ndim != 3 or not len(probs):  # noqa: PLR2004  # members, pictures, classes
        raise ValueError(f"probabilities of shape {probs.shape} are not (M, N, C)")
    given = np.ones(len(probs)) if weights is None else np.asarray(weights, np.float64)
    if given.shape != (len(probs),):
        raise ValueError(f"weights of shape {given.shape} for {len(probs)} members")
    if not np.isfinite(given).all() or given.min() < 0 or given.sum() == 0:
        raise ValueError("weights must be finite, at least 0, and not all 0")
    whole: Floats = given / _total(given)
    return whole


def _total(parts: Floats) -> Floats:
    """The sum over the first axis, the same bits whatever the order along it."""
    ordered = np.sort(parts, axis=0)
    total: Floats = ordered[0].copy() if ordered.ndim > 1 else np.asarray(ordered[0])
    for part in ordered[1:]:
        total = total + part
    return total


def _geometric(probs: Floats, shares: Floats) -> Floats:
    """Subtracting each row's largest logarithm keeps the exponentials in range."""
    logs = _total(shares[:, None, None] * np.log(np.maximum(probs, SMALLEST)))
    odds = np.exp(logs - logs.max(axis=1, keepdims=True))
    scaled: Floats = odds / odds.sum(axis=1, keepdims=True)
    return scaled


def _votes(probs: Floats, shares: Floats, mean: Floats) -> Floats:
    """Shares of votes, with a visible lead for the winner of a tie."""
    cast = np.zeros(probs.shape)
    np.put_along_axis(cast, probs.argmax(axis=2)[:, :, None], shares[:, None, None], axis=2)
    found = _total(cast)
    leads = np.isclose(found, found.max(axis=1, keepdims=True), rtol=1e-9, atol=0)
    tied = np.flatnonzero(leads.sum(axis=1) > 1)
    winners = np.where(leads, mean, -1.0).argmax(axis=1)[tied]
    found[tied] *= 1 - _VISIBLE
    found[tied, winners] += _VISIBLE
    return found


def greedy(
    probs: Floats,
    labels: Ints,
    *,
    monitor: str = "val_top1",
    held_out: npt.NDArray[np.bool_] | None = None,
) -> Floats:
    """How often each member is taken when the best ensemble is built member by member.

    Starting from nothing, the member whose joining scores best is added, again and again, a member
    as often as it helps; the best ensemble on the way is kept (Caruana et al. 2004, "Ensemble
    selection from libraries of models"). The log loss decides between equal scores, as it does
    between epochs. Members that are equally good in both join in turn, and of such ensembles the
    largest is kept: where nothing speaks against it, all count the same.

    With ``held_out`` a picture is judged by those members alone that were not trained on it; by
    all of those, where none of them has joined yet.

    Args:
        probs: Shape (M, N, C), float64, on pictures that no member was trained on, never those
            of a test part; rows outside of ``held_out`` are not looked at.
        labels: Shape (N,), true classes in [0, C).
        monitor: ``val_top1``, ``val_macro_f1`` or ``val_loss``.
        held_out: Shape (M, N), whether the member may judge the picture; all may, if not given.

    Returns:
        Shape (M,), float64 whole numbers, at least 0 and not all 0.

    Raises:
        ValueError: If there is no picture, no such metric, or a picture that nobody may judge.
    """
    members, pictures, _ = probs.shape
    judge = _SCORES.get(monitor)
    allowed = np.ones((members, pictures), np.bool_) if held_out is None else held_out
    if judge is None or not pictures or not allowed.any(axis=0).all():
        raise ValueError(f"cannot select by {monitor} on {pictures} pictures")
    seen = np.where(allowed[:, :, None], probs, 0.0)
    counts = best = np.zeros(members)
    best_score = (-np.inf, -np.inf)
    for _ in range(_TURNS * members):
        scored = []
        for grown in counts + np.eye(members):
            mean = _mean_of(seen, allowed, grown)
            score = judge(labels, mean), -log_loss(labels, mean)
            scored.append((score, -_again(counts, grown), grown))
        score, _, counts = max(scored, key=lambda found: found[:2])
        if score >= best_score:
            best, best_score = counts, score
    return best


def _again(before: Floats, after: Floats) -> float:
    """How often the member that joins was there already."""
    return float(before[(after - before).argmax()])


def _mean_of(seen: Floats, allowed: npt.NDArray[np.bool_], counts: Floats) -> Floats:
    """Every picture's mean over the members that may judge it: (N, C)."""
    weights = counts[:, None] * allowed  # (M, N)
    alone = weights.sum(axis=0) == 0
    weights[:, alone] = allowed[:, alone]
    mean: Floats = np.einsum("mn,mnc->nc", weights / weights.sum(axis=0), seen)
    return mean


def _top1(labels: Ints, probs: Floats) -> float:
    return float((probs.argmax(axis=1) == labels).mean())


def _macro_f1(labels: Ints, probs: Floats) -> float:
    matrix = confusion_matrix(labels, probs.argmax(axis=1), probs.shape[1])
    return float(macro_f1(matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)))


_SCORES: dict[str, Callable[[Ints, Floats], float]] = {
    "val_top1": _top1,
    "val_macro_f1": _macro_f1,
    "val_loss": lambda labels, probs: -log_loss(labels, probs),
}
"""What a training may be monitored by; more is better."""
