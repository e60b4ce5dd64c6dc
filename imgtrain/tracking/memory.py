"""What trackers know of a run, kept in its folder: ``trackers.json``, and how far they are."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imgtrain.files import read_json, write_json

FILE = "trackers.json"
_lock = threading.Lock()


def recall(folder: Path, tracker: str) -> dict[str, Any]:
    """What the tracker remembered of the run there; empty where there is nothing."""
    found = _read(folder).get(tracker)
    return found if isinstance(found, dict) else {}


def remember(folder: Path, tracker: str, facts: Mapping[str, Any]) -> None:
    """Keep what a tracker knows of a run.

    Raises:
        DiskError: If it cannot be written.
    """
    with _lock:
        write_json(folder / FILE, {"format": 1, **_read(folder), tracker: dict(facts)})


def _read(folder: Path) -> dict[str, Any]:
    try:
        found = read_json(folder / FILE)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


@dataclass(slots=True)
class Mark:
    """How far a tracker was told of a run: the last steps, and the last step that ends an epoch.

    It is written in place and not synced, at every sending: it outlives the process, and of a power
    cut at worst some numbers are told twice.
    """

    path: Path
    step: int = -1
    epoch: int = -1

    @classmethod
    def read(cls, folder: Path, tracker: str) -> Mark:
        """As it stands; before everything where there is none."""
        path = folder / f".{tracker}.mark"
        try:
            step, epoch = map(int, path.read_text(encoding="ascii").split())
        except (OSError, ValueError):
            return cls(path)
        return cls(path, step, epoch)

    def back_to(self, steps: int) -> None:
        """Forget what lies behind so many steps."""
        self.step, self.epoch = min(self.step, steps), min(self.epoch, steps)

    def write(self) -> None:
        """At once, as far as other processes are concerned."""
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.write(handle, f"{self.step:>20} {self.epoch:>20}\n".encode("ascii"))
        finally:
            os.close(handle)
