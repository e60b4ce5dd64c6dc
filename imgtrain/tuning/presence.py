"""Who works on which trial, and whether they are still alive.

A worker holds a lock on a file of its own: whoever shares its machine and the study's folder sees
at once when it died. To others it shows a number that rises; when that stands still, it is gone.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

BEAT = 10.0
"""Seconds between two signs of life."""

STALE = 60.0
"""Seconds without one after which a worker elsewhere counts as dead."""

WORKER, MACHINE, HOME, PULSE = "worker", "machine", "home", "pulse"
"""Attributes of a trial that is being worked on."""


def this_machine() -> str:
    """What all processes of this machine agree on, and no other machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return f"{socket.gethostname()} {uuid.getnode()}"


@dataclass(slots=True)
class Presence:
    """One worker.

    Args:
        folder: The study's folder.
        storage: Where the trials are.
        beat: Seconds between two signs of life.
        stale: Seconds without one after which others count as dead.
    """

    folder: Path
    storage: BaseStorage
    beat: float = BEAT
    stale: float = STALE
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    _trial: int | None = None
    _seen: dict[int, tuple[Any, float]] = field(default_factory=dict)
    _left: threading.Event = field(default_factory=threading.Event)

    @property
    def marks(self) -> dict[str, str]:
        """What a trial says of who works on it."""
        return {WORKER: self.token, MACHINE: this_machine(), HOME: _place_of(self.folder)}

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Alive during the block."""
        thread = threading.Thread(target=self._keep_beating, daemon=True)
        with _held(_file_of(self.folder, self.token)):
            thread.start()
            try:
                yield
            finally:
                self._left.set()
                thread.join()

    def works_on(self, trial_id: int | None) -> None:
        """From now on the signs of life are this trial's."""
        self._trial = trial_id

    def _keep_beating(self) -> None:
        number = 0
        while not self._left.wait(self.beat):
            trial, number = self._trial, number + 1
            if trial is not None:
                with contextlib.suppress(Exception):  # it ended, or the server is away for a while
                    self.storage.set_trial_user_attr(trial, PULSE, f"{self.token} {number}")

    def is_orphan(self, trial_id: int, attributes: Mapping[str, Any]) -> bool:
        """Whether the worker of a running trial is gone."""
        token = attributes.get(WORKER)
        if token == self.token:
            return False
        here = (this_machine(), _place_of(self.folder))
        if (attributes.get(MACHINE), attributes.get(HOME)) == here:
            return not _is_held(_file_of(self.folder, str(token)))
        sign = (token, attributes.get(PULSE))
        now = time.monotonic()
        if self._seen.get(trial_id, (None, 0.0))[0] != sign:
            self._seen[trial_id] = sign, now
        return now - self._seen[trial_id][1] > self.stale


def _place_of(folder: Path) -> str:
    """Path and identity: containers of one machine have other folders under the same path."""
    try:
        found = folder.stat()
    except OSError:
        return str(folder.absolute())
    return f"{folder.absolute()} {found.st_dev}:{found.st_ino}"


def _file_of(folder: Path, token: str) -> Path:
    return folder / ".workers" / token


@contextlib.contextmanager
def _held(path: Path) -> Iterator[None]:
    """A file that exists and is locked during the block; the lock dies with the process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        try:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX)
        except ImportError:  # Windows: the file alone
            handle.write(str(os.getpid()))
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _is_held(path: Path) -> bool:
    """Whether somebody holds the file; one that is left of a dead process is removed."""
    try:
        import fcntl
    except ImportError:
        return path.exists()
    try:
        with path.open("r") as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    path.unlink(missing_ok=True)
    return False
