"""``ensemble.json``: which runs make one predictor, how, and how much each counts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imgtrain.errors import RunError
from imgtrain.files import read_json, write_json

FORMAT = 1
NAME = "ensemble.json"
RULES = ("mean", "logits", "vote", "greedy")


@dataclass(frozen=True, slots=True)
class Members:
    """What ``ensemble.json`` says.

    Args:
        how: One of ``RULES``.
        runs: Folders of the members that count.
        weights: How much each counts, above 0.
    """

    how: str
    runs: tuple[Path, ...]
    weights: tuple[float, ...]


def write_ensemble(folder: Path, how: str, members: Sequence[tuple[str, float]]) -> None:
    """Write ``ensemble.json`` into ``folder``.

    Args:
        folder: Where it lies.
        how: One of ``RULES``.
        members: Each run's name inside of ``folder``, and its weight, at least 0.

    Raises:
        DiskError: If it cannot be written.
    """
    listed = [{"run": run, "weight": float(weight)} for run, weight in members]
    write_json(folder / NAME, {"format": FORMAT, "how": how, "members": listed})


def read_ensemble(folder: Path) -> Members:
    """What ``write_ensemble`` wrote; members of weight 0 are left out.

    Raises:
        RunError: If it is not there, broken, or of a later version.
    """
    path = folder / NAME
    try:
        value = read_json(path)
        number = value["format"]
        if isinstance(number, int) and number > FORMAT:
            raise RunError(
                f"{path} was written by a later version of imgtrain "
                f"(format {number}, known: {FORMAT})",
                "update imgtrain: python -m pip install --upgrade imgtrain",
            )
        how = str(value["how"])
        members = [_member(each) for each in value["members"]]
    except FileNotFoundError as error:
        raise RunError(
            f"{folder} holds no {NAME}: its folds are not joined yet",
            "the same command goes on; cv --collect joins folds that were trained apart",
        ) from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RunError(f"{path} is broken ({error})", "write it again: the same command") from error
    counted = [(folder / run, weight) for run, weight in members if weight > 0]
    if how not in RULES or not counted:
        raise RunError(f"{path} is broken: it names no members or no rule that is known")
    return Members(how, *map(tuple, zip(*counted, strict=True)))


def _member(value: Any) -> tuple[str, float]:
    """A run inside of the folder, and its weight."""
    run, weight = str(value["run"]), float(value["weight"])
    if not math.isfinite(weight) or weight < 0:
        raise ValueError(f"{run} has the weight {weight}")
    if Path(run).is_absolute() or ".." in Path(run).parts:
        raise ValueError(f"{run} lies outside of its folder")
    return run, weight


def check_classes(known: Mapping[Path, Sequence[str]], hint: str) -> None:
    """All runs know the same classes, in whatever order.

    Args:
        known: Each run's classes.
        hint: What to do where they differ.

    Raises:
        RunError: With what differs.
    """
    first, *others = known
    for other in others:
        lacks = [name for name in known[first] if name not in known[other]]
        more = [name for name in known[other] if name not in known[first]]
        if not lacks and not more:
            continue
        told = [
            f"{verb} {_listed(names)}"
            for verb, names in (("it lacks", lacks), ("it alone has", more))
            if names
        ]
        raise RunError(f"{other} knows other classes than {first}: {', '.join(told)}", hint)


def _listed(names: Sequence[str]) -> str:
    """A few names in full."""
    most = 5
    shown = ", ".join(map(repr, names[:most]))
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
