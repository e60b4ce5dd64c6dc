"""Which picture stands where in an epoch, and which random numbers it gets.

Everything is a function of (seed, epoch, position): threads, processes and interruptions change
nothing. The generator is Philox (Salmon et al. 2011), which can jump to any position.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from imgtrain.engine.schedule import Batches
from imgtrain.loading.mix import Mix
from imgtrain.loading.samplewise import View

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

DRAWS = 8
"""Random numbers per picture and epoch."""

_ORDER, _AUGMENT = 1, 2

_BLOCK = 1024
"""Rows of an epoch's table drawn at once: a generator costs more than a batch's numbers."""


@lru_cache(maxsize=16)
def _key(seed: int, epoch: int, purpose: int) -> NDArray[np.uint64]:
    """Derived once an epoch, not for every batch."""
    words = np.random.SeedSequence([seed, epoch, purpose]).generate_state(2, np.uint64)
    key = words.astype(np.uint64, copy=False)
    key.flags.writeable = False
    return key


def _generator(seed: int, epoch: int, purpose: int) -> np.random.Philox:
    return np.random.Philox(key=_key(seed, epoch, purpose))


def order_generator(seed: int, epoch: int) -> np.random.Generator:
    """What the order of an epoch is drawn with."""
    return np.random.Generator(_generator(seed, epoch, _ORDER))


def draws(positions: Ints, *, seed: int, epoch: int) -> Floats:
    """Rows ``positions`` of the epoch's table of uniform numbers in [0, 1).

    Args:
        positions: Shape (B,), places in the epoch's order.
        seed: The training seed.
        epoch: From 1.

    Returns:
        Shape (B, DRAWS).
    """
    first, last = int(positions.min()) // _BLOCK, int(positions.max()) // _BLOCK
    blocks = [_block(seed, epoch, number) for number in range(first, last + 1)]
    table = blocks[0] if first == last else np.concatenate(blocks)
    return table.take(positions - first * _BLOCK, axis=0)


@lru_cache(maxsize=8)
def _block(seed: int, epoch: int, number: int) -> Floats:
    """Rows from ``number * _BLOCK`` on, (_BLOCK, DRAWS)."""
    source = _generator(seed, epoch, _AUGMENT)
    source.advance(number * _BLOCK * DRAWS // 4)  # Philox 4x64 makes four numbers at each count
    return np.random.Generator(source).random((_BLOCK, DRAWS))


@dataclass(frozen=True, slots=True)
class Share:
    """One process's pictures of one batch.

    Args:
        pictures: Shape (B,), positions in the index.
        positions: Shape (B,), places in the epoch's order; None when scoring.
        counts: Shape (B,), bool; False rows fill the batch and count nowhere.
        mix: How the pictures are mixed, each with the one before it; then there is one more row in
            front, the partner of the first, which does not count.
        seen: Side of the pictures in pixels, and their view, where these are not the usual ones.
    """

    pictures: Ints
    positions: Ints | None
    counts: NDArray[np.bool_]
    mix: Mix | None = None
    seen: tuple[int, View] | None = None


def training_shares(
    order: Ints,
    batches: Batches,
    *,
    steps: int,
    first_step: int,
    rank: int,
    mix_at: Callable[[int], Mix | None] = lambda _: None,
    seen_at: Callable[[int], tuple[int, View] | None] = lambda _: None,
) -> Iterator[list[Share]]:
    """For each step from ``first_step`` on, this process's micro-batches.

    Every process takes its slice of the same effective batch. A batch that the last pictures of an
    epoch do not fill is completed by repeating them, masked, so that shapes never change.
    ``mix_at`` tells how the batch of a step is mixed, ``seen_at`` in which size it is seen.
    """
    size = batches.effective
    mine = size // batches.world_size
    every, all_count = np.arange(size), np.ones(size, np.bool_)
    for step in range(first_step, steps):
        rows, places, counts = order[step * size : (step + 1) * size], every, all_count
        if len(rows) < size:
            places, counts = every % len(rows), every < len(rows)
        mix, seen = mix_at(step), seen_at(step)
        shares = []
        for first, last in batches.cuts():
            start = rank * mine + first
            cut = np.arange(start - (mix is not None), rank * mine + last)
            if start == 0:
                cut[0] = cut[0] if mix is None else len(rows) - 1
            picked, counted = places[cut], counts[cut]
            if mix is not None:
                counted[0] = False
            shares.append(Share(rows[picked], step * size + picked, counted, mix, seen))
        yield shares


def scoring_shares(
    part: Ints, size: int, *, rank: int, world_size: int, even: bool = False
) -> Iterator[Share]:
    """This process's batches of a part, dealt in contiguous runs: nothing twice, nothing padded.

    The pictures of a batch are the same whatever ``world_size``, so results are too. Where all
    processes need equally many (``even``), some end with a batch that does not count.
    """
    total = -(-len(part) // size)
    first, last = (total * r // world_size for r in (rank, rank + 1))
    for batch in range(first, last):
        rows = part[batch * size : (batch + 1) * size]
        yield Share(rows, None, np.ones(len(rows), np.bool_))
    most = max(total * (r + 1) // world_size - total * r // world_size for r in range(world_size))
    for _ in range(most - (last - first) if even else 0):
        yield Share(part[:size], None, np.zeros(len(part[:size]), np.bool_))
