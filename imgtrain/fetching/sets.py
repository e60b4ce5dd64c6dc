"""A known set, from its name to a folder that is whole or absent."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

from imgtrain import console
from imgtrain.errors import DataError, OutsideError, SettingsError
from imgtrain.fetching.answers import Patience, client
from imgtrain.fetching.catalogue import entry_of
from imgtrain.fetching.entry import Job, SetEntry
from imgtrain.fetching.place import (
    RECORD,
    check_room,
    drop_folder,
    fresh_folder,
    is_whole,
    locked,
    make_folder,
    writing,
)
from imgtrain.fetching.sources import Obtained, already_here, check_mirror, obtain, reachable
from imgtrain.files import cache_folder, sync_folder, write_json

Counts = Mapping[str, Mapping[str, int]]
"""Pictures by part and class."""


def sets_folder() -> Path:
    """Where sets lie that were fetched without ``--output``."""
    return cache_folder() / "sets"


def find_set(name: str, *, output: Path | None = None) -> Path | None:
    """The folder of a set if it is here, whole; no network is asked."""
    folder = (output or sets_folder()) / name
    return folder if is_whole(folder) else None


def fetch_set(name: str, *, mirror: str | None, offline: bool, output: Path | None = None) -> Path:
    """The folder of a set, fetched and unpacked where it is not here yet.

    Args:
        name: As in the catalogue.
        mirror: Server that is asked first; None asks the publisher's.
        offline: Open no socket.
        output: Folder that holds the set's folder; the user's cache if None.

    Raises:
        SettingsError: If there is no such set, or the mirror is no address.
        OutsideError: If no server gives the right archives, or ``offline`` forbids to ask.
        DataError: If an archive is not what it should be.
        DiskError: If the disk is full or cannot be written.
    """
    return fetch(entry_of(name), output or sets_folder(), mirror=mirror, offline=offline)


def fetch(
    entry: SetEntry,
    holder: Path,
    *,
    mirror: str | None = None,
    offline: bool = False,
    patience: Patience | None = None,
) -> Path:
    """As ``fetch_set``, for any entry; ``holder`` is the folder that holds the set's folder."""
    target = holder / entry.name
    if _is_here(target):
        return target
    base = None if mirror is None else check_mirror(mirror)
    make_folder(holder)
    downloads, work = holder / f".{entry.name}.download", holder / f".{entry.name}.unpacking"
    if offline and not all(already_here(downloads / a.name) for a in entry.archives):
        raise OutsideError(
            f"{entry.name} is not in {holder}, and nothing may be fetched (hardware.offline)",
            f"leave out --offline, or copy the folder {entry.name} there from another machine",
        )
    with locked(holder / f".{entry.name}.lock", entry.name), writing(holder):
        if _is_here(target):  # another process has just brought it
            return target
        check_room(holder, _still_needed(entry, downloads), entry.name)
        make_folder(downloads)
        archives = _obtain_all(entry, downloads, base, patience or Patience())
        try:
            _make(entry, archives, work, target)
        except DataError:
            drop_folder(downloads)  # what cannot be unpacked is fetched anew
            raise
        finally:
            drop_folder(work)
        drop_folder(downloads)
    return target


def _is_here(target: Path) -> bool:
    if is_whole(target):
        return True
    if os.path.lexists(target):
        raise SettingsError(
            f"{target} is there and is no set that imgtrain fetched",
            "move it away, or choose another place with --output DIR",
        )
    return False


def _still_needed(entry: SetEntry, downloads: Path) -> int:
    """Bytes: what is yet to come of the archives, and what unpacking takes."""
    here = sum(path.stat().st_size for path in downloads.glob("*"))
    return max(0, entry.size - here) + entry.room


def _obtain_all(
    entry: SetEntry, downloads: Path, mirror: str | None, patience: Patience
) -> list[Obtained]:
    if not entry.archives:
        return []
    if any(already_here(downloads / archive.name) is None for archive in entry.archives):
        mirror = reachable(mirror, patience)
    with client(patience) as http:
        return [
            obtain(http, entry, archive, downloads, mirror=mirror, patience=patience)
            for archive in entry.archives
        ]


def _make(entry: SetEntry, archives: Sequence[Obtained], work: Path, target: Path) -> None:
    """Lay the set out beside its place, then give it its name."""
    fresh_folder(work)
    job = Job(entry, {a.path.name: a.path for a in archives}, work / entry.name, work / "scratch")
    job.into.mkdir()
    job.scratch.mkdir()
    console.say(f"unpacking {entry.name}")
    import_module(f"imgtrain.fetching.{entry.layout}").lay_out(job)
    counts = count(job.into, entry)
    record(job.into, entry, archives, counts)
    settle(job.into, target)
    _compare(entry, counts)


def count(folder: Path, entry: SetEntry) -> Counts:
    """How many pictures there are of each part and class."""
    parts = {part: folder / part for part in entry.counts}
    return {
        part: {
            inside.name: sum(1 for _ in inside.iterdir())
            for inside in sorted(place.iterdir())
            if inside.is_dir()
        }
        for part, place in parts.items()
        if place.is_dir()
    }


def record(folder: Path, entry: SetEntry, archives: Sequence[Obtained], counts: Counts) -> None:
    """Write what the set is and where it is from."""
    write_json(
        folder / RECORD,
        {
            "format": 1,
            "name": entry.name,
            "title": entry.title,
            "homepage": entry.homepage,
            "licence": entry.licence,
            "citation": entry.citation,
            "notes": list(entry.notes),
            "archives": [
                {
                    "name": a.path.name,
                    "url": a.url,
                    "bytes": a.size,
                    "checksum": a.digest,
                    "checked_against": a.checked_against,
                }
                for a in archives
            ],
            "pictures": {part or "all": sum(of.values()) for part, of in counts.items()},
            "classes": {part or "all": dict(of) for part, of in counts.items()},
        },
    )


def settle(folder: Path, target: Path) -> None:
    """Give a folder its name, once all in it would outlive a power cut."""
    if hasattr(os, "sync"):
        os.sync()
    folder.rename(target)
    sync_folder(target.parent)


def _compare(entry: SetEntry, counts: Counts) -> None:
    """Say what is here, and where that is not what was published."""
    found = {part: sum(of.values()) for part, of in counts.items()}
    shown = ", ".join(f"{number:,} {part or 'pictures'}" for part, number in found.items())
    classes = len({name for of in counts.values() for name in of})
    console.say(f"{entry.name}: {shown}, {classes} classes")
    if found != dict(entry.counts) or classes != entry.classes:
        published = ", ".join(f"{n:,} {part or 'pictures'}" for part, n in entry.counts.items())
        console.warn(f"{entry.name} was published with {published}, {entry.classes} classes")
    for note in entry.notes:
        console.say(f"note: {note}")
