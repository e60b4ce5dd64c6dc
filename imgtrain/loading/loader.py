"""Batches filled by threads into memory made once, one step ahead of the engine."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imgtrain.data.decode import BadImage
from imgtrain.data.listing import Source
from imgtrain.errors import DataError
from imgtrain.loading.cache import Store
from imgtrain.loading.preprocess import Pixels, Preprocess
from imgtrain.loading.samplewise import View
from imgtrain.loading.sampling import DRAWS, Share, draws

AHEAD = 3
"""Batches being filled while one is in use."""


@dataclass(slots=True)
class Batch:
    """One process's part of one batch, where the model is.

    Args:
        pixels: Shape (B, H, W, C), uint8.
        targets: Shape (B,), int64.
        mask: Shape (B,), bool; False rows count nowhere.
        count: How many rows count.
        pictures: Shape (B,), positions in the index.
    """

    pixels: Tensor
    targets: Tensor
    mask: Tensor
    count: int
    pictures: NDArray[np.int64]


class Pictures:
    """Pictures by number: from the store, else decoded and stored. Safe for threads.

    Args:
        source: Where the bytes are.
        preprocess: How they are decoded.
        store: Where decoded pictures stay.
        on_bad: ``error`` ends the work, ``skip`` leaves the picture out.
    """

    def __init__(
        self, source: Source, preprocess: Preprocess, store: Store, *, on_bad: str
    ) -> None:
        self.source, self.preprocess, self.store = source, preprocess, store
        self.on_bad = on_bad
        self.bad: dict[int, str] = {}

    def get(self, i: int) -> Pixels | None:
        """Stored form of picture ``i`` (H, W, C); None for one that cannot be read.

        Raises:
            DataError: If it cannot be read and ``on_bad`` is ``error``.
        """
        if i in self.bad:
            return None
        pixels = self.store.get(i)
        if pixels is not None:
            return pixels
        try:
            pixels = self.preprocess.decoded(self.source.read(i))
        except (BadImage, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            self._refuse(i, reason or str(error))
            return None
        self.store.put(i, pixels)
        return pixels

    def _refuse(self, i: int, reason: str) -> None:
        if self.on_bad == "error":
            raise DataError(
                f"cannot read {self.source.path(i)}: {reason}",
                "mend or remove it, or leave such pictures out with --on-bad-image skip",
            )
        self.bad[i] = reason


@dataclass(slots=True)
class _Slot:
    """Memory for one batch, used again and again."""

    pixels: Tensor
    busy: torch.cuda.Event | None = None
    good: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    broken: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))


class Loader:
    """Makes batches of one fixed shape.

    Args:
        pictures: Where pictures come from.
        labels: Shape (N,), class of every picture of the index.
        device: Where batches go.
        threads: How many fill them.
    """

    def __init__(
        self,
        pictures: Pictures,
        labels: NDArray[np.int64],
        device: torch.device,
        *,
        threads: int,
    ) -> None:
        self.pictures, self.labels, self.device = pictures, labels, device
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="loader")
        self._slots: dict[int, deque[_Slot]] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def batches(
        self, shares: Iterable[Share], view: View, *, seed: int = 0, epoch: int = 0
    ) -> Iterator[Batch]:
        """The batches of ``shares``, in order; each stays valid until the next is asked for."""
        waiting: deque[tuple[Share, _Slot, list[Future[None]]]] = deque()
        source = iter(shares)
        try:
            for share in source:
                waiting.append(self._begin(share, view, seed, epoch))
                if len(waiting) > AHEAD:
                    yield from self._finish(*waiting.popleft())
            while waiting:
                yield from self._finish(*waiting.popleft())
        finally:
            for _, slot, futures in waiting:
                for future in futures:
                    future.cancel()
                for future in futures:
                    if not future.cancelled():
                        future.exception()
                self._give_back(slot)

    def _begin(
        self, share: Share, view: View, seed: int, epoch: int
    ) -> tuple[Share, _Slot, list[Future[None]]]:
        """Let the threads fill a batch, a run of rows each."""
        size = len(share.pictures)
        slot = self._take_slot(size)
        slot.good, slot.broken = share.counts.copy(), np.zeros(size, np.bool_)
        numbers = (
            np.zeros((size, DRAWS))
            if share.positions is None
            else draws(share.positions, seed=seed, epoch=epoch)
        )
        cuts = np.linspace(0, size, min(self._threads, size) + 1).astype(int)
        futures = [
            self._pool.submit(self._fill, share, slot, view, numbers, range(a, b))
            for a, b in pairwise(cuts.tolist())
        ]
        return share, slot, futures

    def _fill(
        self,
        share: Share,
        slot: _Slot,
        view: View,
        numbers: NDArray[np.float64],
        rows: range,
    ) -> None:
        if slot.busy is not None:
            slot.busy.synchronize()  # the copy to the device must have left this memory
        out = slot.pixels.numpy()
        for row in rows:
            pixels = self.pictures.get(int(share.pictures[row]))
            if pixels is None:
                slot.good[row], slot.broken[row] = False, True
                out[row] = 0
            else:
                out[row] = view(pixels, numbers[row])

    def _finish(self, share: Share, slot: _Slot, futures: list[Future[None]]) -> Iterator[Batch]:
        """Wait for the threads and hand the batch over."""
        try:
            for future in futures:
                future.result()
            _complete(slot)
            targets = torch.from_numpy(self.labels[share.pictures])
            pixels = slot.pixels.to(self.device, non_blocking=True)
            if self.device.type == "cuda":
                slot.busy = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch leaves it untyped
                slot.busy.record()
            yield Batch(
                pixels=pixels,
                targets=targets.to(self.device, non_blocking=True),
                mask=torch.from_numpy(slot.good).to(self.device, non_blocking=True),
                count=int(slot.good.sum()),
                pictures=share.pictures,
            )
        finally:
            self._give_back(slot)

    def _take_slot(self, size: int) -> _Slot:
        with self._lock:
            free = self._slots.setdefault(size, deque())
            if free:
                return free.popleft()
        p = self.pictures.preprocess
        pinned = self.device.type == "cuda"
        shape = (size, p.size, p.size, p.channels)
        return _Slot(torch.empty(shape, dtype=torch.uint8, pin_memory=pinned))

    def _give_back(self, slot: _Slot) -> None:
        with self._lock:
            self._slots[len(slot.pixels)].append(slot)


def _complete(slot: _Slot) -> None:
    """Fill the rows of unreadable pictures with others of the batch, for batch norm's sake.

    They stay masked: they count nowhere, but black rows would shift the means of the rest.
    """
    good = np.flatnonzero(slot.good)
    bad = np.flatnonzero(~slot.good & slot.broken)
    if len(good) and len(bad):
        pixels = slot.pixels.numpy()
        pixels[bad] = pixels[good[np.arange(len(bad)) % len(good)]]
