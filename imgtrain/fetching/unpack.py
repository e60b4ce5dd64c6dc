"""Unpacking archives that may be hostile: tar and zip, and gz, bz2 and xz around a tar or a file.

Nothing is believed that a header says: names are checked, links and devices refused, and bytes are
counted as they are read, so that a bomb ends at the limit whatever size it claims.
"""

from __future__ import annotations

import bz2
import contextlib
import errno
import gzip
import lzma
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from imgtrain.errors import DataError

_BLOCK = 2**20
_LONGEST_NAME = 4096
"""Characters, as in Linux's paths: thousands of longer ones would fill the memory."""

_DRIVE = re.compile(r"^[A-Za-z]:")
_MAGIC: tuple[tuple[bytes, Callable[[IO[bytes]], IO[bytes]]], ...] = (
    (b"\x1f\x8b", lambda raw: cast("IO[bytes]", gzip.GzipFile(fileobj=raw))),
    (b"BZh", lambda raw: cast("IO[bytes]", bz2.BZ2File(raw))),
    (b"\xfd7zXZ\x00", lambda raw: cast("IO[bytes]", lzma.open(raw))),  # noqa: SIM115  # opened() closes it
)
_BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    RuntimeError,
    ValueError,
)
"""What the standard library raises for archives that are cut, damaged or of an unknown kind."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much an archive may hold.

    Args:
        members: Files and folders.
        file_bytes: Of one file.
        total_bytes: Of all files.
        ratio: Bytes unpacked for each byte of the archive, beyond ``free_bytes``.
        free_bytes: So much may be unpacked whatever the ratio.
    """

    members: int = 1_000_000
    file_bytes: int = 8 * 2**30
    total_bytes: int = 32 * 2**30
    ratio: int = 100
    free_bytes: int = 64 * 2**20


@dataclass(slots=True)
class _Budget:
    """What has been read so far of one archive."""

    archive: Path
    limits: Limits
    size: int
    members: int = 0
    total: int = 0

    def refuse(self, why: str) -> DataError:
        return DataError(
            f"{self.archive} is not safe to unpack: {why}",
            "nothing of it was kept; get the archive from a source that you trust",
        )

    def enter(self, name: str, seen: set[tuple[str, ...]], *, is_folder: bool) -> tuple[str, ...]:
        """The parts of a member's name, once it is known to be harmless and new."""
        self.members += 1
        if self.members > self.limits.members:
            raise self.refuse(f"it holds more than {self.limits.members:,} files")
        parts = self._parts(name)
        if parts and not is_folder:
            if parts in seen:
                raise self.refuse(f"it holds two files {name!r}")
            seen.add(parts)
        return parts

    def _parts(self, name: str) -> tuple[str, ...]:
        if len(name) > _LONGEST_NAME:
            raise self.refuse(f"{name[:80]!r}... is a name of {len(name):,} characters")
        slashed = name.replace("\\", "/")
        parts = tuple(part for part in slashed.split("/") if part not in {"", "."})
        if slashed.startswith("/") or any(map(_DRIVE.match, parts)):
            raise self.refuse(f"{name!r} is an absolute path")
        if ".." in parts:
            raise self.refuse(f"{name!r} leads out of the folder")
        if "\0" in name:
            raise self.refuse(f"{name!r} is no name of a file")
        return parts

    def reach(self, total: int) -> None:
        """Refuse to go beyond what all files together may hold."""
        by_ratio = self.limits.free_bytes + self.limits.ratio * self.size
        allowed = min(by_ratio, self.limits.total_bytes)
        if total > allowed:
            raise self.refuse(f"its {self.size:,} bytes unpack to more than {allowed:,}")

    def spend(self, name: str, of_file: int, more: int) -> None:
        """Count ``more`` bytes of a file of which ``of_file`` were read before."""
        if of_file + more > self.limits.file_bytes:
            raise self.refuse(f"{name!r} is larger than {self.limits.file_bytes:,} bytes")
        self.total += more
        self.reach(self.total)


