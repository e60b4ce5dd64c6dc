"""Charts with an axis for each setting: all of them side by side, and one by one."""

from __future__ import annotations

from ast import literal_eval
from collections.abc import Mapping
from typing import Any

from imgtrain.report.figures import Figure, literal
from imgtrain.report.markup import DASH, shown
from imgtrain.report.study_points import axis_of, goal, lists, scatter
from imgtrain.report.study_reading import Trials

_LEAST = 2
"""Trials that a chart compares."""

_FAINT = 0.15


def parallel(trials: Trials, optuna_figures: Any) -> Figure | None:
    """A line for each finished trial through its values; better ones are stronger."""
    if len(trials.finished) < _LEAST or not trials.keys():
        return None
    whole = optuna_figures.plot_parallel_coordinate(trials.study)
    lines = [
        trace for trace in whole.data if trace.mode == "lines" and trace.customdata is not None
    ]
    if not lines:
        return None
    count, one_goal = len(lines), len(trials.names) == 1
    if one_goal:  # the best is drawn last; of several goals Optuna has it so
        lines.sort(key=lambda trace: trace.y[0] if trials.maximize[0] else -trace.y[0])
    own = whole.layout
    labels = [str(label) for label, _ in lists(lines[0].customdata)]
    labels = [*trials.names, *(_whole(label, trials) for label in labels[len(trials.names) :])]
    names = [literal(label, None) for label in labels]
    data = []
    for place, trace in enumerate(lines):
        told = lists(trace.customdata)
        best = one_goal and place == count - 1
        data.append(
            {
                **scatter(trace, "trial", 1 if best else 0),
                "line": {"width": 3 if best else 1.3},
                "opacity": 1 if best else round(_FAINT + 0.6 * (place / count) ** 2, 3),
                "customdata": [
                    [literal(key, None), literal(_said(trials, key, value), None)]
                    for key, (_, value) in zip(labels, told, strict=True)
                ],
                "hovertemplate": "%{customdata[0]}: %{customdata[1]}<extra></extra>",
            }
        )
    axis = {
        "tickvals": list(range(len(names))),
        "ticktext": [name.replace(".", ".<br>", 1) for name in names],
        "tickangle": 0,
        "range": [-0.35, len(names) - 0.8],
        "showgrid": False,
    }
    marks = [
        {
            **mark.to_plotly_json(),
            "font": {"size": 10},
            "text": literal(_said(trials, labels[int(mark.x)], mark.text), 18),
        }
        for mark in own.annotations
    ]
    shapes = [{**shape.to_plotly_json(), "line": {"width": 1}} for shape in own.shapes]
    return {
        "data": data,
        "layout": {
            "xaxis": axis,
            "yaxis": {"range": [-0.08, 1.08], "visible": False, "fixedrange": True},
            "annotations": [_plain(mark) for mark in marks],
            "shapes": [_plain(shape) for shape in shapes],
            "hovermode": "closest",
            "height": 380,
        },
    }


def _whole(label: str, trials: Trials) -> str:
    """The setting that a label is of: Optuna cuts the long ones."""
    begun = label.removesuffix("...")
    found = [key for key in trials.keys() if key.startswith(begun)]  # noqa: SIM118  # no mapping
    return found[0] if begun != label and len(found) == 1 else label


def _said(trials: Trials, key: str, value: object) -> str:
    """What Optuna calls None is a value, off, or stands where a setting was not varied."""
    if value == "None" and any(key not in trial.params for trial in trials.finished):
        return DASH
    return "off" if value in ("None", "None (value)") else str(value)


def _plain(found: Mapping[str, Any]) -> dict[str, Any]:
    return {key: dict(v) if isinstance(v, Mapping) else lists(v) for key, v in found.items()}


def slices(trials: Trials, optuna_figures: Any) -> dict[str, Figure]:
    """The first goal over each setting; later trials are darker."""
    if len(trials.finished) < _LEAST:
        return {}
    proposed = {key for trial in trials.finished for key in trial.params}
    found = {}
    for name, key in slice_names(trials).items():
        if key not in proposed:
            continue
        whole = optuna_figures.plot_slice(trials.study, params=[key], **goal(trials, 0))
        found[name] = _slice(whole, trials)
    return found


def _slice(whole: Any, trials: Trials) -> Figure:
    (trace, *_) = whole.data
    numbers = lists(trace.marker.color)
    latest = max(max(numbers, default=1), 1)
    xaxis: dict[str, Any] = {"nticks": 5}
    x = lists(trace.x)
    if whole.layout.xaxis.type == "category":
        order = lists(whole.layout.xaxis.categoryarray)
        x = [order.index(text) for text in x]
        xaxis = {
            "tickvals": list(range(len(order))),
            "ticktext": [literal(shown(literal_eval(text)), 18) for text in order],
            "range": [-0.6, len(order) - 0.4],
        }
    elif whole.layout.xaxis.type == "log":
        xaxis = {"type": "log", "nticks": 5, "tickformat": "~g"}
    points = scatter(trace, "trial", 0)
    points |= {
        "x": x,
        "marker": {"size": 8, "opacity": [round(0.3 + 0.7 * n / latest, 3) for n in numbers]},
        "customdata": numbers,
        "hovertemplate": "trial %{customdata}<br>%{x}: %{y:.4g}<extra></extra>",
    }
    return {
        "data": [points],
        "layout": {"xaxis": xaxis, "yaxis": axis_of(trials.names[0]), "height": 240},
    }


def slice_names(trials: Trials) -> dict[str, str]:
    """The setting that each slice shows."""
    return {f"slice-{place}": key for place, key in enumerate(trials.keys())}
