"""Batches of features instead of pictures: what a frozen network made of each, looked up."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imgtrain.loading.feature_file import GOOD, Floats, Marks
from imgtrain.loading.loader import Batch, Loader
from imgtrain.loading.samplewise import View
from imgtrain.loading.sampling import Share

ON_DEVICE = 2**31
"""So many bytes of features are kept where the classifier computes."""


class Features(Protocol):
    """Features by row, and what is known of each picture."""

    rows: Floats
    marks: Marks


class RowLoader:
    """Stands where a ``Loader`` of pictures stands; ``Batch.pixels`` are (B, D) float32.

    Args:
        seen: The loader of the pictures themselves.
        known: Their features, one row a picture of ``positions``.
        positions: Shape (N,), sorted: which pictures of the index have a row.
        fill: Computes what is not known yet, unless the function it is given says to stop; returns
            whether it came to its end.
    """

    def __init__(
        self,
        seen: Loader,
        known: Features,
        positions: NDArray[np.int64],
        fill: Callable[[Callable[[], bool]], bool],
    ) -> None:
        self.seen, self.pictures, self.labels, self.device = (
            seen,
            seen.pictures,
            seen.labels,
            seen.device,
        )
        self._known, self._fill = known, fill
        self._row = np.full(len(seen.labels), -1, np.int64)
        self._row[positions] = np.arange(len(positions))
        self._table: Tensor | None = None

    def close(self) -> None:
        """Nothing to do: the loader of the pictures is closed by whoever made it."""

    def ready(self, stopped: Callable[[], bool] = lambda: False) -> bool:
        """Have every row computed, unless stopped; whether they are. All processes together."""
        if self._table is not None:
            return True
        if not self._fill(stopped):
            return False
        rows = self._known.rows
        small = rows.nbytes <= ON_DEVICE
        self._table = torch.from_numpy(np.array(rows) if small else rows)
        if small:
            self._table = self._table.to(self.device)
        return True

    @property
    def is_good(self) -> NDArray[np.bool_]:
        """Shape (N,): which pictures could be read."""
        good: NDArray[np.bool_] = self._known.marks == GOOD
        return good

    def batches(
        self,
        shares: Iterable[Share],
        view: View,  # noqa: ARG002  # a Loader's argument: what is cached was seen in one way
        *,
        seed: int = 0,  # noqa: ARG002  # as view
        epoch: int = 0,  # noqa: ARG002  # as view
    ) -> Generator[Batch, None, None]:
        """The batches of ``shares``, in order; rows of unreadable pictures are masked zeros."""
        self.ready()
        assert self._table is not None
        table, home = self._table, self._table.device
        for share in shares:
            assert share.mix is None
            rows = self._row[share.pictures]
            good = share.counts & (self._known.marks[rows] == GOOD)
            picked = table[torch.from_numpy(rows).to(home, non_blocking=True)]
            targets = torch.from_numpy(self.labels[share.pictures])
            yield Batch(
                pixels=picked.to(self.device, non_blocking=True),
                targets=targets.to(self.device, non_blocking=True),
                mask=torch.from_numpy(good).to(self.device, non_blocking=True),
                count=int(good.sum()),
                pictures=share.pictures,
            )
