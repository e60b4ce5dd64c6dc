"""Decoded pictures in a file, kept between epochs and runs: each file is decoded once.

A set's pictures lie one behind the other in one file, whatever their shapes; an index says where.
A picture is known by its path, size and time of change; where these are new, by the content of its
file, so that what was merely touched, copied or renamed is found, and what changed is decoded anew.
"""

from __future__ import annotations

import mmap
import os
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from imgtrain import console
from imgtrain.data.stamps import Keys, content_key
from imgtrain.errors import DiskError
from imgtrain.files import replacing
from imgtrain.loading.locks import Lock
from imgtrain.loading.preprocess import Pixels
from imgtrain.loading.quota import INDEX, PIXELS, USERS, Quota
from imgtrain.loading.stores import Shape, common

SMALL_SET = 64 * 2**20
"""So many bytes that nobody needs may stay."""

_SETTLED = 0.9
"""From this share of a source on, what the source does not know is no longer needed."""


class _Index(NamedTuple):
    """What ``index.npz`` says: one row a picture, the arrays side by side.

    Args:
        stamps: Shape (M, 2), by path, size and time.
        contents: Shape (M, 2), by content.
        places: Shape (M, 3): offset, height, width.
        live: Shape (M,): whether the last process that saved knew it.
    """

    stamps: Keys
    contents: Keys
    places: NDArray[np.int64]
    live: NDArray[np.bool_]

    @classmethod
    def empty(cls, rows: int) -> _Index:
        """Nothing known of so many pictures."""
        none = np.zeros((rows, 2), np.uint64)
        return cls(none, none.copy(), np.full((rows, 3), -1, np.int64), np.zeros(rows, np.bool_))

    def rows(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> _Index:
        """Some of the rows."""
        return _Index(
            self.stamps[which], self.contents[which], self.places[which], self.live[which]
        )

    def ends(self, channels: int) -> NDArray[np.int64]:
        """Shape (M,): the byte behind each picture."""
        return self.places[:, 0] + self.places[:, 1] * self.places[:, 2] * channels


def _read_index(folder: Path, channels: int) -> _Index:
    """The index on disk, as far as the file of pixels holds it; a broken one is empty."""
    try:
        end = (folder / PIXELS).stat().st_size
        with (folder / INDEX).open("rb") as file, np.load(file) as found:
            index = _Index(*(found[name] for name in _Index._fields))
        return index.rows(index.ends(channels) <= end)
    except (OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile):
        return _Index.empty(0)


class _ByKey(NamedTuple):
    """Keys in order, and where each came from."""

    keys: Keys
    order: NDArray[np.int64]

    @classmethod
    def of(cls, keys: Keys) -> _ByKey:
        order = np.argsort(keys[:, 0], kind="stable")
        return cls(keys[order], order)

    def find(self, wanted: Keys) -> NDArray[np.int64]:
        """Row of each wanted key (M, 2), or -1."""
        if not len(self.keys):
            return np.full(len(wanted), -1, np.int64)
        spot = np.searchsorted(self.keys[:, 0], wanted[:, 0])
        spot = np.minimum(spot, len(self.keys) - 1)
        same = (self.keys[spot] == wanted).all(axis=1)
        return np.where(same, self.order[spot], -1)


class OnDisk:
    """Keeps pictures in a file of the user's cache folder, read through a memory map.

    Any number of processes may add to it at once: room is taken at the end under a lock, and what
    each added is merged into the index whenever it saves. A crash leaves at most bytes that no
    index speaks of; the next process that is alone cuts them off.

    Args:
        folder: This set's own folder; the sets beside it count, too.
        stamps: Shape (N, 2): what each picture is known by.
        channels: Of every picture.
        limit: Largest size of all sets together, in bytes.
    """

    in_memory = False

    def __init__(self, folder: Path, stamps: Keys, *, channels: int, limit: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._channels = folder, channels
        self._mine = _Index.empty(len(stamps))._replace(stamps=stamps)
        self._room, self._users = Lock(folder / "room.lock"), Lock(folder / USERS)
        self._quota = Quota(folder, limit)
        if self._users.try_exclusive():
            self._cut_off_litter(limit)
        self._users.share()
        os.utime(folder / USERS)
        (folder / PIXELS).touch()
        self._file = (folder / PIXELS).open("r+b")  # not "a": pwrite would append
        self._map: mmap.mmap | None = None
        self._grows, self._dirty = True, False
        self._learn()

    def _cut_off_litter(self, limit: int) -> None:
        """Alone here: drop what no index speaks of, or everything if most of it is dead."""
        path = self._folder / PIXELS
        if not path.exists():
            return
        index = _read_index(self._folder, self._channels)
        end = int(index.ends(self._channels).max(initial=0))
        _, first = np.unique(index.places[index.live, 0], return_index=True)
        live = index.rows(index.live).rows(first)
        used = int((live.ends(self._channels) - live.places[:, 0]).sum())
        if end > min(max(2 * used, SMALL_SET), limit):
            (self._folder / INDEX).unlink(missing_ok=True)
            end = 0
        if end < path.stat().st_size:
            os.truncate(path, end)

    def _learn(self) -> None:
        """Find this source's pictures among those on disk."""
        index = _read_index(self._folder, self._channels)
        self._known = _ByKey.of(index.contents), index.places
        row = _ByKey.of(index.stamps).find(self._mine.stamps)
        new = (row >= 0) & (self._mine.places[:, 0] < 0)
        self._mine.contents[new] = index.contents[row[new]]
        self._mine.places[new] = index.places[row[new]]

    def get(self, i: int) -> Pixels | None:
        """Picture ``i`` or None."""
        offset, height, width = self._mine.places[i].tolist()
        if offset < 0:
            return None
        size = height * width * self._channels
        flat = np.frombuffer(self._mapped(offset + size), np.uint8, size, offset)
        return flat.reshape(height, width, self._channels)

    def _mapped(self, end: int) -> mmap.mmap:
        """The file as memory, up to byte ``end`` at least."""
        known = self._map
        if known is None or end > len(known):
            length = os.fstat(self._file.fileno()).st_size
            known = self._map = mmap.mmap(self._file.fileno(), length, access=mmap.ACCESS_READ)
        return known

    def shape(self, rows: NDArray[np.int64]) -> Shape | None:
        """The shape of all these pictures, if they have one."""
        return common(self._mine.places[rows, 1:], self._channels)

    def stack(self, rows: NDArray[np.int64]) -> Pixels:
        """Pictures of one shape, (B, H, W, C)."""
        offsets, (height, width) = self._mine.places[rows, 0], self._mine.places[rows[0], 1:]
        size = int(height) * int(width) * self._channels
        flat = np.frombuffer(self._mapped(int(offsets.max()) + size), np.uint8)
        found: Pixels = sliding_window_view(flat, size)[offsets]
        return found.reshape(len(rows), height, width, self._channels)

    def find(self, i: int, data: bytes) -> Pixels | None:
        """Picture ``i`` by the bytes of its file: they were decoded under another stamp."""
        self._mine.contents[i] = content_key(data)
        contents, places = self._known
        row = int(contents.find(self._mine.contents[i : i + 1])[0])
        if row < 0:
            return None
        self._mine.places[i] = places[row]
        self._dirty = True
        return self.get(i)

    def put(self, i: int, pixels: Pixels) -> None:
        """Add it at the end, unless the room is used up."""
        if not self._grows:
            return
        handle = self._file.fileno()
        try:
            with self._room:
                offset = os.fstat(handle).st_size
                why = self._quota.refusal(offset + pixels.nbytes)
                if why is not None:
                    self._stop(why)
                    return
                os.ftruncate(handle, offset + pixels.nbytes)
            _write_all(handle, np.ascontiguousarray(pixels).data.cast("B"), offset)
        except OSError as error:
            self._stop(f"cannot grow: {error.strerror}")
            return
        self._mine.places[i] = (offset, *pixels.shape[:2])
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
        try:
            os.fsync(self._file.fileno())
            with self._room:
                merged = self._merged(_read_index(self._folder, self._channels))
                with replacing(self._folder / INDEX) as handle:
                    np.savez(handle, **merged._asdict())
            self._learn()
        except (OSError, DiskError) as error:  # costs time only
            self._stop(f"cannot be saved: {error}")

    def _merged(self, others: _Index) -> _Index:
        """What is here, then what only the index on disk knows; one row a stamp."""
        here = self._mine.places[:, 0] >= 0
        mine = self._mine.rows(here)._replace(live=np.ones(int(here.sum()), np.bool_))
        if here.mean() >= _SETTLED:
            others = others._replace(live=np.zeros_like(others.live))
        both = _Index(*(np.concatenate(pair) for pair in zip(mine, others, strict=True)))
        _, first = np.unique(both.stamps, axis=0, return_index=True)
        return both.rows(first)

    def close(self) -> None:
        """Save, and let go of the files; pictures that were handed out stay valid."""
        self.save()
        self._file.close()
        self._room.close()
        self._quota.close()
        self._users.close()


def _write_all(handle: int, data: memoryview, offset: int) -> None:
    while len(data):
        done = os.pwrite(handle, data, offset)
        data, offset = data[done:], offset + done
