"""Decoded pictures, kept between epochs and runs: each file is decoded once.

A set's pictures lie one behind the other in one file, whatever their shapes; an index says where.
A picture is known by its path, size and time of change, so that a changed file is decoded anew.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import shutil
import threading
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from imgtrain import console
from imgtrain.data.listing import Source
from imgtrain.errors import DiskError
from imgtrain.files import cache_folder, replacing
from imgtrain.loading.preprocess import Pixels, Preprocess

RESERVE = 2**30
"""Free bytes that the cache leaves on its disk: checkpoints may want them."""

_LOOK_AT_ROOM = 2**25
"""How many bytes are added between two looks at the free room."""

_VERSION = 1
"""Raised whenever the decoder's result changes, so that no stale pixel survives."""


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

    def __init__(self, length: int) -> None:
        self._pictures: list[Pixels | None] = [None] * length

    def get(self, i: int) -> Pixels | None:
        """Picture ``i`` or None."""
        return self._pictures[i]

    def put(self, i: int, pixels: Pixels) -> None:
        """Keep it."""
        self._pictures[i] = pixels

    def save(self) -> None:
        """Memory does not outlive the process."""

    def close(self) -> None:
        """Nothing to do."""


def _keys(source: Source) -> NDArray[np.uint64]:
    """Two 64-bit numbers a picture, (N, 2), from its path, size and time of change."""
    found = np.empty((len(source), 2), np.uint64)
    for i in range(len(source)):
        size, mtime = source.stamp(i)
        text = f"{source.path(i)}\0{size}\0{mtime}".encode("utf-8", "surrogateescape")
        found[i] = np.frombuffer(hashlib.blake2b(text, digest_size=16).digest(), np.uint64)
    return found


