"""The page's charts as plotly figures: plain data, coloured in the page (light or dark).

``meta`` tells the page how to show a trace: ``colour`` is a place in its palette, ``ink`` (the
colour of text) or ``matrix`` (the scale of the confusion matrix); ``label`` and ``value`` are
what the legend says.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from imgtrain.metrics.calibration import reliability
from imgtrain.metrics.confusion import Floats, Ints, ratio
from imgtrain.metrics.curves import Curve, Curves
from imgtrain.report.plots import History
from imgtrain.report.reading import Predictions
from imgtrain.report.selection import confused, hardest, one_line

Figure = dict[str, Any]

MOST_CELLS = 40
"""Classes in the matrix; more would be too small to point at."""

_ANNOTATED = 20


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


def confusion_figure(matrix: Ints, classes: Sequence[str]) -> Figure:
    """The matrix as a heat map: colour is the share of the true class."""
    totals = matrix.sum(axis=1)
    share = np.nan_to_num(ratio(matrix, np.broadcast_to(totals[:, None], matrix.shape)))
    shown = confused(matrix, MOST_CELLS)
    cells = np.ix_(shown, shown)
    names = [literal(classes[i], 22) for i in shown]
    places = list(range(len(shown)))
    angle = -45 if sum(map(len, names)) > 40 else 0  # noqa: PLR2004  # letters beside each other
    axis = {"tickvals": places, "ticktext": names, "showgrid": False, "zeroline": False}
    hover = [
        [f"{names[r]} taken for {names[c]}" if r != c else f"{names[r]} recognised" for c in places]
        for r in places
    ]
    counts = matrix[cells]
    heat: dict[str, Any] = {
        "type": "heatmap",
        "x": places,
        "y": places,
        "z": np.round(share[cells], 4).tolist(),
        "zmin": 0,
        "zmax": 1,
        "customdata": counts.tolist(),
        "hovertext": hover,
        "hovertemplate": (
            "%{hovertext}<br>%{customdata} pictures, %{z:.1%} of the class<extra></extra>"
        ),
        "xgap": 1,
        "ygap": 1,
        "meta": {"colour": "matrix"},
        "showscale": False,
    }
    if len(shown) <= _ANNOTATED:
        heat["text"] = [[str(n) if n else "" for n in row] for row in counts.tolist()]
        heat["texttemplate"] = "%{text}"
    return {
        "data": [heat],
        "layout": {
            "xaxis": {**axis, "title": {"text": "predicted"}, "tickangle": angle},
            "yaxis": {**axis, "title": {"text": "true"}, "autorange": "reversed"},
            "height": int(np.clip(200 + 26 * len(shown), 320, 900)),
        },
    }


def reliability_figure(rows: Predictions) -> Figure:
    """How often the model is right, by how sure it is; fuller bars hold more pictures."""
    groups = reliability(rows.probs.max(axis=1), rows.predicted == rows.labels)
    full = np.flatnonzero(groups.counts)
    middle = (groups.edges[:-1] + groups.edges[1:]) / 2
    weight = np.sqrt(groups.counts[full] / groups.counts.max())
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
        "y": _rounded(groups.accuracy[full]),
        "width": [round(0.92 / groups.counts.size, 4)] * full.size,
        "customdata": [
            [round(float(groups.confidence[i]), 4), int(groups.counts[i])] for i in full.tolist()
        ],
        "hovertemplate": (
            "%{customdata[0]:.1%} sure on average<br>%{y:.1%} right<br>"
            "%{customdata[1]} pictures<extra></extra>"
        ),
        "meta": {"colour": 0},
        "marker": {"opacity": _rounded(0.25 + 0.75 * weight)},
    }
    return {
        "data": [bars],
        "layout": {
            "xaxis": _unit_axis("confidence"),
            "yaxis": _unit_axis("share that is right"),
            "shapes": [perfect],
            "height": 330,
        },
    }


_FEW_EPOCHS = 10
"""Up to here every epoch has its tick: else plotly puts some at half epochs."""


def _history_figure(
    rows: History, columns: Mapping[str, tuple[str, int]], best: int | None, **axis: Any
) -> Figure | None:
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
        "loss": _history_figure(
            rows, {"train_loss": ("training", 0), "val_loss": ("validation", 1)}, best
        ),
        "accuracy": _history_figure(
            rows,
            {
                "train_top1": ("training top-1", 0),
                "val_top1": ("validation top-1", 1),
                "val_macro_f1": ("validation macro F1", 2),
            },
            best,
            tickformat=".0%",
        ),
        "lr": _history_figure(rows, {"lr": ("learning rate", 3)}, best, tickformat="~e"),
    }
    return {name: figure for name, figure in figures.items() if figure is not None}
