"""Where decoded pictures may stay, and the two simplest places: nowhere and memory."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from imgtrain.loading.preprocess import Pixels

Shape = tuple[int, int, int]
"""Height, width, channels."""


class Store(Protocol):
    """Somewhere to keep decoded pictures, safe for threads."""

    def get(self, i: int) -> Pixels | None:
        """Picture ``i`` (H, W, C), read-only, or None when it is not here."""

    def put(self, i: int, pixels: Pixels) -> None:
        """Keep picture ``i``."""

    def save(self) -> None:
        """Make what was put so far outlive the process."""

    def close(self) -> None:
        """Save, and let go of files."""


@runtime_checkable
class KnowsContent(Protocol):
    """A store that outlives the process, and knows a file that was only touched or copied."""

    def find(self, i: int, data: bytes) -> Pixels | None:
        """Picture ``i`` by its file's bytes; asked between a ``get`` in vain and ``put``."""


@runtime_checkable
class Stacks(Protocol):
    """A store that hands out many pictures of one shape at once, safe for threads.

    It says whether all of them lie in memory.
    """

    in_memory: bool

    def shape(self, rows: NDArray[np.int64]) -> Shape | None:
        """The shape of all these pictures (B,); None where they differ, or one is not here."""

    def stack(self, rows: NDArray[np.int64]) -> Pixels:
        """Those pictures (B, H, W, C), which have one shape; a copy."""


def common(shapes: NDArray[np.int64], channels: int) -> Shape | None:
    """The one shape of heights and widths (B, 2), where there is one; a height of 0 is none."""
    height, width = shapes[0].tolist()
    return (height, width, channels) if height > 0 and (shapes == shapes[0]).all() else None


class Nowhere:
    """Keeps nothing: ``--cache off``."""

    def get(self, i: int) -> Pixels | None:  # noqa: ARG002  # the protocol's argument
        """Nothing."""
        return None

    def put(self, i: int, pixels: Pixels) -> None:
        """Forget."""

    def save(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""


class InMemory:
    """Keeps pictures in this process."""

    in_memory = True

    def __init__(self, length: int) -> None:
        self._pictures: list[Pixels | None] = [None] * length
        self._shapes = np.zeros((length, 2), np.int64)
        self._channels = 0

    def get(self, i: int) -> Pixels | None:
        """Picture ``i`` or None."""
        return self._pictures[i]

    def put(self, i: int, pixels: Pixels) -> None:
        """Keep it."""
        self._pictures[i], self._channels = pixels, pixels.shape[2]
        self._shapes[i] = pixels.shape[:2]

    def shape(self, rows: NDArray[np.int64]) -> Shape | None:
        """The shape of all these pictures, if they have one."""
        return common(self._shapes[rows], self._channels)

    def stack(self, rows: NDArray[np.int64]) -> Pixels:
        """Pictures of one shape, (B, H, W, C)."""
        found = [self._pictures[i] for i in rows.tolist()]
        stacked: Pixels = np.array(found)
        return stacked

    def save(self) -> None:
        """Memory does not outlive the process."""

    def close(self) -> None:
        """Nothing to do."""