class OnDisk:
    """Keeps pictures in a file of the user's cache folder, read through a memory map.

    Any number of processes may add to it at once: room is taken at the end under a lock, and what
    each added is merged into the index whenever it saves. A crash leaves at most bytes that no
    index speaks of; the next process that is alone cuts them off.

    Args:
        folder: This set's own folder in the cache.
        keys: Shape (N, 2): what each picture is known by.
        channels: Of every picture.
        limit: Largest size of the file, in bytes.
    """

    def __init__(
        self, folder: Path, keys: NDArray[np.uint64], *, channels: int, limit: int
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._keys, self._channels, self._limit = folder, keys, channels, limit
        self._places = np.full((len(keys), 3), -1, np.int64)  # offset, height, width
        (folder / "pixels.bin").touch()
        self._file = (folder / "pixels.bin").open("r+b")  # not "a": pwrite would append
        self._room = _Lock(folder / "room.lock")
        self._users = _Lock(folder / "users.lock")
        self._map: mmap.mmap | None = None
        self._grows, self._dirty = True, False
        if self._users.try_exclusive():
            self._cut_off_litter()
        self._users.share()
        self._learn()

    def _cut_off_litter(self) -> None:
        """Alone here: drop what no index speaks of, or everything if most of it is unknown."""
        known, places = self._read_index()
        sizes = places[:, 1] * places[:, 2] * self._channels
        end = int((places[:, 0] + sizes).max(initial=0))
        used = int(sizes[np.isin(known[:, 0], self._keys[:, 0])].sum())
        if end > max(2 * used, SMALL_SET):
            (self._folder / "index.npz").unlink(missing_ok=True)
            end = 0
        if end < os.fstat(self._file.fileno()).st_size:
            os.ftruncate(self._file.fileno(), end)

    def _read_index(self) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Keys (M, 2) and places (M, 3) on disk, as far as the file of pixels holds them."""
        try:
            with (self._folder / "index.npz").open("rb") as file, np.load(file) as index:
                keys, places = index["keys"], index["places"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return np.empty((0, 2), np.uint64), np.empty((0, 3), np.int64)
        end = os.fstat(self._file.fileno()).st_size
        whole = places[:, 0] + places[:, 1] * places[:, 2] * self._channels <= end
        return keys[whole], places[whole]

    def _learn(self) -> None:
        """Find this source's pictures among those on disk."""
        keys, places = self._read_index()
        if not len(keys):
            return
        order = np.argsort(keys[:, 0], kind="stable")
        keys, places = keys[order], places[order]
        spot = np.minimum(np.searchsorted(keys[:, 0], self._keys[:, 0]), len(keys) - 1)
        new = (keys[spot] == self._keys).all(axis=1) & (self._places[:, 0] < 0)
        self._places[new] = places[spot[new]]

    def get(self, i: int) -> Pixels | None:
        """Picture ``i`` or None."""
        offset, height, width = self._places[i].tolist()
        if offset < 0:
            return None
        size = height * width * self._channels
        known = self._map
        if known is None or offset + size > len(known):
            length = os.fstat(self._file.fileno()).st_size
            known = self._map = mmap.mmap(self._file.fileno(), length, access=mmap.ACCESS_READ)
        flat = np.frombuffer(known, np.uint8, size, offset)
        return flat.reshape(height, width, self._channels)

    def put(self, i: int, pixels: Pixels) -> None:
        """Add it at the end, unless the room is used up."""
        if not self._grows:
            return
        handle = self._file.fileno()
        try:
            with self._room:
                offset = os.fstat(handle).st_size
                if offset + pixels.nbytes > self._limit:
                    self._stop("is full (--cache-gb)")
                    return
                if offset % _LOOK_AT_ROOM + pixels.nbytes > _LOOK_AT_ROOM:
                    free = shutil.disk_usage(self._folder).free
                    if free < RESERVE:
                        self._stop("leaves the last room on its disk to others")
                        return
                os.ftruncate(handle, offset + pixels.nbytes)
            _write_all(handle, np.ascontiguousarray(pixels).data.cast("B"), offset)
        except OSError as error:
            self._stop(f"cannot grow: {error.strerror}")
            return
        self._places[i] = (offset, *pixels.shape[:2])
        self._dirty = True

    def _stop(self, why: str) -> None:
        if self._grows:
            self._grows = False
            text = f"the cache of decoded pictures in {self._folder} {why}"
            console.warn(f"{text}; the rest is decoded every epoch")

    def save(self) -> None:
        """Merge what was added into the index on disk; learn what others added."""
        if not self._dirty:
            return
        self._dirty = False
        here = self._places[:, 0] >= 0
        try:
            os.fsync(self._file.fileno())
            with self._room:
                keys, places = self._read_index()
                keys = np.concatenate([self._keys[here], keys])
                places = np.concatenate([self._places[here], places])
                _, first = np.unique(keys, axis=0, return_index=True)
                with replacing(self._folder / "index.npz") as handle:
                    np.savez(handle, keys=keys[first], places=places[first])
            self._learn()
        except (OSError, DiskError) as error:  # costs time only
            self._stop(f"cannot be saved: {error}")

    def close(self) -> None:
        """Save, and let go of the files; pictures that were handed out stay valid."""
        self.save()
        self._file.close()
        self._room.close()
        self._users.close()


_FLOCK = {"share": 1, "wait": 2, "try": 2 | 4, "free": 8}
"""LOCK_SH, LOCK_EX, LOCK_EX | LOCK_NB, LOCK_UN, where the module fcntl exists."""


class _Lock:
    """A lock between threads and processes on one file; it dies with the process."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a")
        self._threads = threading.Lock()

    def _flock(self, how: str) -> bool:
        try:
            import fcntl
        except ImportError:  # Windows: threads only
            return True
        try:
            fcntl.flock(self._file, _FLOCK[how])
        except BlockingIOError:
            return False
        return True

    def try_exclusive(self) -> bool:
        """Take it if nobody has it."""
        return self._flock("try")

    def share(self) -> None:
        """Hold it together with others until the process ends."""
        self._flock("share")

    def close(self) -> None:
        """Give it back for good."""
        self._file.close()

    def __enter__(self) -> None:
        self._threads.acquire()
        self._flock("wait")

    def __exit__(self, *_: object) -> None:
        self._flock("free")
        self._threads.release()


def _write_all(handle: int, data: memoryview, offset: int) -> None:
    while len(data):
        done = os.pwrite(handle, data, offset)
        data, offset = data[done:], offset + done


SMALL_SET = 64 * 2**20
"""Up to so many bytes of decoded pictures, ``auto`` keeps them in memory."""


def open_store(
    source: Source, root: str, preprocess: Preprocess, *, kind: str, gigabytes: float
) -> Store:
    """The store of a set under one way of decoding.

    ``auto`` is memory for small sets (at most 64 MB decoded, were all pictures square), else disk.
    """
    small = len(source) * preprocess.side**2 * preprocess.channels <= SMALL_SET
    if kind == "auto":
        kind = "ram" if small else "disk"
    if kind == "off":
        return Nowhere()
    if kind == "ram":
        return InMemory(len(source))
    how = {k: v for k, v in asdict(preprocess).items() if k not in {"mean", "std", "size"}}
    where = "\0".join((os.path.realpath(root), repr(sorted(how.items())), str(_VERSION)))
    name = hashlib.sha256(where.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    folder = cache_folder() / "pictures" / name
    keys = _keys(source)
    try:
        return OnDisk(folder, keys, channels=preprocess.channels, limit=int(gigabytes * 1e9))
    except OSError as error:
        instead = "stay in memory" if small else "are not kept: each epoch decodes them anew"
        console.warn(f"decoded pictures {instead}; {folder} cannot be used ({error.strerror})")
        return InMemory(len(source)) if small else Nowhere()
