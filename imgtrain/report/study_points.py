"""What the charts of a study share: points of Optuna's figures as plain data."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from imgtrain.report.figures import literal
from imgtrain.report.study_reading import Trials

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


def goal(trials: Trials, place: int) -> dict[str, Any]:
    """What Optuna's functions want to know of a goal, where there are several."""
    if len(trials.names) == 1:
        return {}
    target: Callable[[FrozenTrial], float] = lambda trial: trial.values[place]  # noqa: E731  # a default argument's value
    return {"target": target, "target_name": trials.names[place]}


def lists(value: Any) -> Any:
    """Plain lists, whatever plotly keeps numbers in; what is not finite is left open."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [lists(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def scatter(trace: Any, name: str, colour: int | str, **style: Any) -> dict[str, Any]:
    """A trace with the points of one of Optuna's."""
    return {
        "type": "scatter",
        "mode": trace.mode,
        "name": name,
        "x": lists(trace.x),
        "y": lists(trace.y),
        "meta": {"colour": colour, "label": name},
        **style,
    }


def axis_of(title: str) -> dict[str, Any]:
    """An axis with this title."""
    return {"title": {"text": literal(title)}}
