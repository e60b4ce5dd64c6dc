"""Random numbers of one picture, all from its own row."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

COIN = 5
"""Which number of a row decides on erasing; the crop and the flip use those before it."""

_KEY = slice(6, 8)
_BITS = 2.0**53
"""What a uniform double holds: below 1, multiplied by this, it is a whole number."""


def generator(row: NDArray[np.float64]) -> np.random.Generator:
    """A generator that two numbers of the row are the key of: the same row, the same sequence."""
    return np.random.Generator(np.random.Philox(key=(row[_KEY] * _BITS).astype(np.uint64)))


class Draw:
    """The arguments of one operation: each call gives another number from the argument's range.

    Args:
        ranges: Lowest and highest value by the name of the argument.
        rng: Where the numbers come from; operations may also draw from it directly.
        edge: How a picture goes on beyond its edge: one of OpenCV's borders.
    """

    __slots__ = ("_ranges", "edge", "rng")

    def __init__(
        self,
        ranges: Mapping[str, tuple[float, float]],
        rng: np.random.Generator,
        edge: int = cv2.BORDER_REFLECT_101,
    ) -> None:
        self._ranges, self.rng, self.edge = ranges, rng, edge

    def __call__(self, name: str) -> float:
        """A number; of a range of one value, that value."""
        low, high = self._ranges[name]
        return low if low == high else low + (high - low) * self.rng.random()

    def whole(self, name: str) -> int:
        """A whole number, both ends included."""
        low, high = self._ranges[name]
        return round(low) if low == high else int(self.rng.integers(round(low), round(high) + 1))

    def get(self, name: str) -> float | None:
        """As calling, or None where the argument has no range."""
        return self(name) if name in self._ranges else None
