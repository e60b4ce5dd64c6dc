"""An evaluation in words: a short table for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from imgtrain.console import one_line, text_table

_SHARES = {
    "top1": "top-1",
    "top3": "top-3",
    "top5": "top-5",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
}
_NUMBERS = {
    "macro_auroc": "macro AUROC",
    "log_loss": "log loss",
    "brier": "Brier score",
    "ece": "ECE",
}
_MOST_ROWS = 12
"""Of one column's slices; all are in slices.csv."""


def evaluation_text(metrics: Mapping[str, Any]) -> str:
    """The scores with their intervals, then whatever else was asked for."""
    blocks = [
        text_table(["score", "value", "95 % interval"], _scores(metrics)),
        *_calibration(metrics.get("calibrated")),
        *_threshold(metrics),
        *_slices(metrics["slices"]),
        *_corruptions(metrics),
    ]
    return "\n".join(blocks).rstrip("\n")


def _scores(metrics: Mapping[str, Any]) -> Iterator[list[str]]:
    for names, shown in ((_SHARES, _percent), (_NUMBERS, _number)):
        for key, title in names.items():
            if metrics.get(key) is not None:
                ends = metrics["intervals"].get(key)
                told = "-" if ends is None else f"{shown(ends[0])} to {shown(ends[1])}"
                yield [title, shown(metrics[key]), told]


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %"


def _number(value: float) -> str:
    return f"{value:.4f}"


def _calibration(found: Mapping[str, Any] | None) -> Iterator[str]:
    if found is None:
        return
    before, after = found["temperature"]
    yield f"temperature {before:.4g} -> {after:.4g}, fitted on {found['n']:,} pictures\n"
    rows = []
    sides = {"calibration": found} | ({"scored": found["scored"]} if found.get("scored") else {})
    for key, title in (("log_loss", "log loss"), ("brier", "Brier score"), ("ece", "ECE")):
        cells = (f"{side[key][0]:.4f} -> {side[key][1]:.4f}" for side in sides.values())
        rows.append([title, *cells])
    yield text_table(["before -> after", *sides], rows)


def _threshold(metrics: Mapping[str, Any]) -> Iterator[str]:
    found = metrics.get("threshold")
    if not found:
        return
    if found["threshold"] is None:
        yield f"no threshold reaches {one_line(found['for'])} on the {found['part']} part\n"
        return
    rows = [
        [title, *(_or_dash(found[side][key]) for side in ("chosen_on", "scored"))]
        for key, title in (
            ("precision", "precision"),
            ("coverage", "coverage"),
            ("recall", "recall"),
        )
    ]
    ends = found["scored"]["precision_interval"]
    told = "" if ends is None else f" ({100 * ends[0]:.1f} to {100 * ends[1]:.1f} % of them right)"
    yield (
        f"threshold {found['threshold']:.6f} for {one_line(found['for'])}: accepts "
        f"{found['scored']['accepted']:,} of {found['scored']['n']:,} pictures{told}\n"
    )
    yield text_table(["", f"chosen on {found['part']}", "scored"], rows)
    if found["class"] is None:
        yield f"imgtrain predict PICTURES --threshold {found['threshold']:.6f}\n"


def _or_dash(value: float | None) -> str:
    return "-" if value is None else _percent(value)


def _slices(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for column, own in groupby(rows, key=lambda row: row["column"]):
        worst = sorted(own, key=lambda row: row["top1"])
        cells = [
            [
                one_line(row["value"]) or "(empty)",
                f"{row['n']:,}",
                _percent(row["top1"]),
                f"{_percent(row['interval'][0])} to {_percent(row['interval'][1])}",
                _percent(row["macro_f1"]),
            ]
            for row in worst[:_MOST_ROWS]
        ]
        head = [f"by {one_line(column)}", "n", "top-1", "95 % interval", "macro F1"]
        yield text_table(head, cells)
        if len(worst) > _MOST_ROWS:
            yield f"and {len(worst) - _MOST_ROWS} better ones in slices.csv\n"


def _corruptions(metrics: Mapping[str, Any]) -> Iterator[str]:
    rows = metrics["corruptions"]
    if not rows:
        return
    severities = sorted({row["severity"] for row in rows})
    cells = [
        [kind, *(_percent(row["top1"]) for row in sorted(own, key=lambda row: row["severity"]))]
        for kind, own in groupby(rows, key=lambda row: row["kind"])
    ]
    yield text_table(["top-1 at severity", *map(str, severities)], cells)
    found = metrics["robustness"]
    drop = found["relative_drop"]
    yield (
        f"mean over corruptions {_percent(found['mean_top1'])}, clean "
        f"{_percent(found['clean_top1'])}"
        f"{'' if drop is None else f': {100 * drop:.1f} % of it lost'}\n"
    )
