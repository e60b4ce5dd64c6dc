"""Carrying out a plan, and putting everything back."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from imgtrain.checking.journal import Journal, Record
from imgtrain.checking.moving import PART, Taken, fingerprint, is_there, move
from imgtrain.checking.plan import Action
from imgtrain.data.listing import Source
from imgtrain.errors import DataError, DiskError, disk_error
from imgtrain.files import first_free, write_bytes, write_csv


@dataclass
class Outcome:
    """What was done, and what was not, as (name, reason)."""

    done: int = 0
    left: list[tuple[str, str]] = field(default_factory=list)


def apply(actions: Iterable[Action], root: Path, folder: Path) -> Outcome:
    """Do what the plan says; each step is in the journal, on disk, before it is done.

    Args:
        actions: The plan.
        root: The data folder.
        folder: The quarantine folder.

    Raises:
        DataError: If another process works on the quarantine, or it is of another folder.
        DiskError: If something cannot be written; what is in the journal can be put back.
    """
    outcome = Outcome()
    journal = Journal(folder)
    with journal.opened(root, anew=True):
        inside = first_free(lambda name: (folder / name).exists(), "files")
        steps = _Steps(root, folder, inside, journal)
        for action in actions:
            try:
                problem = steps.carry_out(action)
            except Taken as taken:
                problem = f"{taken} is taken"
            except OSError as error:
                raise _cannot(error, action.name) from error
            if problem:
                outcome.left.append((action.name, problem))
            else:
                outcome.done += 1
    return outcome


def _cannot(error: OSError, name: str) -> DiskError:
    found = disk_error(error, name)
    return DiskError(
        found.message.replace("cannot write", "cannot move"),
        "data folder and quarantine must be writable; what was moved is in the journal (--restore)",
    )


@dataclass(frozen=True, slots=True)
class _Steps:
    root: Path
    folder: Path
    inside: str
    journal: Journal

    def carry_out(self, action: Action) -> str:
        """Do one thing; why it was left, or nothing."""
        origin = os.fsdecode(action.place)
        try:
            about = fingerprint(origin)
        except OSError as error:
            return error.strerror or str(error)
        new = os.fsdecode(action.new_place)
        if new and new != origin and os.path.lexists(new):
            return f"{action.new_name} is taken"
        made = self._made(origin) if action.do == "convert" else None
        name = os.path.relpath(origin, self.root)
        if action.do == "rename":
            to = os.path.relpath(new, self.root)
            self.journal.intend(Record("rename", to, name, action.reason, *about))
            move(origin, new)
        else:
            to = f"{self.inside}/{name}"
            self.journal.intend(Record("move", to, name, action.reason, *about))
            move(origin, str(self.folder / to))
        if made is not None:
            to = os.path.relpath(new, self.root)
            self.journal.intend(Record("write", to, "", action.reason, *fingerprint(made)))
            move(made, new)
        return ""

    def _made(self, origin: str) -> str:
        """The converted picture, still in quarantine."""
        from imgtrain.checking.converting import converted

        with open(origin, "rb") as file:  # noqa: PTH123  # names may be any bytes
            data = converted(file.read())
        place = self.folder / f"{self.inside}-new" / os.path.relpath(origin, self.root)
        made = place.with_name(place.name + ".png")
        write_bytes(made, data)
        return str(made)


def restore(root: Path, folder: Path) -> Outcome:
    """Put everything back, the last first; what is in the way stays, and is told.

    New files that ``--convert-modes`` wrote go into the quarantine; nothing is deleted.

    Args:
        root: The data folder, which may have moved since.
        folder: The quarantine folder.

    Raises:
        DataError: If there is no such folder or quarantine, it is of another folder, or another
            process works on it.
        DiskError: If something cannot be written; the same command goes on.
    """
    if not root.is_dir():
        raise DataError(f"there is no folder {root} to put files back into")
    outcome = Outcome()
    journal = Journal(folder)
    with journal.opened(root) as records:
        aside = first_free(lambda name: (folder / name).exists(), "converted")
        for number in reversed(range(len(records))):
            record = records[number]
            if record is None:
                continue
            try:
                done, problem = _put_back(record, root, folder, folder / aside / str(number))
            except OSError as error:
                raise _cannot(error, record.origin or record.to) from error
            if problem:
                outcome.left.append((record.origin, problem))
            else:
                outcome.done += done
                journal.undone(number)
    return outcome


def _put_back(record: Record, root: Path, folder: Path, aside: Path) -> tuple[int, str]:
    """Undo one record: 1 if there was something to do, and why it could not be done."""
    to = str((folder if record.do == "move" else root) / record.to)
    if os.path.lexists(to + PART) and record.do == "write":
        move(to + PART, str(aside / "part"))
    here = is_there(to, record.sha256)
    if record.do == "write":
        if here:
            move(to, str(aside / Path(to).name))
        return 0, ""  # what was never written, or changed by its user since, stays as it is
    origin = str(root / record.origin)
    if is_there(origin, record.sha256):
        return 0, ""  # it was never moved, or is back already
    if not here:
        state = "has changed" if os.path.lexists(to) else "is gone"
        return 0, f"{to} {state}"
    try:
        move(to, origin)
    except Taken:
        return 0, "another file is there now, and nothing is overwritten"
    return 1, ""


def copy_aside(source: Source, bad: Mapping[int, str], folder: Path) -> Path:
    """Copy pictures that training could not read; where they lie, nothing is changed.

    Args:
        source: The pictures.
        bad: Why, by position.
        folder: Gets the copies, numbered, and ``manifest.csv`` (copy, path, reason).

    Returns:
        The manifest's path.

    Raises:
        DiskError: If the folder cannot be written.
    """
    rows: list[tuple[str, str, str]] = []
    for number, (i, reason) in enumerate(sorted(bad.items()), start=1):
        name = source.path(i)
        copy = f"{number:05}-{_safe(name)}"
        try:
            data = source.read(i)
        except OSError:
            copy = ""
        else:
            write_bytes(folder / copy, data)
        rows.append((copy, name, reason))
    place = folder / "manifest.csv"
    write_csv(place, ("copy", "path", "reason"), rows)
    return place


def _safe(name: str) -> str:
    """The last part of a path, short enough for any file system and without odd characters."""
    own = "".join(c if c.isalnum() or c in "._- " else "_" for c in name.rpartition("/")[2])
    return own.encode()[-120:].decode(errors="ignore")
