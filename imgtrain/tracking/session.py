"""A run that is tracked: what the training tells is passed on, and how it ends in any case."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from imgtrain import console
from imgtrain.errors import ImgtrainError, InterruptedRun, PrunedRun
from imgtrain.events import EpochEnded, Event, RunStarted, StepEnded
from imgtrain.passwords import without_user
from imgtrain.registry import TRACKERS
from imgtrain.report.gallery import Reader
from imgtrain.report.reading import read_history, read_object
from imgtrain.rundir import RunDir
from imgtrain.settings.schema import Settings
from imgtrain.tracking import content
from imgtrain.tracking.memory import FILE, Mark, recall, remember
from imgtrain.tracking.own import taken
from imgtrain.tracking.posting import Post
from imgtrain.tracking.told import Began, Ended, Hears, Numbers, Parameters, Told, Tracked

OPENING, ENDING = 20.0, 60.0
"""Seconds that are waited at most: for a whole before its parts begin, and at the end."""

_WHOLES = {"cv": "fold", "tune": "trial", "trial": "fold"}
"""What the parts of a whole are called, by its ``kind``."""


@contextmanager
def tracked(
    run: RunDir,
    settings: Settings,
    *,
    is_first: bool = True,
    read: Reader | None = None,
    ends: bool = True,
    until: float | None = None,
) -> Iterator[Callable[[Event], None]]:
    """Tell the trackers of ``track.to`` what happens to a run in the block; a listener.

    Args:
        run: Its folder, with its settings and provenance.
        settings: As decided.
        is_first: Whether this process speaks for all; others track nothing.
        read: The bytes of a picture by its path in ``splits.csv``.
        ends: Whether the run is over after the block.
        until: ``time.monotonic()`` at which all must be done, where there is a limit.
    """
    with ExitStack() as stack:
        if not settings.track.to or not is_first or not stack.enter_context(_alone(run)):
            yield lambda _: None
            return
        session = _Session(run, settings, _posts(run, settings))
        with _whatever_happens():
            session.begin()
        try:
            yield session.hear
        except BaseException as error:
            session.end(_ended(error) if ends else None, None, until)
            raise
        session.end(Ended("finished") if ends else None, read, until)


def job_of(run: RunDir) -> tuple[str, Path | None]:
    """What a run is, and the whole that it is part of."""
    above = _kind(run.path.parent)
    if above not in _WHOLES:
        return _kind(run.path), None
    job = "retrain" if run.name.startswith("retrained") else _WHOLES[above]
    return job, run.path.parent


def _kind(folder: Path) -> str:
    return str(read_object(folder / "provenance.json").get("kind", "train"))


@contextmanager
def _whatever_happens() -> Iterator[None]:
    """Nothing about trackers ends a training."""
    try:
        yield
    except Exception as error:  # noqa: BLE001  # a run's files may be gone, its disk full
        console.warn(f"--track: {without_user(str(error))}")


@contextmanager
def _alone(run: RunDir) -> Iterator[bool]:
    """Whether no other process tracks this very run; until the block ends, none will."""
    try:
        import fcntl
    except ImportError:  # Windows: no advisory locks
        yield True
        return
    with contextlib.ExitStack() as stack:
        try:
            handle = stack.enter_context((run.path / ".trackers.lock").open("a"))
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        except OSError:  # a file system that knows no locks
            yield True
            return
        yield True


def _posts(run: RunDir, settings: Settings) -> list[Post]:
    """One for each tracker."""
    posts = []
    for name in settings.track.to:
        tracker = TRACKERS[name]
        mark = Mark.read(run.path, name)
        opened = partial(_opened, run, settings, name)
        posts.append(Post(name, opened, mark, tracker.rewinds))
    return posts


def _opened(run: RunDir, settings: Settings, name: str) -> contextlib.AbstractContextManager[Hears]:
    job, above = job_of(run)
    whole = above
    while whole is not None and (above_that := job_of(RunDir(whole))[1]) is not None:
        whole = above_that
    parts = run.path.relative_to(whole.parent) if whole is not None else Path(run.name)
    found: contextlib.AbstractContextManager[Hears] = TRACKERS[name].function(
        Tracked(
            folder=run.path.absolute(),
            name=parts.as_posix(),
            job=job,
            group=(run.path if job in _WHOLES else None) if whole is None else whole,
            settings=settings.track,
            output=settings.run.output.absolute(),
            offline=settings.hardware.offline,
            known=recall(run.path, name),
            above={} if above is None else recall(above, name),
            remember=partial(remember, run.path, name),
        )
    )
    return found


def _ended(error: BaseException) -> Ended:
    if isinstance(error, PrunedRun):
        return Ended("pruned")
    if isinstance(error, InterruptedRun):
        return Ended("interrupted", error.code)
    if isinstance(error, KeyboardInterrupt):
        return Ended("interrupted", 130)
    code = error.exit_code if isinstance(error, ImgtrainError) else 1
    return Ended("failed", code, without_user(f"{type(error).__name__}: {error}"))


@dataclass(slots=True)
class _Session:
    """One run and its trackers."""

    run: RunDir
    settings: Settings
    posts: list[Post]
    sent: int = 0

    def begin(self) -> None:
        """What the run is made of. A whole is there before its parts."""
        for post in self.posts:
            post.start()
        self.tell(Parameters(content.parameters(self.run.path, self.settings)))
        if _kind(self.run.path) in _WHOLES:
            until = time.monotonic() + OPENING
            for post in self.posts:
                post.is_open.wait(max(0.0, until - time.monotonic()))

    def tell(self, told: Told) -> None:
        for post in self.posts:
            post.tell(told)

    def hear(self, event: Event) -> None:
        """What of the training's events trackers are told."""
        match event:
            case RunStarted():
                before = event.history[-1]["step"] if event.history else 0
                self.sent = steps = int(before or 0) + event.step
                self.tell(Began(steps))
                for row in event.history:
                    self._epoch(row)
            case StepEnded():
                self._step(event)
            case EpochEnded():
                self._epoch(event.row)
            case _:
                pass

    def _step(self, event: StepEnded) -> None:
        every = self.settings.track.every
        if every is not None and event.global_step - self.sent < every:
            return
        self.sent = event.global_step
        values = {
            "lr": event.lr,
            "train_loss": event.train_loss,
            "train_top1": event.train_top1,
            "images_per_second": event.images_per_second,
            "memory_mb": event.memory_mb,
        }
        numbers = {f"step/{name}": value for name, value in values.items()} | taken()
        self.tell(Numbers("step", event.global_step, numbers))

    def _epoch(self, row: Mapping[str, float | None]) -> None:
        found = {name: float(value) for name, value in row.items() if value is not None}
        step, epoch = int(found.pop("step")), found.pop("epoch")
        values = {f"epoch/{name}": value for name, value in found.items()}
        self.tell(Numbers("epoch", step, {"epoch": epoch, **values}))

    def end(self, ended: Ended | None, read: Reader | None, until: float | None) -> None:
        """What it came to, and how it ended; waits a bounded time."""
        if ended is not None and self.run.status().get("pid") == os.getpid():
            with _whatever_happens():
                self._tell_outcome(ended, read)
        since = time.monotonic()
        last = since + ENDING if until is None else min(since + ENDING, max(until, since + 1))
        for post in self.posts:
            post.end(max(0.1, last - time.monotonic()))

    def _tell_outcome(self, ended: Ended, read: Reader | None) -> None:
        folder, track = self.run.path.absolute(), self.settings.track
        job = job_of(self.run)[0]
        rows = read_history(folder / "history.csv")
        step = int(rows[-1].get("step") or 0) if rows else 0
        if ended.state == "finished":
            best = content.best_parameters(folder)
            if best:
                self.tell(Parameters(best))
            self.tell(Numbers("end", step, content.final_numbers(folder)))
        with _whatever_happens():
            self.tell(content.outcome(folder, max_mb=track.max_mb, job=job, read=read))
        folders = [path.parent for path in sorted(folder.glob(f"*/{FILE}"))]
        for post in self.posts:
            parts = (recall(path, post.name) for path in folders)
            post.tell(replace(ended, parts=tuple(each for each in parts if each)))
