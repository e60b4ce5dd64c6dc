"""Signals: the first asks the work to stop at the next good moment, the second stops it at once."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType

from imgtrain import console


@dataclass(slots=True)
class Stop:
    """Which signal came, if any."""

    number: int | None = None

    def __call__(self) -> bool:
        """Whether to stop."""
        return self.number is not None

    def hear(self, number: int, _frame: FrameType | None) -> None:
        """Note the first signal; leave at once on the second."""
        if self.number is not None:
            os._exit(128 + number)
        self.number = number
        name = signal.Signals(number).name
        console.say(f"{name}: saving, then stopping (once more stops at once)")


@contextlib.contextmanager
def listening() -> Iterator[Stop]:
    """Note SIGINT and SIGTERM during the block, instead of dying of them.

    Outside the main thread nothing can be listened to, and nothing is.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {s: signal.signal(s, stop.hear) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
