"""Whether a model has seen the pictures that it is scored on: then the score is too good."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from imgtrain import console
from imgtrain.data.listing import Source, count
from imgtrain.errors import ImgtrainError
from imgtrain.evaluating.pictures import Labelled, Own, read_own
from imgtrain.rundir import RunDir

_FITTED = {
    "train": "the model learnt from these pictures",
    "val": "the best epoch was chosen on these pictures",
}


@dataclass(frozen=True, slots=True)
class Copies:
    """Pictures that are byte for byte in a part of a run.

    Args:
        part: The run's part.
        number: How many of the scored pictures are in it.
        example: One of them, and its copy.
    """

    part: str
    number: int
    example: tuple[str, str]


def copies_in(pictures: Labelled, own: Own, parts: Iterable[str]) -> list[Copies]:
    """Which of ``pictures`` are, to the byte, in these parts of a run.

    Files are read only where two have the same size.
    """
    found = []
    for part in parts:
        positions = own.parts.get(part, np.empty(0, np.int64)).tolist()
        theirs = {i: own.index.source.stamp(i)[0] for i in positions}
        ours = {i: pictures.source.stamp(i)[0] for i in range(len(pictures.source))}
        sizes = {*theirs.values()} & {*ours.values()}
        known = _digests(own.index.source, [i for i, size in theirs.items() if size in sizes])
        asked = _digests(pictures.source, [i for i, size in ours.items() if size in sizes])
        places = {digest: i for i, digest in known.items()}
        same = [(i, places[digest]) for i, digest in asked.items() if digest in places]
        if same:
            ours_, theirs_ = same[0]
            example = (pictures.source.path(ours_), own.index.source.path(theirs_))
            found.append(Copies(part, len(same), example))
    return found


def _digests(source: Source, numbers: Iterable[int]) -> dict[int, bytes]:
    """Of the files that can be read."""
    found = {}
    for i in numbers:
        with contextlib.suppress(OSError):
            found[i] = hashlib.blake2b(source.read(i), digest_size=16).digest()
    return found


def warn_of_seen(pictures: Labelled, run: RunDir, *, temperature: float) -> dict[str, int]:
    """Say where a run has seen what it is scored on.

    Returns:
        How many of the pictures are in each of its parts that training or selection saw.
    """
    if pictures.run == run.path:
        part = pictures.part or ""
        if part in _FITTED:
            console.warn(f"{_FITTED[part]} ({part}): the score is too good")
            return {part: len(pictures.labels)}
        if part == "calibration" and temperature != 1:
            console.warn("the temperature was fitted on these pictures: log loss and ECE flatter")
        return {}
    try:
        with console.hushed():
            own = read_own(run)
    except ImgtrainError as error:
        console.warn(
            f"whether {run.path} was trained on some of these pictures cannot be told: "
            f"{error.message}"
        )
        return {}
    copies = copies_in(pictures, own, _FITTED)
    for each in copies:
        console.warn(
            f"{count(each.number, 'picture')} of {len(pictures.labels):,} "
            f"{'is' if each.number == 1 else 'are'} byte for byte in the {each.part} part of "
            f"{run.path} (for example {each.example[0]} = {each.example[1]}): the score is too good"
        )
    return {each.part: each.number for each in copies}
