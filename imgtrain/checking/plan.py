"""What to do about findings: which files to move aside, rename or convert."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from imgtrain.checking.formats import SUFFIXES, fits
from imgtrain.checking.judging import PLAIN
from imgtrain.checking.looks import Look
from imgtrain.checking.sets import members
from imgtrain.checking.survey import Survey
from imgtrain.checking.tree import Entry
from imgtrain.data.index import PARTS

BAD = ("unreadable", "truncated", "not-a-picture")
"""Moved without being asked for each."""

Doing = Literal["move", "rename", "convert"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a user asks for beyond moving bad files.

    Args:
        duplicates: All but one of each picture that the survey found go.
        conflicts: All pictures that have more than one class go.
        extensions: Files get the ending of their format.
        modes: Pictures become 8-bit grey or RGB, as PNG.
    """

    duplicates: bool = False
    conflicts: bool = False
    extensions: bool = False
    modes: bool = False


@dataclass(frozen=True, slots=True)
class Action:
    """One file to be moved into quarantine, renamed, or replaced by a converted one."""

    do: Doing
    name: str
    place: bytes
    reason: str
    new_name: str = ""
    new_place: bytes = b""


def make_plan(survey: Survey, wanted: Wanted) -> list[Action]:
    """Every action, at most one a file, in the order of the files."""
    entries, looks = survey.tree.entries, survey.looks
    reasons: dict[int, str] = {
        i: f"{look.problem}: {look.reason}" for i, look in enumerate(looks) if look.problem in BAD
    }
    if wanted.duplicates or wanted.conflicts:
        for cluster in members(survey.duplicates):
            reasons.update(_surplus(entries, looks, cluster, wanted))
    plan: list[Action] = []
    for i, (entry, look) in enumerate(zip(entries, looks, strict=True)):
        place = entry.place
        if place is None:
            continue
        if i in reasons:
            plan.append(Action("move", entry.name, place, reasons[i]))
        else:
            plan += _mended(entry.name, place, look, wanted)
    return plan


def _surplus(
    entries: Sequence[Entry], looks: Sequence[Look], cluster: list[int], wanted: Wanted
) -> Iterator[tuple[int, str]]:
    """Which pictures of a cluster go, and why."""
    labels = {entries[i].label for i in cluster if entries[i].label}
    if len(labels) > 1:
        if wanted.conflicts:
            for i in cluster:
                yield i, f"conflict: it is in {len(labels)} classes"
        return
    if not wanted.duplicates:
        return
    kept = min(cluster, key=lambda i: _rank(entries[i], looks[i]))
    for i in cluster:
        if i != kept:
            yield i, f"duplicate of {entries[kept].name}"


def _rank(entry: Entry, look: Look) -> tuple[bool, int, int, int, str]:
    """The lowest stays: of test before val before train, then the largest picture, then by name.

    Links go first: what they lead to may be the other copy.
    """
    part = -PARTS.index(entry.part) if entry.part else 0
    is_link = entry.place is not None and os.path.islink(entry.place)  # noqa: PTH114  # names are bytes
    return is_link, part, -look.width * look.height, -look.size, entry.name


def _mended(name: str, place: bytes, look: Look, wanted: Wanted) -> Iterator[Action]:
    if look.quality is None or look.format is None:
        return
    if wanted.modes and look.mode not in PLAIN and look.planes in {1, 3} and look.format != "NPY":
        yield Action(
            "convert",
            name,
            place,
            f"mode: {look.mode}",
            _with_suffix(name, "png"),
            os.fsencode(_with_suffix(os.fsdecode(place), "png")),
        )
    elif wanted.extensions and not fits(name, look.format):
        suffix = SUFFIXES[look.format][0]
        yield Action(
            "rename",
            name,
            place,
            f"wrong-extension: it is {look.format}",
            _with_suffix(name, suffix),
            os.fsencode(_with_suffix(os.fsdecode(place), suffix)),
        )


def _with_suffix(name: str, suffix: str) -> str:
    folder, slash, own = name.rpartition("/")
    stem, dot, _ = own.rpartition(".")
    return f"{folder}{slash}{stem if dot and stem else own}.{suffix}"
