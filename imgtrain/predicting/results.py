"""Files of answers: what made them stands beside them, so that the same command can go on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from imgtrain import console
from imgtrain.data.listing import some
from imgtrain.errors import SettingsError
from imgtrain.files import read_json, write_json
from imgtrain.predicting.answers import Answer
from imgtrain.predicting.growing import Table
from imgtrain.predicting.listing import Listed

FORMAT = 1

Maker = dict[str, Any]
"""What answers depend on, as JSON: models, classes, settings."""

_FOR_PEOPLE = {"state", "named"}
"""What may differ."""


def fingerprint(file: Path) -> str:
    """The SHA-256 of a model's file."""
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def about(file: Path) -> Path:
    """Where it stands what made a file of answers."""
    return file.with_name(f"{file.name}.meta.json")


class Results:
    """The files of one command, which hold the same rows.

    Args:
        tables: The files.
        maker: What their answers depend on.
        listed: The pictures.
    """

    def __init__(self, tables: Sequence[Table], maker: Maker, listed: Listed) -> None:
        self._tables, self._listed = tables, listed
        self._maker = {"format": FORMAT, **maker}
        self.failed = 0

    def begin(self, *, size: int, fresh: bool) -> int:
        """Look at what is there; how many pictures need not be scored again.

        Batches begin where those of an uninterrupted command would, so that digits are the same.

        Args:
            size: Pictures a batch.
            fresh: Whether files are written anew, whatever they hold.

        Raises:
            SettingsError: If a file was made by another model or with other settings, or is not
                known to be ours.
        """
        total = len(self._listed)
        done = min((self._known(table, fresh=fresh) for table in self._tables), default=0)
        while done and done < total:
            lower = min(table.floor(done - done % size) for table in self._tables)
            if lower == done:
                break
            done = lower
        if self._tables:
            self.failed = self._tables[0].failed(done)
        if done == total and all(map(_is_whole, self._tables)):
            return done
        for table in self._tables:
            table.begin(done)  # first, as it finds out whether another command is at it
            self._note(table, "unfinished")
        return done

    def _known(self, table: Table, *, fresh: bool) -> int:
        """How many rows of a file count."""
        path = table.path
        if fresh or not table.is_begun():
            return 0
        made = _made_by(path)
        if made is None:
            raise SettingsError(
                f"{path} is there already, and nothing says that this command made it",
                "--fresh writes it anew; or name another file",
            )
        wanted = {**self._maker, **table.depends}
        for key in sorted((wanted.keys() | made.keys()) - _FOR_PEOPLE):
            if made.get(key) != wanted.get(key):
                raise SettingsError(
                    f"{path} was made with {_in_words(key, made)}, not with "
                    f"{_in_words(key, wanted)}",
                    "--fresh writes it anew; or name another file",
                )
        return table.known(self._listed)

    def write(self, said: Sequence[Answer]) -> None:
        """Add a batch to every file."""
        for table in self._tables:
            table.write(said)

    def close(self, *, whole: bool) -> None:
        """Let go of the files; ``whole``: they hold every picture."""
        for table in self._tables:
            table.close(whole=whole)
            if whole:
                self._note(table, "finished")

    def _note(self, table: Table, state: str) -> None:
        write_json(about(table.path), {**self._maker, **table.depends, "state": state})

    def told(self) -> str:
        """Their names."""
        return " and ".join(console.one_line(str(table.path)) for table in self._tables)


def _made_by(path: Path) -> dict[str, Any] | None:
    try:
        found = read_json(about(path))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _is_whole(table: Table) -> bool:
    made = _made_by(table.path)
    return made is not None and made.get("state") == "finished"


def _in_words(key: str, made: Maker) -> str:
    """``tta flip``, ``3 classes a, b, c``, ``another model``."""
    value = made.get(key)
    if key == "models":
        return f"the model {', '.join(map(str, made.get('named') or ()))}"
    if key == "classes" and isinstance(value, list):
        return f"{len(value)} classes {some(value)}"
    return f"{key} {'off' if value is None else value}"
