"""Files are whole or absent: written beside their place, flushed, then renamed."""

from __future__ import annotations

import contextlib
import csv
import errno
import io
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from imgtrain.errors import disk_error


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` outlive a power cut (a no-op where folders cannot be synced)."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)


def refuse_device(path: Path) -> None:
    """A device or a pipe would be gone once a file has taken its place."""
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is no ordinary file")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that takes the place of ``path`` when the block ends well, and only then.

    Raises:
        DiskError: If the disk is full, read-only or not ours.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        refuse_device(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        draft.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        if isinstance(error, BrokenPipeError):  # no file has a reader that leaves
            raise
        raise disk_error(error, path) from error
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise
    sync_folder(path.parent)


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` at once."""
    with replacing(path) as handle:
        handle.write(data)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8; bytes of a name that is none are shown as escapes."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_json(path: Path, value: object) -> None:
    """Write ``value`` as indented JSON; what is not finite is refused, not written as NaN."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The value in ``path``."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write rows under ``header``; None is an empty cell."""
    with replacing(path) as handle:
        text = io.TextIOWrapper(handle, encoding="utf-8", newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
        text.flush()
        text.detach()


@contextlib.contextmanager
def replacing_folder(place: Path) -> Iterator[Path]:
    """A folder that takes the place of ``place`` when the block ends well, and only then.

    Raises:
        DiskError: If the disk is full, read-only or not ours.
    """
    draft, old = (place.with_name(f".{place.name}.{os.getpid()}.{end}") for end in ("new", "old"))
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        yield draft
        if place.exists():
            place.rename(old)
        draft.rename(place)
        sync_folder(place.parent)
    except OSError as error:
        raise disk_error(error, place) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def first_free(taken: Callable[[str], bool], name: str) -> str:
    """``name``, or ``name-2``, ``name-3``, ... : the first that is not taken."""
    if not taken(name):
        return name
    number = 2
    while taken(f"{name}-{number}"):
        number += 1
    return f"{name}-{number}"


def cache_folder() -> Path:
    """The user's cache: ``IMGTRAIN_CACHE``, else ``imgtrain`` in ``XDG_CACHE_HOME`` or ~/.cache."""
    own = os.environ.get("IMGTRAIN_CACHE")
    if own:
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "imgtrain"
