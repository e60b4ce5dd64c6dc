"""A study's charts: Optuna's figures, dressed like the others of the page.

Their points and axes are Optuna's; colours come from the page, so that they suit its light.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from typing import Any

from imgtrain.report.figures import Figure, literal
from imgtrain.report.study_axes import parallel, slices
from imgtrain.report.study_points import axis_of, goal, lists, scatter
from imgtrain.report.study_reading import Trials, state_of

ENOUGH = 8
"""Finished trials from which importances say something."""

_LEAST = 2
"""Trials that a chart compares."""


def study_figures(trials: Trials) -> dict[str, Figure]:
    """Every chart that the trials are enough for, by the name of its place in the page."""
    from optuna import logging, visualization

    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # experimental, and what few trials lack
            found = {
                **_history(trials, visualization),
                "courses": _courses(trials),
                "front": _front(trials, visualization),
                "importances": _importances(trials, visualization),
                "parallel": parallel(trials, visualization),
                **slices(trials, visualization),
            }
    finally:
        logging.set_verbosity(before)
    return {name: figure for name, figure in found.items() if figure is not None}


_NUMBERS = {"title": {"text": "trial"}, "tickformat": "d", "rangemode": "nonnegative"}


def _history(trials: Trials, optuna_figures: Any) -> dict[str, Figure]:
    """Every finished trial's value, and the best until then; one chart a goal."""
    if not trials.finished:
        return {}
    found = {}
    for place, name in enumerate(trials.names):
        whole = optuna_figures.plot_optimization_history(trials.study, **goal(trials, place))
        points, *lines = [trace for trace in whole.data if trace.x is not None and len(trace.x)]
        data = [scatter(points, "finished trial", 0, marker={"size": 7, "opacity": 0.75})]
        data += [
            {**scatter(line, "best so far", 1), "line": {"width": 2, "shape": "hv"}}
            for line in lines
            if line.mode == "lines"
        ]
        found[f"history-{place}"] = {
            "data": data,
            "layout": {"xaxis": _whole(len(trials.every)), "yaxis": axis_of(name), "height": 300},
        }
    return found


def _whole(count: int) -> dict[str, Any]:
    return {**_NUMBERS, "dtick": 1} if count <= 10 else dict(_NUMBERS)  # noqa: PLR2004  # ticks beside each other


def _courses(trials: Trials) -> Figure | None:
    """What every trial reported, epoch by epoch: where the pruned ones were ended."""
    colours = {"finished": 0, "pruned": 1, "failed": 3, "running": 2}
    best = {t.number for t in trials.ranked[:1]}
    lines: list[dict[str, Any]] = []
    for state, colour in colours.items():
        for trial in trials.every:
            steps = {s: v for s, v in trial.intermediate_values.items() if math.isfinite(v)}
            if state_of(trial) != state or not steps:
                continue
            x, y = zip(*sorted(steps.items()), strict=True)
            strong = trial.number in best
            lines.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers" if len(steps) == 1 else "lines",
                    "name": f"trial {trial.number}, {state}",
                    "x": [step + 1 for step in x],
                    "y": [float(f"{v:.6g}") for v in y],
                    "meta": {"colour": colour, "label": state},
                    "line": {"width": 3 if strong else 1.4},
                    "opacity": 1 if strong else 0.55,
                    "hoverinfo": "x+y+name",
                    "hoverlabel": {"namelength": -1},
                }
            )
    if len(lines) < _LEAST:
        return None
    most = max(max(line["x"]) for line in lines)
    few = {"dtick": 1} if most <= 10 else {}  # noqa: PLR2004  # as above
    return {
        "data": lines,
        "layout": {
            "xaxis": {"title": {"text": "epoch"}, "tickformat": "d", **few},
            "yaxis": axis_of(trials.names[0]),
            "hovermode": "closest",
            "height": 300,
            "meta": {"grouped": True},
        },
    }


def _front(trials: Trials, optuna_figures: Any) -> Figure | None:
    """With two goals: all finished trials, and those that none beats in both."""
    if len(trials.names) != _LEAST or not trials.finished:
        return None
    names = list(trials.names)
    whole = optuna_figures.plot_pareto_front(trials.study, target_names=names)
    kinds = (("beaten", 0, 0.45), ("beaten by none", 1, 1))
    data = [
        scatter(
            trace,
            name,
            colour,
            mode="markers",
            marker={"size": 8, "opacity": opacity},
            customdata=_numbers(trials, trace),
            hovertemplate="trial %{customdata}<br>%{x:.4g}, %{y:.4g}<extra></extra>",
        )
        for trace, (name, colour, opacity) in zip(whole.data, kinds, strict=False)
        if trace.x is not None and len(trace.x)
    ]
    layout = {"xaxis": axis_of(names[0]), "yaxis": axis_of(names[1]), "height": 360}
    return {"data": data, "layout": layout}


def _numbers(trials: Trials, trace: Any) -> list[int]:
    """The trials of a front's points: the first with these values."""
    known = {tuple(trial.values): trial.number for trial in reversed(trials.finished)}
    return [known[pair] for pair in zip(lists(trace.x), lists(trace.y), strict=True)]


def _importances(trials: Trials, optuna_figures: Any) -> Figure | None:
    """How much of the spread each setting explains, where trials are enough to say so."""
    known = Counter(key for trial in trials.finished for key in trial.params)
    enough = max(ENOUGH, len(trials.finished) / 2)
    keys = [key for key, count in known.items() if count >= enough]
    if len(keys) < _LEAST or len({trial.values[0] for trial in trials.finished}) < _LEAST:
        return None
    try:
        whole = optuna_figures.plot_param_importances(trials.study, params=keys, **goal(trials, 0))
    except (ValueError, RuntimeError):  # nothing that varies is known of enough trials
        return None
    bars = next((bar for bar in whole.data if bar.x is not None and len(bar.x)), None)
    if bars is None or not any(lists(bars.x)):
        return None
    shown_keys = lists(bars.y)
    data = {
        "type": "bar",
        "orientation": "h",
        "x": [round(float(share or 0), 4) for share in lists(bars.x)],
        "y": [literal(key) for key in shown_keys],
        "text": lists(bars.text),
        "textposition": "outside",
        "cliponaxis": False,
        "hovertemplate": "%{y}: %{x:.1%}<extra></extra>",
        "meta": {"colour": 0, "label": "importance"},
    }
    return {
        "data": [data],
        "layout": {
            "xaxis": {
                "title": {"text": "share explained"},
                "range": [0, 1.08],
                "tickformat": ".0%",
            },
            "yaxis": {"title": {"text": ""}},
            "height": 90 + 34 * len(keys),
        },
    }
