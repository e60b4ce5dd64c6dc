"""The bound on all sets of decoded pictures together: the sets used longest ago make room."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from imgtrain import console
from imgtrain.loading.locks import Lock

PIXELS, INDEX, USERS = "pixels.bin", "index.npz", "users.lock"
"""Files of a set: the pictures, where each lies, and who holds it."""

RESERVE = 2**30
"""Free bytes that the cache leaves on its disk: checkpoints may want them."""

_STEP = 2**25
"""At most so many bytes are added between two looks at the room."""


class Quota:
    """How far one set may grow, so that all sets together stay below ``limit`` bytes.

    Each process looks at the others after a hundredth of the limit (at most 32 MB), so several
    that grow at once may pass it by a hundredth each.

    Args:
        folder: The set's own folder; the other sets lie beside it.
        limit: For all of them, in bytes.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder, self._limit = folder, limit
        self._step = min(_STEP, limit // 100)
        self._lock = Lock(folder.parent / "quota.lock")
        self._allowed = 0

    def refusal(self, end: int) -> str | None:
        """Why this set may not grow to ``end`` bytes; None if it may. Others are evicted for it."""
        if end <= self._allowed:
            return None
        with self._lock:
            room = self._room(end + self._step)
            if room < end:
                return "is full (--cache-gb)"
            if shutil.disk_usage(self._folder).free < RESERVE:
                return "leaves the last room on its disk to others"
            self._allowed = min(room, end + self._step)
        return None

    def _room(self, wanted: int) -> int:
        """Bytes that this set may have, after evicting what stands in the way of ``wanted``."""
        sizes = {folder: _size(folder / PIXELS) for folder in self._others()}
        room = self._limit - sum(sizes.values())
        for folder, size in sizes.items():
            short = shutil.disk_usage(self._folder).free < RESERVE + self._step
            if room >= wanted and not short:
                break
            if size and evict(folder):
                room += size
        return room

    def _others(self) -> list[Path]:
        """The other sets, the one used longest ago first."""
        found = []
        for users in self._folder.parent.glob(f"*/{USERS}"):
            with contextlib.suppress(FileNotFoundError):
                if users.parent != self._folder:
                    found.append((users.stat().st_mtime_ns, users.parent))
        return [folder for _, folder in sorted(found)]

    def close(self) -> None:
        """Let go of the lock's file."""
        self._lock.close()


def evict(folder: Path) -> bool:
    """Empty a set that nobody uses; whether that was so."""
    users = Lock(folder / USERS)
    try:
        if not users.try_exclusive():
            return False
        console.detail(f"decoded pictures in {folder} make room for others")
        (folder / INDEX).unlink(missing_ok=True)
        (folder / PIXELS).unlink(missing_ok=True)
    except OSError:
        return False
    finally:
        users.close()
    return True


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
