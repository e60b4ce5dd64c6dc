"""A tracker in a thread of its own: slow, away or broken, it never holds up the training.

What is told waits in a bounded list and is handed over every few seconds. If the tracker fails,
that is said once; it is closed, opened again after a while, and told once more what it had not
confirmed.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

from imgtrain import console
from imgtrain.passwords import without_user
from imgtrain.tracking.memory import Mark
from imgtrain.tracking.told import Began, Ended, Hears, Numbers, Outcome, Pause, Told

MOST = 10_000
"""So much may wait; then running numbers are dropped."""

GATHER = 2.0
"""Seconds between two sendings."""

REST = 15.0
"""Seconds before a tracker that failed is tried again."""

HOPELESS = 10.0
"""Seconds that are waited at most for one that failed when it was last told something."""

TRIES = 2
"""So often the same things are sent."""


@dataclass(slots=True)
class Post:
    """What one tracker is told.

    Args:
        name: The tracker's, for messages.
        opened: Begins, or goes on with, the tracker's own run.
        mark: How far it was told before.
        rewinds: Whether it forgets what lies behind the point where a training goes on.
    """

    name: str
    opened: Callable[[], AbstractContextManager[Hears]]
    mark: Mark
    rewinds: bool = False
    is_open: threading.Event = field(default_factory=threading.Event)
    _waiting: deque[Told] = field(default_factory=deque)
    _in_hand: list[Told] = field(default_factory=list)
    _news: threading.Condition = field(default_factory=threading.Condition)
    _closing: bool = False
    _lost: bool = False
    _warned: bool = False
    _tries: int = 0
    _fails: bool = False
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to hand over."""
        self._thread = threading.Thread(target=self._work, name=f"track-{self.name}", daemon=True)
        self._thread.start()

    def tell(self, told: Told) -> None:
        """Leave it to be handed over; returns at once."""
        with self._news:
            full = len(self._waiting) >= MOST
            if self._lost or (full and isinstance(told, Numbers) and told.of == "step"):
                return
            self._waiting.append(told)
            if not isinstance(told, Numbers):
                self._news.notify()

    def end(self, seconds: float) -> None:
        """Hand over what is left, in so many seconds at most; Ctrl-C gives up, too."""
        if self._thread is None:
            return
        with self._news:
            self._closing = True
            self._news.notify()
        seconds = min(seconds, HOPELESS) if self._fails else seconds
        with contextlib.suppress(KeyboardInterrupt):
            self._thread.join(seconds)
        if self._thread.is_alive():
            self._lost = True
            self._warn(f"is not done after {seconds:.0f} s: not everything was sent")

    def _work(self) -> None:
        is_over = False
        while not is_over and not self._lost:
            try:
                with self.opened() as hear:
                    self.is_open.set()
                    self._hand_over(hear)
                is_over = True
            except BaseException as error:  # noqa: BLE001  # whatever a tracker raises, training goes on
                self._failed(error)

    def _hand_over(self, hear: Hears) -> None:
        """Until the end was told."""
        while True:
            batch = self._in_hand = self._batch()
            for told in batch:
                if self._is_news(told):
                    hear(_plain(told))
            if batch:
                hear(Pause())
                self._confirm(batch)
            if self._closing and not self._waiting:
                return

    def _batch(self) -> list[Told]:
        """What waits, after a while; big things and the end come alone."""
        with self._news:
            if not self._closing:
                self._news.wait(GATHER)
            batch: list[Told] = []
            for told in self._waiting:
                if isinstance(told, Outcome | Ended) and batch:
                    break
                batch.append(told)
                if isinstance(told, Outcome | Ended):
                    break
            return batch

    def _is_news(self, told: Told) -> bool:
        """Whether the tracker does not know it from before a kill."""
        if isinstance(told, Began) and self.rewinds:
            self.mark.back_to(told.steps)
        if not isinstance(told, Numbers):
            return True
        last = {"step": self.mark.step, "epoch": self.mark.epoch}
        return told.step > last.get(told.of, -1)

    def _confirm(self, batch: list[Told]) -> None:
        """It has arrived: after a kill it is not told again."""
        self._drop(batch)
        for told in batch:
            if isinstance(told, Numbers) and told.of == "step":
                self.mark.step = max(self.mark.step, told.step)
            if isinstance(told, Numbers) and told.of == "epoch":
                self.mark.epoch = max(self.mark.epoch, told.step)
        if any(isinstance(told, Numbers | Began) for told in batch):
            self.mark.write()

    def _drop(self, batch: list[Told]) -> None:
        """Nobody needs it any more."""
        with self._news:
            for _ in batch:
                self._waiting.popleft()
            self._in_hand, self._tries, self._fails = [], 0, False

    def _failed(self, error: BaseException) -> None:
        """Say it once, and rest. What fails twice is dropped; at the end there is one more try."""
        self._warn(f"{type(error).__name__}: {_sentence(error)}; training goes on")
        self.is_open.set()
        self._tries, self._fails = self._tries + 1, True
        if self._tries >= TRIES:
            if self._in_hand and not isinstance(self._in_hand[-1], Ended):
                self._drop(self._in_hand)
            elif self._closing:
                self._lost = True
                return
        self._in_hand = []
        with self._news:
            until = time.monotonic() + REST
            while not self._closing and (left := until - time.monotonic()) > 0:
                self._news.wait(left)

    def _warn(self, what: str) -> None:
        if not self._warned:
            self._warned = True
            console.warn(f"--track {self.name}: {what}")


def _plain(told: Told) -> Told:
    """Numbers of Python's, those that are some: a tensor of the user's is read here."""
    if not isinstance(told, Numbers):
        return told
    values = {}
    for name, value in told.values.items():
        with contextlib.suppress(TypeError, ValueError, RuntimeError):
            values[name] = float(value)
    return replace(told, values={k: v for k, v in values.items() if math.isfinite(v)})


def _sentence(error: BaseException) -> str:
    """What was raised, in one line of bearable length, without passwords."""
    text = " ".join(without_user(str(error)).split())
    return text if len(text) <= 300 else f"{text[:300]} ..."  # noqa: PLR2004  # three lines
