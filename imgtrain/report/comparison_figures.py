"""The charts of several runs side by side: scores, differences, and how each learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from imgtrain.report.contenders import Contender
from imgtrain.report.cv_figures import mean_course
from imgtrain.report.figures import Figure, literal
from imgtrain.report.pairs import Gap, Pair
from imgtrain.report.plots import History
from imgtrain.report.reading import read_history
from imgtrain.report.selection import one_line
from imgtrain.report.verdicts import between, chance, letters, signed

MOST_GAPS = 24
"""Differences in the chart; the table has all."""


def scores_on_test(each: Contender) -> Mapping[str, Any]:
    """What is known of a run on the test part; of a cross-validation, of its ensemble."""
    told = each.summary.get("ensemble")
    found = told.get("test") if isinstance(told, dict) else None
    return found if isinstance(found, dict) else each.run.scores("test")


def figures(contenders: Sequence[Contender], pairs: Sequence[Pair]) -> dict[str, Figure]:
    """Those that there is something for."""
    found = {
        "scores": _scores(contenders),
        "differences": _differences(contenders, pairs),
        "curves-loss": _curves(contenders, "val_loss"),
        "curves-top1": _curves(contenders, "val_top1", tickformat=".0%"),
    }
    return {name: figure for name, figure in found.items() if figure is not None}


def _scores(contenders: Sequence[Contender]) -> Figure | None:
    """Top-1 on test with its interval, and of the folds as dots, a row a run."""
    rows = [(i, s) for i, each in enumerate(contenders) if (s := scores_on_test(each)).get("n")]
    folds = [
        (row["val"]["top1"], i, f"{each.label}, fold {number}")
        for i, each in enumerate(contenders)
        for number, row in each.folds.items()
        if isinstance(row.get("val", {}).get("top1"), int | float)
    ]
    if not rows and not folds:
        return None
    data = []
    if folds:
        values, places, told = zip(*folds, strict=True)
        data.append(_dots(values, places, told, "a fold, its own part", 0, size=8))
    if rows:
        x = [float(scores["top1"]) for _, scores in rows]
        names = [contenders[i].label for i, _ in rows]
        whole = _dots(x, [i for i, _ in rows], names, "test, with its 95% interval", 1, size=10)
        ends = [_ends(scores) for _, scores in rows]
        whole["error_x"] = _bars(x, ends)
        data.append(whole)
    return _rows_of(data, [each.label for each in contenders], "top-1", ".0%")


def _ends(scores: Mapping[str, Any]) -> tuple[float, float]:
    found = scores.get("intervals", {}).get("top1")
    value = float(scores["top1"])
    return (float(found[0]), float(found[1])) if isinstance(found, list) else (value, value)


def _differences(contenders: Sequence[Contender], pairs: Sequence[Pair]) -> Figure | None:
    """Differences in top-1 with their intervals; what crosses zero may be chance."""
    short = letters(contenders)
    known = [
        (f"{short[pair.places[0]]} \u2212 {short[pair.places[1]]}, {gap.where}", gap)
        for pair in pairs
        for gap in pair.gaps
        if gap.metric == "top1"
    ][:MOST_GAPS]
    if not known:
        return None
    names, gaps = zip(*known, strict=True)
    x = [100 * gap.difference for gap in gaps]
    ends = [(100 * low, 100 * high) for low, high in (_interval(gap) for gap in gaps)]
    told = [f"{name}: {signed(g)} ({between(g)}), {chance(g)}" for name, g in known]
    dots = _dots(x, range(len(x)), told, "difference", 1, size=10)
    dots |= {"error_x": _bars(x, ends), "hovertemplate": "%{text}<extra></extra>"}
    figure = _rows_of([dots], names, "difference in top-1, points", "+.1~f")
    zero = {"type": "line", "x0": 0, "x1": 0, "yref": "paper", "y0": 0, "y1": 1}
    figure["layout"]["shapes"] = [{**zero, "line": {"width": 1, "dash": "dot"}}]
    return figure


def _interval(gap: Gap) -> tuple[float, float]:
    return gap.interval or (gap.difference, gap.difference)


def _dots(
    x: Sequence[float],
    y: Sequence[int],
    names: Sequence[str],
    label: str,
    colour: int,
    *,
    size: int,
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": label,
        "x": [round(value, 4) for value in x],
        "y": list(y),
        "text": [literal(name, 80) for name in names],
        "hovertemplate": "%{text}: %{x:.1%}<extra></extra>",
        "marker": {"size": size, "opacity": 0.65 if colour == 0 else 1.0},
        "meta": {"colour": colour, "label": label},
    }


def _bars(x: Sequence[float], ends: Sequence[tuple[float, float]]) -> dict[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        "array": [round(high - value, 4) for value, (_, high) in zip(x, ends, strict=True)],
        "arrayminus": [round(value - low, 4) for value, (low, _) in zip(x, ends, strict=True)],
        "thickness": 1.5,
    }


def _rows_of(data: list[dict[str, Any]], names: Sequence[str], title: str, ticks: str) -> Figure:
    """A named row a place on the y axis, from the top."""
    return {
        "data": data,
        "layout": {
            "xaxis": {"title": {"text": title}, "tickformat": ticks},
            "yaxis": {
                "tickvals": list(range(len(names))),
                "ticktext": [literal(name, 24) for name in names],
                "range": [len(names) - 0.5, -0.5],
                "showgrid": False,
            },
            "hovermode": "closest",
            "height": 90 + 40 * len(names),
        },
    }


def _curves(contenders: Sequence[Contender], column: str, **axis: Any) -> Figure | None:
    """One line a run; of a cross-validation the mean of its folds."""
    lines = [
        line
        for colour, each in enumerate(contenders)
        if (line := _line(each.label, mean_course(_histories(each), column), colour)) is not None
    ]
    if not lines:
        return None
    longest = max(max(line["x"]) for line in lines)
    whole = {"dtick": 1} if longest <= 10 else {}  # noqa: PLR2004  # no half epochs
    return {
        "data": lines,
        "layout": {
            "xaxis": {"title": {"text": "epoch"}, "tickformat": "d", **whole},
            "yaxis": axis,
            "hovermode": "closest",
            "height": 330,
        },
    }


def _histories(each: Contender) -> list[History]:
    if each.kind == "train":
        return [each.run.history] if each.run.history else []
    return [read_history(each.folder / f"fold_{number}_history.csv") for number in each.folds]


def _line(label: str, points: Sequence[tuple[Any, Any]], colour: int) -> dict[str, Any] | None:
    if not points:
        return None
    x, y = zip(*points, strict=True)
    return {
        "type": "scatter",
        "mode": "lines" if len(points) > 1 else "markers",
        "name": literal(label),
        "x": x,
        "y": [float(f"{value:.6g}") for value in y],
        "meta": {"colour": colour, "label": one_line(label, 40)},
        "line": {"width": 1.8},
        "hoverinfo": "x+y+name",
    }
