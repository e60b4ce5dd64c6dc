"""A frozen network's features on disk: each picture goes through the network once.

The rows of one set under one network lie in one file, (N, D) float32 and then N bytes that say what
is known. The file is named after everything that the numbers depend on, so nothing in it is stale,
and whoever computes a batch again writes the same bits: any number of processes may do so at once.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imgtrain import console
from imgtrain.loading.locks import Lock
from imgtrain.loading.quota import PIXELS, USERS, Quota

UNKNOWN, GOOD, BAD = 0, 1, 2
"""What is known of a picture: nothing yet; its features; that it cannot be read."""

_SAVE_EVERY = 2.0
"""Seconds of work that a crash may cost."""

Floats = NDArray[np.float32]
Marks = NDArray[np.uint8]


class InMemory:
    """Features that this process alone knows.

    Args:
        count: Pictures, N.
        width: Features of each, D.
    """

    def __init__(self, count: int, width: int) -> None:
        self.rows: Floats = np.zeros((count, width), np.float32)
        self.marks: Marks = np.zeros(count, np.uint8)

    def put(self, first: int, rows: Floats, marks: Marks) -> None:
        """Keep rows ``first`` and following."""
        self.rows[first : first + len(rows)] = rows
        self.marks[first : first + len(rows)] = marks

    def refresh(self) -> None:
        """Nobody else adds anything."""

    def close(self) -> None:
        """Nothing to do."""


class OnDisk:
    """Features in a file of the user's cache folder, read through a memory map.

    Args:
        folder: Its own folder, beside the sets of decoded pictures: one bound holds for all.
        count: Pictures, N.
        width: Features of each, D.
        limit: Largest size of all sets together, in bytes.

    Raises:
        OSError: If the folder cannot be used, or there is no room.
    """

    def __init__(self, folder: Path, count: int, width: int, *, limit: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._end = folder, 4 * count * width
        self._users = Lock(folder / USERS)
        self._users.share()
        os.utime(folder / USERS)
        try:
            self._file = _sized(folder, self._end + count, limit)
        except OSError:
            self._users.close()
            raise
        self._saved, self._fresh = time.monotonic(), False
        self.marks: Marks = np.zeros(count, np.uint8)
        self.rows: Floats = np.memmap(folder / PIXELS, np.float32, "r", shape=(count, width))
        self.refresh()

    def put(self, first: int, rows: Floats, marks: Marks) -> None:
        """Keep rows ``first`` and following; a full disk is no reason to stop."""
        try:
            data = np.ascontiguousarray(rows, np.float32)
            _write(self._file, data.tobytes(), 4 * first * data.shape[1])
        except OSError as error:
            self._stay_in_memory(error)
            self.rows[first : first + len(rows)] = rows
        self.marks[first : first + len(rows)] = marks
        self._fresh = True
        if time.monotonic() - self._saved > _SAVE_EVERY:
            self._save()

    def _stay_in_memory(self, error: OSError) -> None:
        if isinstance(self.rows, np.memmap):
            console.warn(
                f"{self._folder} cannot be written ({error.strerror}): features stay in memory"
            )
            self.rows, self._end = np.array(self.rows), -1

    def _save(self) -> None:
        """What is marked is on the disk: the rows first, then their marks."""
        if self._end < 0 or not self._fresh:
            return
        self._saved, self._fresh = time.monotonic(), False
        try:
            os.fsync(self._file)
            for start, stop in _runs(self.marks != UNKNOWN):
                _write(self._file, self.marks[start:stop].tobytes(), self._end + start)
            os.fsync(self._file)
        except OSError as error:
            self._stay_in_memory(error)

    def refresh(self) -> None:
        """Save, and learn what other processes added."""
        self._save()
        if self._end < 0:
            return
        found = np.frombuffer(os.pread(self._file, len(self.marks), self._end), np.uint8)
        if len(found) == len(self.marks):
            self.marks = np.maximum(self.marks, np.where(found > BAD, UNKNOWN, found))

    def close(self) -> None:
        """Save, and let go of the file; rows that were handed out stay valid."""
        self._save()
        os.close(self._file)
        self._users.close()


def _sized(folder: Path, size: int, limit: int) -> int:
    """The open file, of the right size: one of another size was cut short, and is begun anew."""
    path = folder / PIXELS
    lock, quota = Lock(folder / "room.lock"), Quota(folder, limit)
    try:
        with lock:
            if path.exists() and path.stat().st_size != size:
                path.unlink()
            why = None if path.exists() else quota.refusal(size)
            if why is not None:
                raise OSError(0, f"the cache {why}")
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            os.ftruncate(handle, size)
    finally:
        lock.close()
        quota.close()
    return handle


def _runs(which: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Beginnings and ends of the stretches of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], which, [False]]).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _write(handle: int, data: bytes, offset: int) -> None:
    left = memoryview(data)
    while left:
        done = os.pwrite(handle, left, offset)
        left, offset = left[done:], offset + done


def open_features(
    folder: Path, count: int, width: int, *, kind: str, gigabytes: float
) -> InMemory | OnDisk:
    """Where features stay: on disk, unless ``--cache off`` or ``ram`` keeps them in memory."""
    if kind in ("off", "ram"):
        return InMemory(count, width)
    try:
        return OnDisk(folder, count, width, limit=int(gigabytes * 1e9))
    except OSError as error:
        console.warn(f"features stay in memory: {folder} cannot be used ({error.strerror})")
        return InMemory(count, width)