class _Forward:
    """A decompressed stream as tarfile reads it: no huge headers, nothing beyond the budget."""

    def __init__(self, stream: IO[bytes], budget: _Budget) -> None:
        self._stream, self._budget = stream, budget

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= 2 * _BLOCK:
            raise self._budget.refuse("one of its headers is too large")
        self._budget.reach(self._stream.tell() + size - _BLOCK)  # tar pads: a little more is fine
        return self._stream.read(size)

    def seek(self, place: int) -> int:
        self._budget.reach(place - _BLOCK)
        return self._stream.seek(place)

    def tell(self) -> int:
        return self._stream.tell()

    def seekable(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive.

    Args:
        parts: Folders and name: harmless, never empty.
        stream: Its bytes; only until the next member.
    """

    parts: tuple[str, ...]
    stream: IO[bytes]
    _budget: _Budget

    def blocks(self) -> Iterator[bytes]:
        """Its bytes, counted.

        Raises:
            DataError: If there are too many, or they cannot be read.
        """
        done = 0
        with legible(self._budget.archive):
            while block := self.stream.read(_BLOCK):
                self._budget.spend("/".join(self.parts), done, len(block))
                done += len(block)
                yield block

    def read(self) -> bytes:
        """All at once."""
        return b"".join(self.blocks())

    def save(self, path: Path) -> None:
        """Write it to ``path``, whose folder is made, and which must not exist."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                for block in self.blocks():
                    file.write(block)
        except (FileExistsError, NotADirectoryError) as error:
            raise self._budget.refuse(f"two of its files would be {path.name!r}") from error
        except OSError as error:
            if error.errno not in {errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ}:
                raise
            raise self._budget.refuse(f"{path.name!r} is no name of a file") from error


@contextlib.contextmanager
def legible(archive: Path) -> Iterator[None]:
    """Turn the standard library's complaints about an archive into ours."""
    try:
        yield
    except DataError:
        raise
    except _BROKEN as error:
        raise _unreadable(archive, error) from error
    except OSError as error:
        if error.errno not in {None, errno.EINVAL}:
            raise
        raise _unreadable(archive, error) from error  # bz2's own, or a seek to before the start


def _unreadable(archive: Path, error: Exception) -> DataError:
    return DataError(
        f"{archive} cannot be unpacked: it is cut or damaged ({error})",
        "fetch it again",
    )


def members(archive: Path, limits: Limits | None = None) -> Iterator[Member]:
    """The files in a tar (plain, gz, bz2, xz) or zip, one after the other; folders are left out.

    Raises:
        DataError: At the first member that is not harmless, or if the archive cannot be read.
    """
    budget = _Budget(archive, limits or Limits(), archive.stat().st_size)
    with archive.open("rb") as file:
        is_zip = file.read(2) == b"PK"
    yield from _zip_members(budget) if is_zip else _file_members(budget)


def _file_members(budget: _Budget) -> Iterator[Member]:
    with legible(budget.archive), opened(budget.archive) as stream:
        yield from _tar_members(stream, budget)
        while stream.read(_BLOCK):  # what follows a tar: to the checksum at the end of a gz
            budget.reach(stream.tell())


@contextlib.contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a file, decompressed where it is gz, bz2 or xz (its first bytes tell)."""
    with path.open("rb") as raw:
        magic = raw.read(6)
        raw.seek(0)
        how = next((opener for start, opener in _MAGIC if magic.startswith(start)), None)
        if how is None:
            yield raw
            return
        with how(raw) as stream:
            yield stream


def inner_members(outer: Member) -> Iterator[Member]:
    """The files in a plain tar that is itself a member; they count towards the outer's limits."""
    yield from _tar_members(outer.stream, outer._budget)  # noqa: SLF001  # its own module


def _tar_members(stream: IO[bytes], budget: _Budget) -> Iterator[Member]:
    seen: set[tuple[str, ...]] = set()
    with (
        legible(budget.archive),
        tarfile.TarFile(fileobj=cast("IO[bytes]", _Forward(stream, budget)), mode="r") as tar,
    ):
        for info in tar:
            kind = _harmful(info)
            if kind:
                raise budget.refuse(f"{info.name[:_LONGEST_NAME]!r} is {kind}")
            parts = budget.enter(info.name, seen, is_folder=info.isdir())
            if parts and not info.isdir():
                content = tar.extractfile(info)
                assert content is not None
                yield Member(parts, content, budget)
            cast("Any", tar).members.clear()  # a million headers would fill the memory


def _harmful(info: tarfile.TarInfo) -> str:
    """What a member is, unless it is a file or a folder."""
    if info.issym() or info.islnk():
        return f"a link to {info.linkname!r}"
    if info.issparse():
        return "a file with holes"
    if info.size < 0:
        return f"a file of {info.size:,} bytes"
    return "" if info.isfile() or info.isdir() else "a device, a pipe or the like"


def _zip_members(budget: _Budget) -> Iterator[Member]:
    seen: set[tuple[str, ...]] = set()
    with legible(budget.archive), zipfile.ZipFile(budget.archive) as archive:
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
                raise budget.refuse(f"{info.filename!r} is a link or a device")
            if info.flag_bits & 1:
                raise budget.refuse(f"{info.filename!r} wants a password")
            parts = budget.enter(info.orig_filename, seen, is_folder=info.is_dir())
            if parts and not info.is_dir():
                with archive.open(info) as content:
                    yield Member(parts, content, budget)


def decompress(path: Path, limits: Limits | None = None) -> bytes:
    """The one file in a gz, bz2 or xz.

    Raises:
        DataError: If it holds too much, or cannot be read.
    """
    budget = _Budget(path, limits or Limits(), path.stat().st_size)
    with legible(path), opened(path) as stream:
        return Member((path.name,), stream, budget).read()


def read_some(archive: Path, wanted: Callable[[tuple[str, ...]], bool]) -> dict[str, bytes]:
    """The bytes of some small files, by their last name; every member is checked."""
    return {m.parts[-1]: m.read() for m in members(archive) if wanted(m.parts)}


def not_expected(archive: Path, what: str) -> DataError:
    """The archive is whole, but another than its name says."""
    return DataError(f"{archive.name} is not the archive that was expected: {what}")


def lines_of(raw: bytes) -> list[str]:
    """Lines of a text file, without blanks around them; empty ones are left out."""
    text = raw.decode("utf-8", "backslashreplace")
    return [line.strip() for line in text.splitlines() if line.strip()]
