"""What a person sees while bytes arrive or pictures are written: a live bar, or plain lines."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, Protocol

from imgtrain import console

if TYPE_CHECKING:
    from rich.progress import ProgressColumn, Task
    from rich.text import Text

Unit = Literal["bytes", "pictures"]

_EVERY = 10.0
"""Seconds between two plain lines."""


class Meter(Protocol):
    """Hears how far something is."""

    def at(self, done: int) -> None:
        """So much is done."""


def size_text(number: float) -> str:
    """``170 MB``: decimal, as disks and downloads are sold."""
    for unit in ("B", "kB", "MB"):
        if number < 1000:  # noqa: PLR2004  # the next unit
            return f"{number:.0f} {unit}" if unit == "B" or number >= 10 else f"{number:.1f} {unit}"  # noqa: PLR2004  # two digits
        number /= 1000
    return f"{number:.2f} GB"


def time_text(seconds: float) -> str:
    """``42 s`` or ``3:05 min``."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60}:{whole % 60:02} min"  # noqa: PLR2004  # seconds of a minute


class _Lines:
    """A line now and then, for files and pipes."""

    def __init__(self, label: str, total: int | None, unit: Unit, done: int) -> None:
        self._label, self._total, self._unit = label, total, unit
        self._first, self._begun = done, time.monotonic()
        self._last = self._begun

    def at(self, done: int) -> None:
        now = time.monotonic()
        if now - self._last >= _EVERY:
            self._last = now
            rate = max(0, done - self._first) / (now - self._begun)
            console.say(line(self._label, done, self._total, self._unit, rate))


def line(label: str, done: int, total: int | None, unit: Unit, rate: float) -> str:
    """``a.tgz: 34 MB of 170 MB (20 %), 12 MB/s, 11 s left``."""
    text = size_text if unit == "bytes" else "{:,.0f}".format
    if not total:
        return f"{label}: {text(done)}, {text(rate)}/s"
    left = f", {time_text((total - done) / rate)} left" if rate and done <= total else ""
    share = f"{100 * done // total} %"
    return f"{label}: {text(done)} of {text(total)} ({share}), {text(rate)}/s{left}"


@contextlib.contextmanager
def metering(
    label: str, total: int | None, unit: Unit = "bytes", *, done: int = 0
) -> Iterator[Meter]:
    """A meter from ``done`` to ``total``: live on a terminal, plain lines elsewhere."""
    if not console.is_live():
        yield _Lines(label, total, unit, done)
        return
    with _bar(label, total, unit, done) as meter:
        yield meter


def _rate_column() -> ProgressColumn:
    """Pictures a second, so far."""
    from rich.progress import ProgressColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{speed:,.0f}/s")

    return Rate()


@contextlib.contextmanager
def _bar(label: str, total: int | None, unit: Unit, done: int) -> Iterator[Meter]:
    from rich import progress

    counts: list[progress.ProgressColumn] = (
        [progress.DownloadColumn(), progress.TransferSpeedColumn()]
        if unit == "bytes"
        else [progress.MofNCompleteColumn(), _rate_column()]
    )
    with progress.Progress(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        *counts,
        progress.TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        console=console.console(),
    ) as bars:
        task = bars.add_task(console.one_line(label), total=total, completed=done)

        class _Bar:
            def at(self, done: int) -> None:
                bars.update(task, completed=done)

        yield _Bar()
