"""From accepted answers to new labels: files change folders, a manifest gets a corrected copy."""

from __future__ import annotations

import contextlib
import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

from imgtrain.checking.answers import Answer
from imgtrain.checking.journal import moved_from
from imgtrain.checking.plan import Action
from imgtrain.checking.tree import Entry, Tree
from imgtrain.data.index import Index
from imgtrain.data.listing import count, shown, some
from imgtrain.data.manifest import picture_name
from imgtrain.data.tables import DELIMITERS, read_table
from imgtrain.errors import DataError
from imgtrain.files import first_free, replacing


def known_answers(
    answers: Sequence[Answer], labels: dict[str, str], done: frozenset[str] = frozenset()
) -> list[Answer]:
    """The answers that are still to be carried out.

    Args:
        answers: What was accepted.
        labels: The class of each picture by its path.
        done: Paths of pictures that have been moved already: an earlier command's work.

    Raises:
        DataError: If a picture is not there, or has another label than the audit saw.
    """
    unknown = [a for a in answers if a.path not in labels and a.path not in done]
    if unknown:
        raise DataError(
            f"{count(len(unknown), 'picture')} of the list cannot be found in the data:"
            f" {some([f'{a.path} (row {a.line})' for a in unknown])}",
            "give the data that the cv run was made on, or take those rows out",
        )
    other = [a for a in answers if labels.get(a.path, a.label) != a.label]
    if other:
        first = other[0]
        raise DataError(
            f"{count(len(other), 'picture has', 'pictures have')} another label than the audit saw:"
            f" row {first.line} says {first.path} is {first.label!r}, now it is"
            f" {labels[first.path]!r}",
            "run cv and data audit again, or take those rows out",
        )
    return [a for a in answers if a.path in labels]


def plan_moves(answers: Sequence[Answer], tree: Tree, quarantine: Path) -> list[Action]:
    """One rename into another class's folder, or one move into quarantine, for each answer.

    A name that is taken in the new folder gets a number; nothing is overwritten.

    Args:
        answers: What was accepted.
        tree: The data folder.
        quarantine: Where ``remove`` goes; what is in its journal is done.

    Raises:
        DataError: If a picture is not there, has another label now, or is a relative link.
    """
    if tree.refusal is not None:
        raise DataError(tree.refusal)
    entries = {e.name: e for e in tree.entries if e.label is not None and e.number is not None}
    labels = {name: str(entry.label) for name, entry in entries.items()}
    moved = moved_from(quarantine, Path(tree.root))
    done = frozenset(shown(os.fsencode(name)) for name in moved)
    wanted = known_answers(answers, labels, done)
    taken: set[bytes] = set()
    return [_action(answer, entries[answer.path], tree, taken) for answer in wanted]


def _action(answer: Answer, entry: Entry, tree: Tree, taken: set[bytes]) -> Action:
    place = entry.place
    assert place is not None
    if answer.new is None:
        return Action("move", entry.name, place, f"wrong label: {answer.label}, taken out")
    if os.path.islink(place) and not os.path.isabs(os.readlink(place)):  # noqa: PTH114, PTH115, PTH117  # names are bytes
        raise DataError(
            f"{entry.name} is a link whose target is relative: in another folder it would lead"
            " nowhere",
            f"move the file that it leads to, and clear accepted in row {answer.line}",
        )
    new = _free(_new_place(answer.new, entry, tree), taken)
    return Action(
        "rename",
        entry.name,
        place,
        f"wrong label: {answer.label}, is {answer.new}",
        shown(os.path.relpath(new, os.fsencode(tree.root))),
        new,
    )


