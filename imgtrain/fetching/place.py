"""The place where a set will lie: its room on the disk, its lock, and whether it is whole."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from imgtrain import console
from imgtrain.errors import DISK_ERRNOS, DiskError, ImgtrainError, disk_error
from imgtrain.fetching.progress import size_text

RECORD = "dataset.json"
"""Written last, before the folder gets its name."""


def is_whole(folder: Path) -> bool:
    """Whether a set lies there: its record was written when all else was."""
    return os.path.isfile(folder / RECORD)  # noqa: PTH113  # unlike Path's, never raises


def make_folder(folder: Path) -> None:
    """Make ``folder`` and those above it.

    Raises:
        DiskError: If it cannot be made, or is a file.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(error, folder) from error


def fresh_folder(folder: Path) -> Path:
    """An empty folder of that name; what an earlier process left in it is thrown away."""
    drop_folder(folder)
    make_folder(folder)
    return folder


def drop_folder(folder: Path) -> None:
    """Throw ``folder`` away, if it is there."""
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def writing(place: Path) -> Iterator[None]:
    """Turn a full or read-only disk into an error that says so.

    Raises:
        DiskError: With the place.
    """
    try:
        yield
    except ImgtrainError:
        raise
    except OSError as error:
        if error.errno in DISK_ERRNOS:
            raise disk_error(error, error.filename or place) from error
        raise


def check_room(folder: Path, needed: int, what: str) -> None:
    """Refuse to begin what will not fit.

    Raises:
        DiskError: If fewer than ``needed`` bytes are free.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DiskError(
            f"{what} needs {size_text(needed)} in {folder}, and {size_text(free)} are free",
            "free some room or choose another place with --output DIR",
        )


@contextlib.contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Only one process at a time goes on; the others wait and say so. The lock dies with its owner.

    Raises:
        DiskError: If the file of the lock cannot be written.
    """
    try:
        handle = _take(path, what)
    except OSError as error:
        raise disk_error(error, path) from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()  # while it is held: who waits for this file notices and opens a new one
        handle.close()


def _take(path: Path, what: str) -> IO[str]:
    while True:
        handle = path.open("a")
        try:
            _flock(handle, what)
            if os.path.samestat(os.fstat(handle.fileno()), path.stat()):
                return handle
        except FileNotFoundError:  # its last owner has removed it
            pass
        except BaseException:
            handle.close()
            raise
        handle.close()


def _flock(handle: IO[str], what: str) -> None:
    try:
        import fcntl
    except ImportError:  # Windows: no advisory locks
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        console.say(f"another process is at work on {what}: waiting for it")
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError as error:  # a network disk without locks
        console.detail(f"{what}: this disk has no locks ({error.strerror})")
