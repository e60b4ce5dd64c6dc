"""Moving one file so that no crash loses it, and nothing is ever overwritten."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from pathlib import Path

from imgtrain.files import sync_folder

_BLOCK = 2**20

PART = ".imgtrain-part"
"""Ending of a copy that is not whole yet; a crash may leave one."""


class Taken(Exception):  # noqa: N818  # the file is in the way, nothing failed
    """Another file is where one should go."""


def fingerprint(place: str) -> tuple[int, str, bool]:
    """Size, SHA-256 and whether it is a link; of a link its target counts.

    Raises:
        OSError: If it cannot be read.
    """
    if os.path.islink(place):  # noqa: PTH114  # names may be any bytes
        target = os.fsencode(os.readlink(place))  # noqa: PTH115  # as above
        return len(target), hashlib.sha256(target).hexdigest(), True
    size, digest = 0, hashlib.sha256()
    with open(place, "rb") as file:  # noqa: PTH123  # as above
        while block := file.read(_BLOCK):
            digest.update(block)
            size += len(block)
    return size, digest.hexdigest(), False


def is_there(place: str, sha256: str) -> bool:
    """Whether the very file lies there."""
    try:
        return fingerprint(place)[1] == sha256
    except OSError:
        return False


def move(origin: str, to: str) -> None:
    """Rename, or copy between file systems; content, time and mode stay as they are.

    Between file systems the copy is whole, on disk and compared before the original goes.

    Raises:
        Taken: If there is something at ``to``.
        OSError: If it cannot be done; the original is then where it was.
    """
    if os.path.lexists(to):
        raise Taken(to)
    Path(to).parent.mkdir(parents=True, exist_ok=True)
    try:
        os.rename(origin, to)  # noqa: PTH104  # names may be any bytes
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy_over(origin, to)
        os.unlink(origin)  # noqa: PTH108  # as above
    sync_folder(Path(to).parent)
    sync_folder(Path(origin).parent)


def _copy_over(origin: str, to: str) -> None:
    """A verified copy of ``origin`` at ``to``, which appears whole."""
    draft = to + PART
    try:
        if os.path.islink(origin):  # noqa: PTH114  # as above
            os.symlink(os.readlink(origin), draft)  # noqa: PTH115, PTH211  # as above
        else:
            shutil.copyfile(origin, draft)
            _sync(draft)
        shutil.copystat(origin, draft, follow_symlinks=False)
        _compare(draft, origin)
        os.rename(draft, to)  # noqa: PTH104  # as above
    except BaseException:
        if os.path.lexists(draft):
            os.unlink(draft)  # noqa: PTH108  # as above
        raise
    sync_folder(Path(to).parent)


def _compare(copy: str, original: str) -> None:
    if fingerprint(copy) != fingerprint(original):
        raise OSError(errno.EIO, "the copy differs from the original")


def _sync(place: str) -> None:
    handle = os.open(place, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
