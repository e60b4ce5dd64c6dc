"""A stratified draw of whole groups: pictures of a patient, a video or a burst stay together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imgtrain.data.listing import Ints

TRAIN = 0


@dataclass
class Groups:
    """Sparse counts: group g has ``counts[k]`` of class ``classes[k]``, k from ``starts[g]`` on."""

    starts: Ints
    classes: Ints
    counts: Ints

    def of(self, group: int) -> tuple[Ints, Ints]:
        """Its classes, and how many pictures it has of each."""
        own = slice(self.starts[group], self.starts[group + 1])
        return self.classes[own], self.counts[own]


def draw_groups(
    labels: Ints, groups: Ints, chance: NDArray[np.uint64], shares: NDArray[np.float64]
) -> Ints:
    """For every picture a position in ``shares``, the same for all pictures of a group.

    The largest group goes first, each to the part that lacks most of its classes' pictures. Then
    every part that lacks a class altogether gets one small group with it from train, as long as
    train keeps some of each; and so does train, which must lack none.

    Args:
        labels: Shape (N,), class of each picture.
        groups: Shape (N,), group of each picture.
        chance: Shape (N,), random numbers: what decides between groups of a size.
        shares: Shape (P,), sum 1; the first is train's.
    """
    names, numbers, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    luck = np.full(len(names), np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(luck, numbers, chance)
    table = grouped(labels, numbers, len(names))
    targets = np.outer(shares, np.bincount(labels))
    order = np.lexsort((luck, -sizes))
    parts = _greedy(table, targets, order)
    _fill(table, parts, order[::-1], len(shares))
    return parts[numbers]


def grouped(labels: Ints, groups: Ints, number: int) -> Groups:
    """Count the classes of each of ``number`` groups, (N,) numbers from 0."""
    classes = int(labels.max()) + 1
    pairs, counts = np.unique(groups * classes + labels, return_counts=True)
    starts = np.searchsorted(pairs, np.arange(number + 1) * classes)
    return Groups(starts, pairs % classes, counts)


def _greedy(table: Groups, targets: NDArray[np.float64], order: Ints) -> Ints:
    """Give each group to the part whose squared distance from its targets falls most."""
    parts = np.zeros(len(order), np.int64)
    weights = 1 / np.maximum(targets.sum(axis=0), 1) ** 2
    lacking = targets.copy()
    for group in order.tolist():
        classes, counts = table.of(group)
        gains = lacking[:, classes] @ (counts * weights[classes])
        part = int(np.argmax(gains))
        lacking[part, classes] -= counts
        parts[group] = part
    return parts


def _fill(table: Groups, parts: Ints, order: Ints, number: int) -> None:
    """Move small groups (``order`` begins with them) to parts that lack a class; train first."""
    classes = int(table.classes.max()) + 1
    have = np.zeros((number, classes), np.int64)
    holders: list[list[int]] = [[] for _ in range(classes)]
    for group in order.tolist():
        own, counts = table.of(group)
        have[parts[group], own] += counts
        for label in own.tolist():
            holders[label].append(group)
    for part in (TRAIN, *range(number - 1, 0, -1)):
        for label in np.flatnonzero(have[part] == 0).tolist():
            if have[part, label] == 0:  # an earlier move may have brought it
                _move_one(table, parts, have, holders[label], part)


def _move_one(
    table: Groups, parts: Ints, have: NDArray[np.int64], holders: list[int], part: int
) -> None:
    """Move the first of ``holders`` that may go to ``part``, if any may."""
    for group in holders:
        own, counts = table.of(group)
        origin = parts[group]
        spare = origin == TRAIN and (have[TRAIN, own] > counts).all()
        if origin != part and (part == TRAIN or spare):
            have[origin, own] -= counts
            have[part, own] += counts
            parts[group] = part
            return
