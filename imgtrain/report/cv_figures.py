"""The charts of a cv run: the curves of all folds, and their scores beside the ensemble's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from imgtrain.report.cv_reading import CvFiles, Fold
from imgtrain.report.figures import Figure
from imgtrain.report.plots import History

METRICS = {"top1": "Accuracy (top-1)", "macro_f1": "Macro F1"}


def curve_figures(cv: CvFiles) -> dict[str, Figure]:
    """Loss and the metric that decided over the epochs, a colour a fold (with repeats: a repeat).

    In the page, pointing at a line or at its entry in the legend makes the others pale.
    """
    found = {
        "folds-loss": _curves(cv, "val_loss", "train_loss"),
        "folds-metric": _curves(cv, f"val_{cv.metric}", None, tickformat=".0%"),
    }
    return {name: figure for name, figure in found.items() if figure is not None}


def _curves(cv: CvFiles, column: str, training: str | None, **axis: Any) -> Figure | None:
    lines = []
    for fold in cv.folds:
        lines += _fold_lines(cv, fold, column, training)
    if not lines:
        return None
    mean = mean_course([fold.history for fold in cv.folds], column)
    if len(cv.folds) > 1 and mean:
        lines.append(_line(mean, "mean of the folds", "mean", "ink", width=2.6))
    longest = max(int(row["epoch"] or 0) for fold in cv.folds for row in fold.history)
    whole: dict[str, Any] = {"dtick": 1} if longest <= 10 else {}  # noqa: PLR2004  # no half epochs
    return {
        "data": lines,
        "layout": {
            "xaxis": {"title": {"text": "epoch"}, "tickformat": "d"} | whole,
            "yaxis": axis,
            "hovermode": "closest",
            "height": 330,
            "meta": {"grouped": True},
        },
    }


def _fold_lines(cv: CvFiles, fold: Fold, column: str, training: str | None) -> list[dict[str, Any]]:
    several = cv.repeats > 1
    label = f"repeat {fold.repeat}" if several else f"fold {fold.number}"
    colour = (fold.repeat if several else fold.number) - 1
    styles: dict[str, tuple[str, dict[str, Any]]] = {column: ("validation", {"width": 1.8})}
    if training is not None:
        styles[training] = ("training", {"width": 1.0, "dash": "dot"})
    lines = []
    for key, (what, style) in styles.items():
        points = [(row["epoch"], row[key]) for row in fold.history if row.get(key) is not None]
        if points:
            name = f"fold {fold.number}, {what}"
            lines.append(_line(points, name, label, colour, **style))
    return lines


def _line(
    points: Sequence[tuple[float | None, float | None]],
    name: str,
    label: str,
    colour: int | str,
    **style: Any,
) -> dict[str, Any]:
    x, y = zip(*points, strict=True)
    return {
        "type": "scatter",
        "mode": "lines" if len(points) > 1 else "markers",
        "name": name,
        "x": x,
        "y": [float(f"{v:.6g}") for v in y],
        "meta": {"colour": colour, "label": label},
        "line": style,
        "hoverinfo": "x+y+name",
        "hoverlabel": {"namelength": -1},
    }


def mean_course(
    histories: Sequence[History], column: str
) -> list[tuple[float | None, float | None]]:
    """The mean over the folds, as far as all of them go."""
    by_epoch: dict[float, list[float]] = {}
    for history in histories:
        for row in history:
            epoch, value = row["epoch"], row.get(column)
            if epoch is not None and value is not None:
                by_epoch.setdefault(epoch, []).append(value)
    return [
        (epoch, float(np.mean(values)))
        for epoch, values in sorted(by_epoch.items())
        if len(values) == len(histories)
    ]


def scores_figure(cv: CvFiles) -> Figure | None:
    """The ensemble and the best fold on test, and each fold on its own part, on one axis."""
    rows = [
        row
        for row in (
            _scored("ensemble, test", cv.run.scores("test"), cv.metric),
            _scored(_best_name(cv), _dict(cv.summary.get("best_fold_test")), cv.metric),
            _scored("all folds, out-of-fold", cv.run.scores("oof"), cv.metric),
        )
        if row is not None
    ]
    points = [(fold, fold.scores.get(cv.metric)) for fold in cv.folds]
    known = [(fold, float(value)) for fold, value in points if isinstance(value, int | float)]
    if len(rows) + bool(known) < 2:  # noqa: PLR2004  # nothing to compare
        return None
    names = [name for name, *_ in rows] + (["each fold, its own part"] if known else [])
    data = [_whole_scores(rows)] if rows else []
    if known:
        data += _fold_scores(known, len(rows))
    return {
        "data": data,
        "layout": {
            "xaxis": {"title": {"text": METRICS[cv.metric]}, "tickformat": ".0%"},
            "yaxis": {
                "tickvals": list(range(len(names))),
                "ticktext": names,
                "range": [len(names) - 0.5, -0.5],
                "showgrid": False,
            },
            "hovermode": "closest",
            "height": 110 + 44 * len(names),
        },
    }


def _best_name(cv: CvFiles) -> str:
    best = cv.summary.get("best_fold")
    return f"best fold ({best}), test" if isinstance(best, int) else "best fold, test"


def _dict(found: object) -> Mapping[str, Any]:
    return found if isinstance(found, dict) else {}


_Row = tuple[str, float, float, float]


def _scored(name: str, scores: Mapping[str, Any], metric: str) -> _Row | None:
    """Name, score, and how far the interval goes below and above."""
    value = scores.get(metric)
    if not isinstance(value, int | float):
        return None
    ends = _dict(scores.get("intervals")).get(metric)
    low, high = ends if isinstance(ends, list) else (value, value)
    return name, float(value), float(value - low), float(high - value)


def _whole_scores(rows: Sequence[_Row]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "score",
        "x": [round(value, 4) for _, value, _, _ in rows],
        "y": list(range(len(rows))),
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [round(above, 4) for *_, above in rows],
            "arrayminus": [round(below, 4) for _, _, below, _ in rows],
            "thickness": 1.5,
        },
        "marker": {"size": 10},
        "text": [name for name, *_ in rows],
        "hovertemplate": "%{text}: %{x:.1%}<extra></extra>",
        "meta": {"colour": 1, "label": "whole, with its 95% interval"},
    }


def _fold_scores(known: Sequence[tuple[Fold, float]], place: int) -> list[dict[str, Any]]:
    values = [value for _, value in known]
    dots = {
        "type": "scatter",
        "mode": "markers",
        "name": "fold",
        "x": [round(value, 4) for value in values],
        "y": [place] * len(values),
        "marker": {"size": 9, "opacity": 0.65},
        "text": [f"fold {fold.number}" for fold, _ in known],
        "hovertemplate": "%{text}: %{x:.1%}<extra></extra>",
        "meta": {"colour": 0, "label": "a fold"},
    }
    mean = {
        "type": "scatter",
        "mode": "markers",
        "name": "mean",
        "x": [round(float(np.mean(values)), 4)],
        "y": [place],
        "marker": {"size": 18, "symbol": "line-ns-open", "line": {"width": 2}},
        "hovertemplate": "mean of the folds: %{x:.1%}<extra></extra>",
        "meta": {"colour": "ink", "label": "mean of the folds"},
    }
    return [dots, mean] if len(values) > 1 else [dots]
