"""``oof_predictions.csv`` of a cv run: what models said of pictures new to them."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imgtrain.errors import RunError
from imgtrain.metrics.confusion import Floats, Ints

NAME = "oof_predictions.csv"
_FIRST = ["path", "label", "pred", "prob"]
_PROB = "prob_"


@dataclass(frozen=True, slots=True, eq=False)
class OutOfFold:
    """One row a picture, in the order of the file.

    Args:
        classes: The C names.
        paths: The N paths, as in ``folds.csv``.
        labels: Shape (N,), in [0, C).
        probs: Shape (N, C), the mean over the repeats.
        folds: Shape (N,), the fold that judged it (of the first repeat).
        repeats: How often each picture was judged, at most.
    """

    classes: tuple[str, ...]
    paths: tuple[str, ...]
    labels: Ints
    probs: Floats
    folds: Ints
    repeats: int


def read_out_of_fold(file: Path) -> OutOfFold:
    """Read the predictions, the probabilities of several repeats averaged per picture.

    Raises:
        RunError: If the file is not there or not as cv writes it.
    """
    try:
        with file.open(encoding="utf-8", newline="") as handle:
            csv.field_size_limit(1 << 24)
            reader = csv.reader(handle)
            classes = _classes(file, next(reader, []))
            return _averaged(file, classes, reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RunError(f"cannot read {file}: {error}") from error


def _classes(file: Path, header: list[str]) -> tuple[str, ...]:
    end = len(header) - (2 if header[-1:] == ["repeat"] else 1)
    names = header[4:end]
    whole = header[:4] == _FIRST and header[end : end + 1] == ["fold"] and len(names) > 1
    if not whole or not all(name.startswith(_PROB) for name in names):
        raise RunError(
            f"{file} has not the columns path,label,pred,prob,prob_CLASS...,fold",
            "imgtrain cv writes it",
        )
    return tuple(name.removeprefix(_PROB) for name in names)


def _averaged(file: Path, classes: tuple[str, ...], rows: Iterator[list[str]]) -> OutOfFold:
    """Add up the rows of each picture, and divide once."""
    number = {name: i for i, name in enumerate(classes)}
    places: dict[str, int] = {}
    labels, folds, times = [], [], []
    sums: list[Floats] = []
    for line, row in enumerate(rows, start=2):
        try:
            path, label = row[0], number[row[1]]
            probs = np.array(row[4 : 4 + len(classes)], np.float64)
            fold = int(row[4 + len(classes)])
        except (ValueError, KeyError, IndexError) as error:
            raise RunError(f"{file}, line {line} cannot be read: {error}") from error
        if not (np.isfinite(probs).all() and (probs >= 0).all()):
            raise RunError(f"{file}, line {line} has probabilities that are none")
        i = places.setdefault(path, len(places))
        if i == len(sums):
            labels.append(label)
            folds.append(fold)
            times.append(1)
            sums.append(probs)
        elif labels[i] != label:
            raise RunError(f"{file}, line {line} gives {path} another label than before")
        else:
            times[i] += 1
            sums[i] += probs
    if not sums:
        raise RunError(f"{file} holds no predictions")
    return OutOfFold(
        classes=classes,
        paths=tuple(places),
        labels=np.array(labels, np.int64),
        probs=np.stack(sums) / np.array(times)[:, None],
        folds=np.array(folds, np.int64),
        repeats=max(times),
    )
