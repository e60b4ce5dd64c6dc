"""Which picture stands where in an epoch, and which random numbers it gets.

Everything is a function of (seed, epoch, position): threads, processes and interruptions change
nothing. The generator is Philox (Salmon et al. 2011), which can jump to any position.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imgtrain.engine.schedule import Batches

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

DRAWS = 8
"""Random numbers per picture and epoch."""

_ORDER, _AUGMENT = 1, 2


def _generator(seed: int, epoch: int, purpose: int) -> np.random.Philox:
    key = np.random.SeedSequence([seed, epoch, purpose]).generate_state(2, np.uint64)
    return np.random.Philox(key=key)


def epoch_order(train: Ints, *, seed: int, epoch: int) -> Ints:
    """The training positions in the order of this epoch."""
    generator = np.random.Generator(_generator(seed, epoch, _ORDER))
    return train[generator.permutation(len(train))]


def draws(positions: Ints, *, seed: int, epoch: int) -> Floats:
    """Rows ``positions`` of the epoch's table of uniform numbers in [0, 1).

    Args:
        positions: Shape (B,), places in the epoch's order.
        seed: The training seed.
        epoch: From 1.

    Returns:
        Shape (B, DRAWS).
    """
    start, stop = int(positions.min()), int(positions.max()) + 1
    source = _generator(seed, epoch, _AUGMENT)
    source.advance(start * DRAWS // 4)  # Philox 4x64 makes four numbers at each count
    table = np.random.Generator(source).random((stop - start, DRAWS))
    rows: Floats = table[positions - start]
    return rows


@dataclass(frozen=True, slots=True)
class Share:
    """One process's pictures of one batch.

    Args:
        pictures: Shape (B,), positions in the index.
        positions: Shape (B,), places in the epoch's order; None when scoring.
        counts: Shape (B,), bool; False rows fill the batch and count nowhere.
    """

    pictures: Ints
    positions: Ints | None
    counts: NDArray[np.bool_]


def training_shares(
    order: Ints, batches: Batches, *, steps: int, first_step: int, rank: int
) -> Iterator[list[Share]]:
    """For each step from ``first_step`` on, this process's micro-batches.

    Every process takes its slice of the same effective batch. A batch that the last pictures of an
    epoch do not fill is completed by repeating them, masked, so that shapes never change.
    """
    size = batches.effective
    mine = size // batches.world_size
    for step in range(first_step, steps):
        rows = order[step * size : (step + 1) * size]
        places = np.arange(size) % len(rows)
        counts = np.arange(size) < len(rows)
        local = slice(rank * mine, (rank + 1) * mine)
        pictures, positions = rows[places][local], (step * size + places)[local]
        yield [
            Share(pictures[cut], positions[cut], counts[local][cut])
            for cut in (
                slice(i * batches.micro, (i + 1) * batches.micro)
                for i in range(batches.accumulation)
            )
        ]


def scoring_shares(part: Ints, size: int, *, rank: int, world_size: int) -> Iterator[Share]:
    """This process's batches of a part, dealt in contiguous runs: nothing twice, nothing padded.

    The pictures of a batch are the same whatever ``world_size``, so results are too.
    """
    total = -(-len(part) // size)
    first, last = (total * r // world_size for r in (rank, rank + 1))
    for batch in range(first, last):
        rows = part[batch * size : (batch + 1) * size]
        yield Share(rows, None, np.ones(len(rows), np.bool_))