def _new_place(label: str, entry: Entry, tree: Tree) -> bytes:
    """The same place below the other class's folder, spelt as that is on disk."""
    assert entry.place is not None
    root = os.fsencode(tree.root)
    inside = os.path.relpath(entry.place, root).split(b"/")
    depth = 0 if entry.part is None else 1
    above = os.path.join(root, *inside[:depth])  # noqa: PTH118  # names are bytes
    spelt = [name for name in os.listdir(above) if shown(name) == label]  # noqa: PTH208  # as above
    inside[depth] = spelt[0] if spelt else os.fsencode(label)
    return os.path.join(root, *inside)  # noqa: PTH118  # as above


def _free(place: bytes, taken: set[bytes]) -> bytes:
    """The place, or one with a number before the ending."""
    stem, ending = os.path.splitext(os.fsdecode(place))  # noqa: PTH122  # names may be any bytes

    def is_taken(name: str) -> bool:
        full = os.fsencode(name + ending)
        return full in taken or os.path.lexists(full)

    found = os.fsencode(first_free(is_taken, stem) + ending)
    taken.add(found)
    return found


def corrected_name(manifest: Path) -> Path:
    """Where the corrected copy of a manifest goes: ``NAME-relabelled``, ``-2``, ... beside it."""
    stem = first_free(
        lambda name: os.path.lexists(manifest.with_name(name + manifest.suffix)),
        f"{manifest.stem}-relabelled",
    )
    return manifest.with_name(stem + manifest.suffix)


def check_manifest(answers: Sequence[Answer], index: Index) -> list[Answer]:
    """The answers, if every picture is in the manifest under the label that the audit saw.

    Raises:
        DataError: If not.
    """
    labels = {
        index.source.path(i): index.classes[label] for i, label in enumerate(index.labels.tolist())
    }
    return known_answers(answers, labels)


def write_corrected(manifest: Path, answers: Sequence[Answer], place: Path) -> int:
    """Write the manifest with the accepted labels, all else as it is, and without what is out.

    Args:
        manifest: The user's own file, which stays as it is.
        answers: From `check_manifest`.
        place: The new file.

    Returns:
        How many rows differ or are left out: a manifest may name a picture twice.

    Raises:
        DiskError: If it cannot be written.
    """
    new = {answer.path: answer.new for answer in answers}
    table = read_table(manifest)
    path, label = table.place("path"), table.place("label")
    assert path is not None
    assert label is not None
    rows = [(picture_name(manifest, name), own) for _, (name, own) in table.rows([path, label])]
    if manifest.suffix.lower() == ".parquet":
        wanted = [new.get(name, own) for name, own in rows]
        _write_parquet(manifest, table.columns[label], wanted, place)
    else:
        _write_csv(manifest, (path, label), new, place)
    return sum(name in new for name, _ in rows)


def _write_csv(
    manifest: Path, columns: tuple[int, int], new: dict[str, str | None], place: Path
) -> None:
    with manifest.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        header = file.readline()
        file.seek(0)
        mark = next((found for found in DELIMITERS if found in header), ",")
        rows = [
            row for row in csv.reader(file, delimiter=mark, strict=True) if any(map(str.strip, row))
        ]
    path, label = columns
    with replacing(place) as out:
        text = io.TextIOWrapper(out, encoding="utf-8", errors="surrogateescape", newline="")
        writer = csv.writer(text, delimiter=mark, lineterminator="\n")
        writer.writerow(rows[0])
        for row in rows[1:]:
            wanted = new.get(picture_name(manifest, row[path]), row[label])
            if wanted is not None:
                writer.writerow([*row[:label], wanted, *row[label + 1 :]])
        text.flush()
        text.detach()


def _write_parquet(manifest: Path, column: str, wanted: Sequence[str | None], place: Path) -> None:
    """``wanted`` holds the label of each row, None where the row is left out."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(manifest)
    at = table.schema.get_field_index(column)
    labels = pa.array(wanted, pa.string())
    with contextlib.suppress(pa.ArrowException):  # labels are text to whoever reads them
        labels = labels.cast(table.schema.field(at).type)
    table = table.set_column(at, column, labels)
    with replacing(place) as file:
        pq.write_table(table.filter(labels.is_valid()), file)
