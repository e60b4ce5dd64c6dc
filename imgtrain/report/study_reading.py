"""A study as its page sees it: how its trials ended, the best of them, what they cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imgtrain.errors import SettingsError
from imgtrain.report.reading import RunFiles
from imgtrain.settings.spaces import in_words, read_space

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

STATES = {
    "COMPLETE": "finished",
    "PRUNED": "pruned",
    "FAIL": "failed",
    "RUNNING": "running",
    "WAITING": "waiting",
}
_EDGE = 0.05
"""Share of a range, at either end, that counts as its edge."""


@dataclass(frozen=True, slots=True)
class Trials:
    """What the page tells of a study.

    Args:
        study: Optuna's study.
        every: All trials, by number.
        names: What each goal is called.
        maximize: Whether more is better, for each goal.
    """

    study: optuna.Study
    every: tuple[FrozenTrial, ...]
    names: tuple[str, ...]
    maximize: tuple[bool, ...]

    @classmethod
    def of(cls, study: optuna.Study) -> Trials:
        """Read once, so that what the page says agrees."""
        directions = [direction.name for direction in study.directions]
        names = study.metric_names or [f"value {k}" for k in range(1, len(directions) + 1)]
        maximize = tuple(direction == "MAXIMIZE" for direction in directions)
        return cls(study, tuple(study.get_trials(deepcopy=False)), tuple(names), maximize)

    @property
    def finished(self) -> list[FrozenTrial]:
        """Those that came to their end with numbers for all goals."""
        return [t for t in self.every if state_of(t) == "finished" and _is_finite(t.values)]

    @property
    def own(self) -> list[FrozenTrial]:
        """Those that were run for this study."""
        return [t for t in self.every if "from" not in t.user_attrs]

    @property
    def ranked(self) -> list[FrozenTrial]:
        """The finished ones, the best in the first goal first; of equals the earliest."""
        sign = -1 if self.maximize[0] else 1
        return sorted(self.finished, key=lambda t: (sign * t.values[0], t.number))

    @property
    def front(self) -> list[FrozenTrial]:
        """With several goals, the finished ones that none beats in one without losing another."""
        return [t for t in self.ranked if not any(self._beats(o, t) for o in self.finished)]

    def _beats(self, one: FrozenTrial, other: FrozenTrial) -> bool:
        signs = [1 if more else -1 for more in self.maximize]
        a, b = ([s * v for s, v in zip(signs, t.values, strict=True)] for t in (one, other))
        return a != b and all(x >= y for x, y in zip(a, b, strict=True))

    def count(self, state: str) -> int:
        """How many of the study's own trials are in this state."""
        return sum(state_of(trial) == state for trial in self.own)

    def keys(self) -> list[str]:
        """The settings that any trial proposed, in the order of asking."""
        return list(dict.fromkeys(key for trial in self.every for key in trial.params))

    @property
    def epochs(self) -> int:
        """Epochs that were trained, of all own trials."""
        return int(sum(about(trial, "epochs") or 0 for trial in self.own))

    @property
    def seconds(self) -> float:
        """Seconds that own trials took, one after the other."""
        return float(sum(about(trial, "seconds") or 0 for trial in self.own))


def state_of(trial: FrozenTrial) -> str:
    """finished, pruned, failed, running or waiting."""
    return STATES[trial.state.name]


def about(trial: FrozenTrial, key: str) -> float | None:
    """A number that the trial left of itself."""
    found = trial.user_attrs.get(key)
    is_number = isinstance(found, (int, float)) and math.isfinite(found)
    return found if is_number else None


def _is_finite(values: Sequence[float] | None) -> bool:
    return values is not None and all(map(math.isfinite, values))


def at_the_edge(trial: FrozenTrial) -> dict[str, str]:
    """Numbers of a trial that lie at an end of their range: ``lowest`` or ``highest``."""
    found = {}
    for key, value in trial.params.items():
        ends = trial.distributions[key]
        low, high = getattr(ends, "low", None), getattr(ends, "high", None)
        if low is None or high is None or not low < high:
            continue
        if getattr(ends, "log", False):
            low, high, place = (math.log(each) for each in (low, high, value))
        else:
            place = value
        share = (place - low) / (high - low)
        if share <= _EDGE or share >= 1 - _EDGE:
            found[key] = "lowest" if share <= _EDGE else "highest"
    return found


def space_of(run: RunFiles) -> dict[str, str]:
    """What each setting could be, as one types it; nothing where the folder does not say."""
    asked = run.provenance.get("asked")
    told = asked.get("tune.space") if isinstance(asked, Mapping) else None
    try:
        space = read_space(told or run.settings.get("tune.space"))
    except SettingsError:
        return {}
    if not isinstance(space, Mapping):
        return {}
    return {key: in_words(dimension) for key, dimension in space.items()}


def full_epochs(settings: Mapping[str, Any]) -> int | None:
    """Epochs of a training at full length."""
    found = settings.get("train.epochs")
    return found if isinstance(found, int) else None
