"""Signals: the first asks the work to stop at the next good moment, the second stops it at once."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType

from imgtrain import console

ECHO = 0.1
"""Seconds in which the same signal again is no second one: timeout(1) tells its child twice."""

_TOLD_TWICE = 5.0
"""The same under torchrun, which passes on what a cluster's manager has told every process."""

_BOTH = (signal.SIGINT, signal.SIGTERM)


@dataclass(slots=True)
class Stop:
    """Which signal came, if any."""

    number: int | None = None
    since: float = 0.0

    def __call__(self) -> bool:
        """Whether to stop."""
        return self.number is not None

    def hear(self, number: int, _frame: FrameType | None) -> None:
        """Note the first signal; leave at once on the second."""
        now = time.monotonic()
        passed_on = "TORCHELASTIC_RUN_ID" in os.environ and "_IMGTRAIN_LAUNCHED" not in os.environ
        echo = _TOLD_TWICE if passed_on else ECHO
        if number == self.number and now - self.since < echo:
            return
        if self.number is not None:
            os._exit(128 + number)
        self.number, self.since = number, now
        name = signal.Signals(number).name
        console.say(f"{name}: saving, then stopping (once more stops at once)")


@contextlib.contextmanager
def listening() -> Iterator[Stop]:
    """Note SIGINT and SIGTERM during the block, instead of dying of them.

    A process of several that this command started dies of SIGTERM: it means that another failed.

    Outside the main thread nothing can be listened to, and nothing is.
    """
    stop = Stop()
    graceful = [signal.SIGINT] if "_IMGTRAIN_LAUNCHED" in os.environ else list(_BOTH)
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {s: signal.signal(s, stop.hear) for s in graceful}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
