"""``--threshold-for``: what is asked for, and from which confidence on it is reached."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from imgtrain import console
from imgtrain.errors import SettingsError, nearest
from imgtrain.evaluating.answers import Answers
from imgtrain.metrics.confusion import Floats
from imgtrain.metrics.thresholds import (
    Accepted,
    Aim,
    Bools,
    accepted,
    best_reached,
    choose_threshold,
)

_FEW = 50
"""Accepted pictures below which a threshold rests on little."""


@dataclass(frozen=True, slots=True)
class Goal:
    """``precision=0.95`` or ``cat:recall=0.9``.

    Args:
        aim: What is to be reached.
        target: In (0, 1].
        name: The class it is about; None: the likeliest class of every picture.
    """

    aim: Aim
    target: float
    name: str | None = None

    @classmethod
    def parse(cls, text: str) -> Goal:
        """The inverse of ``str``.

        Raises:
            SettingsError: If it is no goal.
        """
        found = re.fullmatch(r"(?:(.+):)?(precision|recall)=([\d.eE+-]+)", text.strip(), re.DOTALL)
        try:
            target = float(found[3]) if found else 0.0
        except ValueError:
            target = 0.0
        if not found or not 0 < target <= 1:
            raise SettingsError(
                f"--threshold-for {text} is no goal",
                "give precision=0.95 or recall=0.9, for one class as cat:precision=0.95",
            )
        return cls(cast("Aim", found[2]), target, found[1])

    def __str__(self) -> str:
        """As it is typed."""
        return f"{'' if self.name is None else f'{self.name}:'}{self.aim}={self.target:g}"

    def check(self, classes: Sequence[str]) -> None:
        """The class is one of the model's.

        Raises:
            SettingsError: If it is not.
        """
        if self.name is not None and self.name not in classes:
            raise SettingsError(
                f"--threshold-for {self}: the model knows no class {self.name!r}"
                f"{nearest(self.name, classes)}"
            )

    def sides(self, answers: Answers, classes: Sequence[str]) -> tuple[Floats, Bools, int]:
        """How sure each answer is, whether it is right, and how many could be at best."""
        if self.name is None:
            right = answers.probs.argmax(axis=1) == answers.labels
            return answers.probs.max(axis=1), right, len(right)
        label = list(classes).index(self.name)
        right = answers.labels == label
        return answers.probs[:, label], right, int(right.sum())


def threshold_for(
    goal: Goal, chosen_on: Answers, scored: Answers, classes: Sequence[str]
) -> dict[str, Any]:
    """The threshold, chosen on one part and tried on another.

    Returns:
        For ``metrics.json``.
    """
    scores, right, wanted = goal.sides(chosen_on, classes)
    found = choose_threshold(scores, right, goal.aim, goal.target, wanted=wanted)
    part = chosen_on.pictures.part
    value: dict[str, Any] = {
        "for": str(goal),
        "aim": goal.aim,
        "target": goal.target,
        "class": goal.name,
        "part": part,
        "threshold": found,
    }
    if found is None:
        best = best_reached(scores, right, goal.aim, wanted=wanted)
        console.warn(
            f"no threshold reaches {goal} on the {part} part; the best is {goal.aim} {best:.3f}"
        )
        return value | {"chosen_on": None, "scored": None}
    there = accepted(scores, right, found, wanted=wanted)
    if there.accepted < _FEW:
        console.warn(
            f"the threshold for {goal} rests on {there.accepted} accepted pictures of the {part} "
            "part: more calibration pictures make it certain"
        )
    return value | {
        "chosen_on": there.to_dict(),
        "scored": _tried(goal, scored, classes, found).to_dict(),
    }


def _tried(goal: Goal, answers: Answers, classes: Sequence[str], threshold: float) -> Accepted:
    scores, right, wanted = goal.sides(answers, classes)
    return accepted(np.asarray(scores), right, threshold, wanted=wanted)
