"""Several workers on this machine: processes of their own, each with its share of the machine."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from imgtrain import console, errors
from imgtrain.children import Outcome, in_child
from imgtrain.errors import ImgtrainError, InterruptedRun
from imgtrain.settings.schema import HardwareSettings

_LOOK = 0.5
"""Seconds between two looks at the study."""

_AGAIN = 3
"""How often a worker that died is started again."""


def shares(hardware: HardwareSettings, workers: str | int, jobs: int) -> list[dict[str, Any]]:
    """What of the machine each worker has: settings that its trials get.

    A GPU each where ``--gpus`` names several, in turn; on the CPU, threads are shared out where
    the user left their number open.
    """
    from imgtrain.engine.device import usable_cores

    found = []
    for number in range(jobs):
        own: dict[str, Any] = {"hardware.processes": 1}
        if hardware.gpus:
            own["hardware.gpus"] = [hardware.gpus[number % len(hardware.gpus)]]
        if jobs > 1:
            each = max(1, usable_cores() // jobs)
            own |= {"hardware.threads": each} if hardware.threads == "auto" else {}
            own |= {"data.workers": each} if workers == "auto" else {}
        found.append(own)
    return found


@dataclass(slots=True)
class Team:
    """Workers that are being run.

    Args:
        asks: What each is given; JSON carries it.
        function: ``module:name`` of what they run.
        told: Called now and then, to show how it goes.
    """

    asks: Sequence[Mapping[str, Any]]
    function: str
    told: Callable[[], None]
    ended: dict[int, Outcome] = field(default_factory=dict)
    pids: dict[int, int] = field(default_factory=dict)
    heard: list[int] = field(default_factory=list)

    def work(self) -> None:
        """Until all have ended.

        Raises:
            ImgtrainError: The first that a worker ended with.
            InterruptedRun: If a signal came; the workers have saved their trials.
        """
        threads = [
            threading.Thread(target=self._one, args=(number, ask))
            for number, ask in enumerate(self.asks)
        ]
        with _passed_on(self):
            for thread in threads:
                thread.start()
            while any(thread.is_alive() for thread in threads):
                self.told()
                time.sleep(_LOOK)
        for thread in threads:
            thread.join()
        self.told()
        self._warn()
        if self.heard:
            raise InterruptedRun(
                self.heard[0], "stopped; the trials in hand are saved", "the same command goes on"
            )
        for outcome in self.ended.values():
            _raise_for(outcome)

    def _one(self, number: int, ask: Mapping[str, Any]) -> None:
        """Run a worker; one that was killed is started again."""
        for left in range(_AGAIN, -1, -1):

            def hear(line: str) -> None:
                if line.startswith("pid "):
                    self.pids[number] = int(line.removeprefix("pid "))
                    if self.heard:  # before it could be passed on
                        _signal(self.pids[number], self.heard[0])

            found = in_child(self.function, dict(ask), hear=hear)
            self.pids.pop(number, None)
            self.ended[number] = found
            if found.code >= 0 or self.heard or not left:
                return
            name = signal.Signals(-found.code).name
            console.warn(f"worker {number + 1} was ended by {name}: another takes its place")

    def _warn(self) -> None:
        """What workers warned of, once."""
        lines = [line for o in self.ended.values() for line in o.error.splitlines()]
        for line in dict.fromkeys(lines):
            if line.startswith("warning: "):
                console.warn(line.removeprefix("warning: "))

    def stop(self, number: int) -> None:
        """Pass a signal on: the first to end well, the second to end at once."""
        again = bool(self.heard)
        self.heard.append(number)
        for pid in list(self.pids.values()):
            _signal(pid, signal.SIGKILL if again else number)


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


@contextlib.contextmanager
def _passed_on(team: Team) -> Iterator[None]:
    """SIGINT and SIGTERM reach the workers, and end this process after them."""

    def hear(number: int, _frame: FrameType | None) -> None:
        team.stop(number)

    both = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, hear) for number in both}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _raise_for(outcome: Outcome) -> None:
    """What a worker failed of is what the command fails of."""
    if outcome.code == 0:
        told = outcome.value
        if told is not None:
            kind: type[ImgtrainError] = getattr(errors, told["kind"], ImgtrainError)
            raise kind(told["message"], told["hint"])
        return
    if outcome.code > 0:
        raise RuntimeError(f"a worker failed:\n{outcome.error}")  # a bug, with its traceback's end
    raise errors.RunError(
        f"a worker was ended by {signal.Signals(-outcome.code).name} again and again",
        "the same command goes on with the trials that are left",
    )


def answer(work: Callable[[], None]) -> dict[str, str] | None:
    """The worker's side: do the work, and put into JSON what it failed of."""
    with contextlib.suppress(AttributeError, OSError):  # a terminal's Ctrl-C comes by the parent
        os.setpgid(0, 0)
    sys.stdout.write(f"pid {os.getpid()}\n")
    sys.stdout.flush()
    try:
        work()
    except (InterruptedRun, KeyboardInterrupt):
        return None  # the parent knows
    except ImgtrainError as error:
        names = [kind.__name__ for kind in type(error).__mro__ if hasattr(errors, kind.__name__)]
        return {"kind": names[0], "message": error.message, "hint": error.hint}
    return None
