"""Pictures dealt out to folds of equal size: stratified by class, whole groups."""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import NDArray

from imgtrain.data.grouped import grouped
from imgtrain.data.listing import Ints

Chances = NDArray[np.uint64]


def deal(labels: Ints, chance: Chances, *, folds: int, units: Ints | None = None) -> Ints:
    """For every picture a fold from 0, as many of each class in one as in another.

    Args:
        labels: Shape (N,), class of each picture.
        chance: Shape (N,), random numbers: what decides between pictures of a class.
        folds: How many.
        units: Shape (N,), equal for pictures that stay together; None where each is alone.
    """
    if units is None or len(np.unique(units)) == len(units):
        return _singly(labels, chance, folds)
    return _together(labels, units, chance, folds)


def _singly(labels: Ints, chance: Chances, folds: int) -> Ints:
    """Each class in the order of chance, cut into blocks whose lengths differ by one at most.

    What is left over of a class goes to the folds behind those that got what was left of the one
    before. A new picture moves the borders of its class by one, and so hardly moves the others.
    """
    found = np.empty(len(labels), np.int64)
    order = np.lexsort((chance, labels))
    first = 0
    for members in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
        sizes = np.full(folds, len(members) // folds)
        more = len(members) % folds
        sizes[(first + np.arange(more)) % folds] += 1
        first = (first + more) % folds
        found[members] = np.repeat(np.arange(folds), sizes)
    return found


def _together(labels: Ints, units: Ints, chance: Chances, folds: int) -> Ints:
    """The largest unit first, each to the fold that lacks most of its classes' pictures.

    Of two folds that lack as much, the one that lacks more pictures gets it. Those that are alone
    come last and even out what they can, class by class, in blocks by chance.
    """
    names, numbers, sizes = np.unique(units, return_inverse=True, return_counts=True)
    luck = np.full(len(names), np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(luck, numbers, chance)
    table = grouped(labels, numbers, len(names))
    lacking = np.tile(np.bincount(labels) / folds, (folds, 1))
    weights = 1 / np.maximum(np.bincount(labels), 1) ** 2
    room = np.full(folds, len(labels) / folds)
    found = np.zeros(len(names), np.int64)
    order = np.lexsort((luck, -sizes))
    for unit in order[sizes[order] > 1].tolist():
        classes, counts = table.of(unit)
        found[unit] = fold = _best_fold(lacking[:, classes], counts * weights[classes], room)
        lacking[fold, classes] -= counts
        room[fold] -= counts.sum()
    alone = np.flatnonzero(sizes[numbers] == 1)
    for label in np.unique(labels[alone]).tolist():
        members = alone[labels[alone] == label]
        members = members[np.argsort(chance[members], kind="stable")]
        shares = _shares(len(members), lacking[:, label], room)
        found[numbers[members]] = np.repeat(np.arange(folds), shares)
        room -= shares
    return found[numbers]


def _best_fold(
    lacking: NDArray[np.float64], counts: NDArray[np.float64], room: NDArray[np.float64]
) -> int:
    """Where the squared distance from an equal share of each class falls most.

    Args:
        lacking: Shape (folds, K), pictures that each fold lacks of the unit's K classes.
        counts: Shape (K,), pictures that the unit has of them, weighted by class.
        room: Shape (folds,), pictures that each fold lacks of all classes.
    """
    gains = np.round(lacking @ counts, 12)
    return int(np.lexsort((-room, -gains))[0])


def _shares(number: int, lacking: NDArray[np.float64], room: NDArray[np.float64]) -> Ints:
    """How many of ``number`` single pictures each fold gets: one by one, where most are lacking."""
    heap = [
        (-need, -space, fold)
        for fold, (need, space) in enumerate(zip(lacking.tolist(), room.tolist(), strict=True))
    ]
    heapq.heapify(heap)
    found = np.zeros(len(heap), np.int64)
    for _ in range(number):
        need, space, fold = heap[0]
        found[fold] += 1
        heapq.heapreplace(heap, (need + 1, space + 1, fold))
    return found
