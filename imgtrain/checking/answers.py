"""What a person accepted of a label audit, checked before anything is done."""

from __future__ import annotations

import hashlib
import shlex
import unicodedata
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from imgtrain import console
from imgtrain.checking.audit import RECORD
from imgtrain.data.listing import count, some
from imgtrain.data.tables import read_table
from imgtrain.errors import DataError, SettingsError, nearest
from imgtrain.files import read_json

YES, NO, REMOVE = frozenset({"yes", "x", "1", "y"}), frozenset({"no", "0", "n", "-"}), "remove"
CLASS = "class:"
"""In front of a class whose name is also one of those words."""

_NEEDED = ("path", "label", "suggested", "accepted")


@dataclass(frozen=True, slots=True)
class Answer:
    """One row that asks for something: a new label, or (None) that the picture is taken out."""

    line: int
    path: str
    label: str
    new: str | None


def read_answers(file: Path, classes: Sequence[str]) -> list[Answer]:
    """The rows of a ``label_audit.csv`` that a person has accepted, in the order of the file.

    Args:
        file: The list; ``accepted`` is empty or ``no``, ``yes`` (the suggestion), the name of a
            class, or ``remove``.
        classes: The data's classes.

    Raises:
        DataError: If the file cannot be read, lacks a column, names an unknown class, or
            contradicts itself.
    """
    table = read_table(file)
    places = [table.place(name) for name in _NEEDED]
    known = [place for place in places if place is not None]
    if len(known) < len(_NEEDED):
        raise DataError(
            f"{file} is no list of a label audit;"
            f" its columns are: {some(table.columns, 8) or 'none'}",
            f"imgtrain data audit writes one with {', '.join(_NEEDED)}",
        )
    found: dict[str, Answer] = {}
    for line, cells in table.rows(known):
        path, label, suggested, word = (
            unicodedata.normalize("NFC", cell.strip()) for cell in cells
        )
        try:
            new = _meant(word, label, suggested, classes)
        except ValueError as error:
            raise DataError(f"{file}, row {line}: {error}") from error
        if new == label:
            continue
        answer = Answer(line, path, label, new)
        before = found.setdefault(path, answer)
        if before.new != answer.new:
            raise DataError(f"{file}, rows {before.line} and {line} disagree about {path}")
    return list(found.values())


def _meant(word: str, label: str, suggested: str, classes: Collection[str]) -> str | None:
    """The label that the word asks for; None takes the picture out."""
    folded = word.casefold()
    meanings: dict[str, str | None] = {REMOVE: None}
    meanings.update(dict.fromkeys(YES, suggested))
    meanings.update(dict.fromkeys(NO, label))
    if not word:
        return label
    if folded not in meanings:
        name = word.removeprefix(CLASS)
        if name not in classes:
            raise ValueError(
                f"accepted is {word!r}, which is neither yes, no, {REMOVE} nor a class"
                f"{nearest(name, classes)}"
            )
        return name
    meant = meanings[folded]
    if word in classes and word != meant:
        raise ValueError(
            f"accepted is {word!r}, which is a class, too: write {CLASS}{word} for the class, or"
            f" {'yes' if folded in YES else 'no' if folded in NO else 'drop'} for the other"
        )
    if meant is not None and meant not in classes:
        raise ValueError(f"{meant!r} is no class of the data{nearest(meant, classes)}")
    return meant


def refuse_changed(file: Path, answers: Sequence[Answer], read: Callable[[str], bytes]) -> None:
    """Refuse files that are no longer those that the audit saw.

    The audit remembers them in ``label_audit.json`` beside its list; without it nothing is known,
    and that is said.

    Args:
        file: The list.
        answers: What is to be done.
        read: The bytes of a picture by its path.

    Raises:
        DataError: With the first of them.
    """
    remembered = _remembered(file)
    if answers and not remembered:
        console.warn(
            f"there is no {RECORD} beside {file}: whether files have changed since the audit is not"
            " checked"
        )
    changed = list(_changed(remembered, answers, read))
    if changed:
        raise DataError(
            f"{count(len(changed), 'file has', 'files have')} changed since the audit:"
            f" {some(changed)}",
            "run cv and data audit again, or clear accepted in those rows",
        )


def _remembered(file: Path) -> dict[str, str]:
    try:
        found = read_json(file.with_name(RECORD))["files"]
    except (OSError, ValueError, LookupError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def _changed(
    known: dict[str, str], answers: Sequence[Answer], read: Callable[[str], bytes]
) -> Iterator[str]:
    for answer in answers:
        digest = known.get(answer.path)
        if digest is None:
            continue
        try:
            data = read(answer.path)
        except OSError as error:
            reason = error.strerror or str(error)
            raise DataError(f"cannot read {answer.path} (row {answer.line}): {reason}") from error
        if hashlib.sha256(data).hexdigest() != digest:
            yield answer.path


def root_of(file: Path) -> str:
    """The data that a list is about, as the audit wrote down beside it.

    Raises:
        DataError: If there is no such list.
        SettingsError: If that is not known.
    """
    if not file.is_file():
        raise DataError(f"there is no list {file}", "imgtrain data audit writes one")
    try:
        found = read_json(file.with_name(RECORD))["data_root"]
    except (OSError, ValueError, LookupError, TypeError):
        found = None
    if not isinstance(found, str):
        raise SettingsError(
            f"there is no {RECORD} beside {file} that says which pictures are meant",
            "put the list back into the run's folder, or name them: imgtrain data clean PATH"
            f" --from-audit {shlex.quote(str(file))}",
        )
    return found
