"""Which training picture stands where in an epoch, evenly over the classes where that is asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from imgtrain.loading.sampling import order_generator

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False, slots=True)
class Order:
    """The training pictures of every epoch, as a function of seed and epoch.

    Args:
        train: Shape (N,), positions in the index.
        labels: Shape (N,), their classes.
        strategy: ``oversample`` repeats pictures until every class has as many as the largest,
            ``undersample`` takes as many of each class as the smallest has (others each epoch),
            ``batch`` gives every batch the same number of each class, or one more; all else
            shows every picture once.
        batch: Pictures per update, for ``batch``.
    """

    train: Ints
    labels: Ints
    strategy: str = "none"
    batch: int = 1
    _length: int = field(init=False)

    def __post_init__(self) -> None:
        """Count once: every step asks."""
        object.__setattr__(self, "_length", epoch_length(self.labels, self.strategy))

    def __len__(self) -> int:
        """Pictures in an epoch."""
        return self._length

    def epoch(self, epoch: int, *, seed: int) -> Ints:
        """Positions in the index, in the order of this epoch: shape (len(self),)."""
        generator = order_generator(seed, epoch)
        draw = _DRAWN.get(self.strategy, _all)
        return self.train[draw(self.labels, len(self), self.batch, generator)]


def epoch_length(labels: Ints, strategy: str) -> int:
    """How many pictures an epoch shows."""
    counts = np.bincount(labels)
    counts = counts[counts > 0]
    if strategy == "oversample":
        return int(counts.max() * len(counts))
    if strategy == "undersample":
        return int(counts.min() * len(counts))
    return len(labels)


def _all(_labels: Ints, length: int, _batch: int, generator: np.random.Generator) -> Ints:
    return generator.permutation(length)


def _resampled(labels: Ints, length: int, _batch: int, generator: np.random.Generator) -> Ints:
    """As many pictures of each class, all once before any twice, in one random order."""
    classes = _members(labels)
    each = length // len(classes)
    return generator.permutation(np.concatenate([_stream(own, each, generator) for own in classes]))


def _even_batches(labels: Ints, length: int, batch: int, generator: np.random.Generator) -> Ints:
    """Classes dealt in turn to each batch, pictures of a class in turn to its places."""
    classes = _members(labels)
    places, extras = np.empty(length, np.int64), np.zeros(len(classes))
    for start in range(0, length, batch):
        size = min(batch, length - start)
        each, more = divmod(size, len(classes))
        favoured = np.lexsort((generator.random(len(classes)), extras))[:more]
        extras[favoured] += 1
        mine = np.concatenate([np.repeat(np.arange(len(classes)), each), favoured])
        places[start : start + size] = generator.permutation(mine)
    order = np.empty(length, np.int64)
    for number, own in enumerate(classes):
        there = np.flatnonzero(places == number)
        order[there] = _stream(own, len(there), generator)
    return order


def _members(labels: Ints) -> list[Ints]:
    """Positions of each class that has any."""
    order = np.argsort(labels, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)


def _stream(values: Ints, count: int, generator: np.random.Generator) -> Ints:
    """``count`` of ``values``: shuffled anew each time all of them have been dealt."""
    rounds = -(-count // len(values))
    return np.concatenate(
        [np.empty(0, np.int64), *(generator.permutation(values) for _ in range(rounds))]
    )[:count]


_DRAWN: dict[str, Callable[[Ints, int, int, np.random.Generator], Ints]] = {
    "oversample": _resampled,
    "undersample": _resampled,
    "batch": _even_batches,
}
