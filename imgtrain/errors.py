"""What can go wrong for a user, as one tree; everything else is a bug and keeps its traceback.

::

    ImgtrainError                one sentence, and a hint: the way out
    |-- SettingsError      2     unknown key, bound, contradiction, a device that is not there
    |-- DataError          3     not found, unreadable, one class, leak gate
    |-- OutsideError       4     a package, weights, a download, a server that was asked for
    |-- MemoryLimitError   5     out of memory, after all recovery
    |-- RunError           6     a run or checkpoint: not found, broken, incompatible
    |-- DivergedError      7     the loss is not a number
    |-- DiskError          8     full or read-only
    |-- GateError          9     a check that was asked for said no
    |-- InterruptedRun   130     stopped by a signal (143 for SIGTERM); the state is saved
    `-- PrunedRun                a trial fell behind; whoever runs trials hears it, no user does
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable
from typing import ClassVar


class ImgtrainError(Exception):
    """An error that its user can mend.

    Args:
        message: One sentence with the path or the setting.
        hint: What to do about it; empty when the message says it.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class SettingsError(ImgtrainError):
    """A setting or flag is unknown, out of bounds, or contradicts another."""

    exit_code = 2


class DataError(ImgtrainError):
    """The pictures or their labels cannot be used as they are."""

    exit_code = 3


class OutsideError(ImgtrainError):
    """Something outside is missing: a package, weights, a download, a server."""

    exit_code = 4


class MemoryLimitError(ImgtrainError):
    """There is not enough memory, after all recovery."""

    exit_code = 5


class RunError(ImgtrainError):
    """A run or checkpoint is not there, broken, or does not fit."""

    exit_code = 6


class DivergedError(ImgtrainError):
    """The training loss is no longer a number."""

    exit_code = 7


class DiskError(ImgtrainError):
    """The disk is full or cannot be written."""

    exit_code = 8


class GateError(ImgtrainError):
    """A check that was asked for said no."""

    exit_code = 9


class InterruptedRun(ImgtrainError):  # noqa: N818  # the work was stopped, nothing failed
    """A signal stopped the work after its state was saved.

    Args:
        signal_number: 2 (SIGINT) or 15 (SIGTERM).
        message: One sentence.
        hint: How to go on.
    """

    exit_code = 130

    def __init__(self, signal_number: int, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.signal_number = signal_number

    @property
    def code(self) -> int:
        """128 + the signal, as shells report it."""
        return 128 + self.signal_number


class PrunedRun(ImgtrainError):  # noqa: N818  # the work was stopped, nothing failed
    """A trial was ended early: others do better."""


DISK_ERRNOS = frozenset({errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EACCES, errno.EPERM})


def disk_error(error: OSError, path: object) -> DiskError:
    """Say in one sentence why ``path`` could not be written."""
    reasons = {
        errno.ENOSPC: "the disk is full",
        errno.EDQUOT: "the disk quota is used up",
        errno.EROFS: "the disk is read-only",
    }
    reason = reasons.get(error.errno or 0, error.strerror or str(error))
    return DiskError(
        f"cannot write {path}: {reason}",
        "free some room or choose another place with --output DIR",
    )


_EXHAUSTED = (
    "out of memory",
    "can't allocate memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "std::bad_alloc",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory could not be had, of a GPU or of the machine."""
    if isinstance(error, MemoryError):
        return True
    if not isinstance(error, RuntimeError):  # torch.OutOfMemoryError is one
        return False
    if type(error).__name__ == "OutOfMemoryError":
        return True
    words = (*_EXHAUSTED, *(_PERHAPS if _has_limit() else ()))
    return any(word in str(error) for word in words)


_PERHAPS = ("could not create a primitive", "could not create a memory object")
"""oneDNN says so of lack of memory, and of other things."""


def _has_limit() -> bool:
    """Whether this process's memory is limited."""
    try:
        import resource
    except ImportError:  # Windows
        return False
    return resource.getrlimit(resource.RLIMIT_DATA)[0] != resource.RLIM_INFINITY


def nearest(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` for the known name closest to ``name``, or nothing."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {found[0]!r}?" if found else ""
