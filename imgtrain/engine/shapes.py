"""Shapes of the learning rate after the warm-up; sizes of pictures. Pure arithmetic."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence

Shape = Callable[[float], float]
"""Steps since the end of the warm-up -> learning rate."""

Switches = tuple[tuple[int, int], ...]
"""From which step on a value holds, and the value; ascending."""

_START, _END = 25.0, 1e4
"""onecycle begins at the peak / 25 and ends at a ten-thousandth of that, as in torch."""


def constant(peak: float) -> Shape:
    """Stays at the peak."""
    return lambda _: peak


def linear(peak: float, floor: float, steps: int) -> Shape:
    """Straight from the peak to the floor."""
    return lambda step: floor + (peak - floor) * (1 - min(1.0, step / max(1, steps)))


def cosine(peak: float, floor: float, steps: int) -> Shape:
    """Half a cosine (Loshchilov & Hutter 2017, arXiv:1608.03983)."""

    def shape(step: float) -> float:
        done = min(1.0, step / max(1, steps))
        return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * done))

    return shape


def drops(peak: float, floor: float, gamma: float, at: Sequence[int]) -> Shape:
    """Multiplied by ``gamma`` at each of these steps, ascending; never below the floor."""
    return lambda step: max(floor, peak * gamma ** bisect_right(at, step))


def onecycle(peak: float, floor: float, steps: int, rise: float) -> Shape:
    """Up by a cosine in the first ``rise`` of the steps, then down (Smith & Topin 2018).

    As torch's OneCycleLR with its defaults, the momentum left alone.
    """
    start = peak / _START
    end = start / _END
    top = rise * steps - 1

    def shape(step: float) -> float:
        if step <= top:
            return _between(start, peak, step / top if top > 0 else 1.0)
        return max(floor, _between(peak, end, min(1.0, (step - top) / (steps - 1 - top))))

    return shape


def _between(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))


def switches(shares: Sequence[tuple[int, float]], steps: int) -> Switches:
    """Values (value, share) one after the other, each for its share of so many steps.

    A share is rounded to whole steps, and dropped if it comes to none; the last step has the last
    value.
    """
    found: dict[int, int] = {}
    done = 0.0
    for value, share in shares:
        found[min(round(done * steps), max(0, steps - 1))] = value
        done += share
    return tuple(found.items())


def at_step(values: Switches, step: int) -> int:
    """The value that holds at a step (from 0)."""
    return values[bisect_right(values, step, key=lambda one: one[0]) - 1][1]
