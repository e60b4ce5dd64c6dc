"""A lock between threads and processes."""

from __future__ import annotations

import threading
from pathlib import Path

_FLOCK = {"share": 1, "wait": 2, "try": 2 | 4, "free": 8}
"""LOCK_SH, LOCK_EX, LOCK_EX | LOCK_NB, LOCK_UN, where the module fcntl exists."""


class Lock:
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
