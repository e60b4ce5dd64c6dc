"""The page's charts in the form of plotly's JSON: plain data, drawn and coloured in the page.

``meta`` tells the page how to show a trace: ``colour`` is a place in its palette, or ``ink`` (the
colour of text); ``label`` and ``value`` are what the legend says.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from imgtrain.metrics.calibration import reliability
from imgtrain.metrics.confusion import Floats
from imgtrain.metrics.curves import Curve, Curves
from imgtrain.report.plots import History
from imgtrain.report.predictions import Predictions
from imgtrain.report.selection import hardest, one_line

Figure = dict[str, Any]

MOST_LINES = 1000
"""Classes whose curves a page holds: those of the lowest average precision."""

_POINTS = 60
"""Of a curve that is drawn when it is asked for."""


def literal(name: str, most: int | None = 40) -> str:
    """``name`` as plotly shows it: it reads tags, entities and formulas in every text."""
    return html.escape(one_line(name, most), quote=False).replace("$", "&#36;")


def _rounded(values: Floats) -> list[float]:
    return [float(v) for v in np.round(values, 4)]


def _line(curve: Curve, name: str, colour: int | str, **style: Any) -> dict[str, Any]:
    thin = curve.thinned(200)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": literal(name),
        "x": _rounded(thin.x),
        "y": _rounded(thin.y),
        "meta": {"colour": colour, "label": one_line(name, 40), "value": f"{curve.area:.3f}"},
        "line": {"width": 1.6, **style},
        "hoverinfo": "x+y+name",
    }


def _unit_axis(title: str) -> dict[str, Any]:
    return {"title": {"text": title}, "range": [-0.02, 1.02], "tickformat": ".1f"}


def _curves(
    curves: Sequence[Curve | None],
    means: Mapping[str, Curve | None],
    classes: Sequence[str],
    shown: Sequence[int],
) -> list[dict[str, Any]]:
    lines = [
        _line(curve, classes[index], colour)
        for colour, index in enumerate(shown)
        if (curve := curves[index]) is not None
    ]
    dashes = {"macro average": "solid", "micro average": "dash"}
    lines += [
        _line(curve, name, "ink", width=2.4, dash=dashes[name])
        for name, curve in means.items()
        if curve is not None
    ]
    return lines


def shown_classes(drawn: Curves) -> list[int]:
    """The classes whose curves the page draws: the same in both charts."""
    return hardest(drawn.pr)


def other_curves(drawn: Curves, classes: Sequence[str]) -> dict[str, Any]:
    """Both curves of the classes that are not drawn at first, in thousandths, by name.

    A class that has no negatives has no ROC curve: null stands for it.
    """
    shown = set(shown_classes(drawn))
    left = [i for i in hardest(drawn.pr, MOST_LINES) if i not in shown]
    return {
        one_line(classes[i]): [_thousandths(curve) for curve in (drawn.roc[i], drawn.pr[i])]
        for i in left
    }


def _thousandths(curve: Curve | None) -> list[Any] | None:
    if curve is None:
        return None
    thin = curve.thinned(_POINTS)
    x, y = (np.rint(1000 * axis).astype(np.int64).tolist() for axis in (thin.x, thin.y))
    return [x, y, f"{curve.area:.3f}"]


def told(figure: Figure | None) -> str:
    """What a figure shows, in words: where its lines begin and end, or what sums them up."""
    lines = []
    for trace in (figure or {"data": []})["data"]:
        meta = trace["meta"]
        known = [value for value in trace["y"] if value is not None]
        if meta.get("value"):
            lines.append(f"{meta['label']} {meta['value']}")
        elif meta.get("label") and known:
            ends = " to ".join(f"{value:.3g}" for value in dict.fromkeys((known[0], known[-1])))
            lines.append(f"{meta['label']} {ends}")
    return ", ".join(lines)


def roc_figure(drawn: Curves, classes: Sequence[str]) -> Figure:
    """ROC of the shown classes, their macro and micro average, and the line of a coin."""
    means = {"macro average": drawn.roc_macro, "micro average": drawn.roc_micro}
    coin = {"type": "line", "x0": 0, "y0": 0, "x1": 1, "y1": 1, "line": {"width": 1, "dash": "dot"}}
    return {
        "data": _curves(drawn.roc, means, classes, shown_classes(drawn)),
        "layout": {
            "xaxis": _unit_axis("false positive rate"),
            "yaxis": _unit_axis("true positive rate"),
            "shapes": [coin],
            "height": 330,
        },
    }


def pr_figure(drawn: Curves, classes: Sequence[str]) -> Figure:
    """Precision over recall of the shown classes, and their macro and micro average."""
    means = {"macro average": drawn.pr_macro, "micro average": drawn.pr_micro}
    return {
        "data": _curves(drawn.pr, means, classes, shown_classes(drawn)),
        "layout": {
            "xaxis": _unit_axis("recall"),
            "yaxis": _unit_axis("precision"),
            "height": 330,
        },
    }


def reliability_figures(rows: Predictions) -> tuple[Figure, Figure]:
    """How often the model is right, by how sure it is; and how many pictures that is."""
    groups = reliability(rows.probs.max(axis=1), rows.predicted == rows.labels)
    full = np.flatnonzero(groups.counts)
    middle = (groups.edges[:-1] + groups.edges[1:]) / 2
    perfect = {
        "type": "line",
        "x0": 0,
        "y0": 0,
        "x1": 1,
        "y1": 1,
        "line": {"width": 1, "dash": "dot"},
    }
    bars = {
        "type": "bar",
        "x": _rounded(middle[full]),
        "width": [round(0.92 / groups.counts.size, 4)] * full.size,
        "customdata": [
            [round(float(groups.confidence[i]), 4), int(groups.counts[i])] for i in full.tolist()
        ],
        "meta": {"colour": 0},
    }
    right = {
        "y": _rounded(groups.accuracy[full]),
        "hovertemplate": (
            "%{customdata[0]:.1%} sure on average<br>%{y:.1%} right<br>"
            "%{customdata[1]} pictures<extra></extra>"
        ),
    }
    many = {
        "y": groups.counts[full].tolist(),
        "hovertemplate": "%{y} pictures, %{customdata[0]:.1%} sure on average<extra></extra>",
        "meta": {"colour": 11},
    }
    return (
        {
            "data": [bars | right],
            "layout": {
                "xaxis": {**_unit_axis("confidence"), "title": {}},
                "yaxis": _unit_axis("share that is right"),
                "shapes": [perfect],
                "height": 230,
            },
        },
        {
            "data": [bars | many],
            "layout": {
                "xaxis": _unit_axis("confidence"),
                "yaxis": {"title": {"text": "pictures"}},
                "height": 130,
            },
        },
    )


_FEW_EPOCHS = 10
"""Up to here every epoch has its tick: else plotly puts some at half epochs."""


def history_figure(
    rows: History, columns: Mapping[str, tuple[str, int]], best: int | None, **axis: Any
) -> Figure | None:
    """Columns of the history over the epochs, with a dotted line at the best one.

    Args:
        rows: The epochs.
        columns: What each column is called, and its colour.
        best: The epoch whose weights count.
        axis: Of the values, as plotly has it.

    Returns:
        None where no column has a value.
    """
    lines = []
    for column, (name, colour) in columns.items():
        points = [(row["epoch"], row[column]) for row in rows if row.get(column) is not None]
        if points:
            x, y = zip(*points, strict=True)
            line = {
                "type": "scatter",
                "mode": "lines" if len(points) > 1 else "markers",
                "name": name,
                "x": x,
                "y": [float(f"{v:.6g}") for v in y],
                "meta": {"colour": colour, "label": name},
                "line": {"width": 2},
            }
            lines.append(line)
    if not lines:
        return None
    short = (rows[-1].get("epoch") or 0) <= _FEW_EPOCHS
    whole: dict[str, Any] = {"dtick": 1} if short else {}
    layout: dict[str, Any] = {
        "xaxis": {"title": {"text": "epoch"}, "tickformat": "d"} | whole,
        "yaxis": axis,
        "hovermode": "x unified",
        "height": 290,
    }
    if best is not None:
        place = {"type": "line", "x0": best, "x1": best, "yref": "paper", "y0": 0, "y1": 1}
        layout["shapes"] = [{**place, "line": {"width": 1, "dash": "dot"}}]
    return {"data": lines, "layout": layout}


def history_figures(rows: History, best: int | None) -> dict[str, Figure]:
    """Losses, accuracies and the learning rate over the epochs; a dotted line at the best one."""
    figures = {
        "loss": history_figure(
            rows, {"train_loss": ("training", 0), "val_loss": ("validation", 1)}, best
        ),
        "accuracy": history_figure(
            rows,
            {
                "train_top1": ("training top-1", 0),
                "val_top1": ("validation top-1", 1),
                "val_macro_f1": ("validation macro F1", 2),
            },
            best,
            tickformat=".0%",
        ),
        "lr": history_figure(rows, {"lr": ("learning rate", 3)}, best, tickformat="~e"),
    }
    return {name: figure for name, figure in figures.items() if figure is not None}
