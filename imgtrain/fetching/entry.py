"""What is known about a set: its archives, who vouches for them, how it becomes a folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MB = 1_000_000
_SHA256_DIGITS = 64


@dataclass(frozen=True, slots=True)
class Archive:
    """A file to fetch.

    Args:
        name: The file's name, on every server.
        urls: Where it is, asked in this order.
        size: In bytes; None where it is not known.
        digest: ``sha256:HEX`` or ``md5:HEX``; None where nobody published one.
        vouched_by: Who published the digest.
    """

    name: str
    urls: tuple[str, ...]
    size: int | None
    digest: str | None
    vouched_by: str


def archive_of(
    name: str,
    bases: tuple[str, ...],
    size: int,
    digest: str,
    vouched_by: str = "TensorFlow Datasets",
) -> Archive:
    """An archive of one name on several servers; the digest's length tells its kind."""
    kind = "sha256" if len(digest) == _SHA256_DIGITS else "md5"
    urls = tuple(f"{base}/{name}" for base in bases)
    return Archive(name, urls, size, f"{kind}:{digest}", vouched_by)


@dataclass(frozen=True, slots=True)
class SetEntry:
    """A set by name.

    Args:
        name: What users type; also the folder's name.
        title: What it shows, for the list.
        archives: What is fetched; empty for what comes along.
        layout: Module of this package whose ``lay_out`` makes the folder.
        counts: Pictures in each part, as published; the part "" has the classes themselves.
        classes: Number of classes.
        room: Bytes of disk that unpacking takes at its peak, beside the archives.
        licence: In a word, or "not stated".
        citation: What to cite.
        homepage: Where to read about it.
        notes: What is left out, as sentences.
    """

    name: str
    title: str
    archives: tuple[Archive, ...]
    layout: str
    counts: Mapping[str, int]
    classes: int
    room: int
    licence: str
    citation: str
    homepage: str
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes to fetch, as far as known."""
        return sum(archive.size or 0 for archive in self.archives)

    @property
    def pictures(self) -> int:
        """In all parts together."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Job:
    """A set whose archives are here and checked, on its way to a folder.

    Args:
        entry: Which set.
        archives: Path of each archive, by its name.
        into: An empty folder that becomes the set.
        scratch: An empty folder that is thrown away afterwards.
    """

    entry: SetEntry
    archives: Mapping[str, Path]
    into: Path
    scratch: Path
