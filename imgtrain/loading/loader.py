"""Batches filled into memory made once, by threads that are ahead of the engine.

Where the engine takes all cores, threads would only take them away from it, a dozen times a step:
small pictures that lie in memory are then copied by the one who asks for them.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imgtrain.data.decode import BadImage, check_bytes
from imgtrain.data.listing import Source
from imgtrain.errors import DataError
from imgtrain.loading.arenas import share_arenas
from imgtrain.loading.mix import Mix
from imgtrain.loading.preprocess import Pixels, Preprocess
from imgtrain.loading.samplewise import View
from imgtrain.loading.sampling import DRAWS, Share, draws
from imgtrain.loading.stores import KnowsContent, Shape, Stacks, Store
from imgtrain.loading.together import SeesTogether

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
        mix: How the pictures are to be mixed; then ``pixels`` and ``targets`` have one more row in
            front, the partner of the first.
    """

    pixels: Tensor
    targets: Tensor
    mask: Tensor
    count: int
    pictures: NDArray[np.int64]
    mix: Mix | None = None

    @property
    def is_full(self) -> bool:
        """Whether all rows count."""
        return self.count == len(self.mask)


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
        self._by_content = store if isinstance(store, KnowsContent) else None
        self._stacks = store if isinstance(store, Stacks) else None
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
            check_bytes(self.source.stamp(i)[0], self.preprocess.max_pixels)
            data = self.source.read(i)
            if self._by_content is not None:
                pixels = self._by_content.find(i, data)
            if pixels is not None:
                return pixels
            pixels = self.preprocess.decoded(data)
        except (BadImage, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            self._refuse(i, reason or str(error))
            return None
        self.store.put(i, pixels)
        return pixels

    def shape(self, rows: NDArray[np.int64]) -> Shape | None:
        """The shape of all these, where ``stack`` can hand them out: stored, good and alike."""
        if self._stacks is None or (self.bad and not self.bad.keys().isdisjoint(rows.tolist())):
            return None
        return self._stacks.shape(rows)

    @property
    def in_memory(self) -> bool:
        """Whether ``stack`` never waits for a disk."""
        return self._stacks is not None and self._stacks.in_memory

    def stack(self, rows: NDArray[np.int64]) -> Pixels:
        """Stored form of pictures that have a ``shape``, (B, H, W, C)."""
        assert self._stacks is not None
        return self._stacks.stack(rows)

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
    """Makes batches, all of one shape where their shares do not say otherwise.

    Args:
        pictures: Where pictures come from.
        labels: Shape (N,), class of every picture of the index.
        device: Where batches go.
        threads: How many fill them.
        spare: Whether there are cores for them while the model computes.
    """

    def __init__(
        self,
        pictures: Pictures,
        labels: NDArray[np.int64],
        device: torch.device,
        *,
        threads: int,
        spare: bool = True,
    ) -> None:
        self.pictures, self.labels, self.device = pictures, labels, device
        self._threads, self._spare = threads, spare
        share_arenas()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="loader")
        self._slots: dict[tuple[int, int], deque[_Slot]] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def batches(
        self, shares: Iterable[Share], view: View, *, seed: int = 0, epoch: int = 0
    ) -> Generator[Batch]:
        """The batches of ``shares``, in order; pixels stay valid until the next is asked for."""
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
        side, view = share.seen or (self.pictures.preprocess.size, view)
        slot = self._take_slot(size, side)
        slot.good, slot.broken = share.counts.copy(), np.zeros(size, np.bool_)
        table = partial(_numbers, share, seed, epoch)
        shape = self.pictures.shape(share.pictures) if isinstance(view, SeesTogether) else None
        if shape is not None and isinstance(view, SeesTogether) and view.takes(shape):
            fill = partial(self._fill_at_once, share, slot, view, table)
            return share, slot, self._soon(fill, slot)
        numbers = table()
        cuts = np.linspace(0, size, min(self._threads, size) + 1).astype(int)
        futures = [
            self._pool.submit(self._fill, share, slot, view, numbers, range(a, b))
            for a, b in pairwise(cuts.tolist())
        ]
        return share, slot, futures

    def _soon(self, fill: Callable[[], None], slot: _Slot) -> list[Future[None]]:
        """Have it done by a thread, or do it where that is no help."""
        if self._spare or not self.pictures.in_memory:
            return [self._pool.submit(fill)]
        try:
            fill()
        except BaseException:
            self._give_back(slot)
            raise
        return []

    def _fill_at_once(
        self,
        share: Share,
        slot: _Slot,
        view: SeesTogether,
        table: Callable[[], NDArray[np.float64]],
    ) -> None:
        """All rows, from a store that has all of them, all of one shape."""
        if slot.busy is not None:
            slot.busy.synchronize()  # the copy to the device must have left this memory
        slot.pixels.numpy()[:] = view.many(self.pictures.stack(share.pictures), table())

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
            shown = _complete(slot, share.pictures, is_mixed=share.mix is not None)
            targets = torch.from_numpy(self.labels[shown])
            mine = slice(int(share.mix is not None), None)
            pixels = slot.pixels.to(self.device, non_blocking=True)
            if self.device.type == "cuda":
                slot.busy = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch leaves it untyped
                slot.busy.record()
            yield Batch(
                pixels=pixels,
                targets=targets.to(self.device, non_blocking=True),
                mask=torch.from_numpy(slot.good[mine]).to(self.device, non_blocking=True),
                count=int(slot.good.sum()),
                pictures=share.pictures[mine],
                mix=share.mix,
            )
        finally:
            self._give_back(slot)

    def _take_slot(self, size: int, side: int) -> _Slot:
        with self._lock:
            free = self._slots.setdefault((size, side), deque())
            if free:
                return free.popleft()
        pinned = self.device.type == "cuda"
        shape = (size, side, side, self.pictures.preprocess.channels)
        return _Slot(torch.empty(shape, dtype=torch.uint8, pin_memory=pinned))

    def _give_back(self, slot: _Slot) -> None:
        with self._lock:
            self._slots[slot.pixels.shape[0], slot.pixels.shape[1]].append(slot)


def _numbers(share: Share, seed: int, epoch: int) -> NDArray[np.float64]:
    """The rows' random numbers, (B, DRAWS)."""
    if share.positions is None:
        return np.zeros((len(share.pictures), DRAWS))
    return draws(share.positions, seed=seed, epoch=epoch)


def _complete(slot: _Slot, pictures: NDArray[np.int64], *, is_mixed: bool) -> NDArray[np.int64]:
    """Fill the rows of unreadable pictures with others of the batch; returns what each row shows.

    They stay masked: they count nowhere, but black rows would shift the means of batch norm. In a
    batch that is mixed, such a row shows what the next one shows: that picture is then mixed with
    itself, however the batch is cut.
    """
    if not slot.broken.any():
        return pictures
    shown = pictures.copy()
    good = np.flatnonzero(slot.good)
    bad = np.flatnonzero(~slot.good & slot.broken)
    pixels = slot.pixels.numpy()
    if len(good) and len(bad):
        taken = good[np.arange(len(bad)) % len(good)]
        pixels[bad], shown[bad] = pixels[taken], pictures[taken]
    for row in bad[::-1].tolist() if is_mixed else ():
        if row + 1 < len(shown):
            pixels[row], shown[row] = pixels[row + 1], shown[row + 1]
    return shown
