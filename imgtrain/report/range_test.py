"""A test of learning rates as files, and its part of the page."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imgtrain.engine.lr_curve import LrCurve
from imgtrain.files import read_json, write_csv, write_json
from imgtrain.report.markup import chart, section, text
from imgtrain.report.plots import plot_range_test

Figure = dict[str, Any]
_COLUMNS = ("step", "lr", "loss", "running_loss")


@dataclass(frozen=True, slots=True)
class RangeTest:
    """What the files say: losses that were finite, and the suggestion (None: no clear minimum)."""

    rates: list[float]
    losses: list[float]
    running: list[float]
    suggestion: float | None
    sentence: str


def write_range_test(
    folder: Path, plots: Path, curve: LrCurve, found: Mapping[str, Any], sentence: str
) -> None:
    """Write ``lr_find.csv`` and ``lr_find.json`` into ``folder``, ``lr_find.png`` into ``plots``.

    Raises:
        DiskError: If one cannot be written.
    """
    steps = zip(curve.rates, curve.losses, curve.running, strict=True)
    rows = [
        [number, f"{rate:.6g}", *(f"{v:.6g}" if math.isfinite(v) else None for v in values)]
        for number, (rate, *values) in enumerate(steps, start=1)
    ]
    write_csv(folder / "lr_find.csv", _COLUMNS, rows)
    write_json(folder / "lr_find.json", {**found, "sentence": sentence})
    plot_range_test(plots / "lr_find.png", curve.rates, curve.losses, curve.running, found["lr"])


def read_range_test(folder: Path) -> RangeTest | None:
    """What a run's files say; None where it had no test, or they are broken."""
    try:
        with (folder / "lr_find.csv").open(encoding="utf-8", newline="") as file:
            rows = [r for r in csv.DictReader(file) if r["loss"] and r["running_loss"]]
        rates, losses, running = ([float(r[c]) for r in rows] for c in _COLUMNS[1:])
        found = read_json(folder / "lr_find.json")
        rate = found.get("lr")
        return RangeTest(rates, losses, running, rate and float(rate), str(found.get("sentence")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, csv.Error):
        return None


def range_section(test: RangeTest | None, figures: dict[str, Figure]) -> str:
    """The section of the page, its figure added to ``figures``; nothing without a test."""
    if test is None or not test.rates:
        return ""
    figures["lr-find"] = _figure(test)
    note = text(f"{test.sentence[:1].upper()}{test.sentence[1:]}.")
    drawn = chart("lr-find", "Loss over rising learning rates")
    return section("lr-find", "Range test", f'<p class="note">{note}</p>', drawn)


def _figure(test: RangeTest) -> Figure:
    """Both losses over the logarithm of the rate; a dotted line at the suggestion."""
    low, high = min(test.losses), max(test.losses[: max(5, len(test.losses) // 10)])
    room = 0.3 * (high - low) or 1.0
    layout: dict[str, Any] = {
        "xaxis": {"title": {"text": "learning rate"}, "type": "log", "exponentformat": "power"},
        "yaxis": {"title": {"text": "loss"}, "range": [low - room, high + room]},
        "height": 330,
    }
    if test.suggestion is not None:
        place = {"type": "line", "x0": test.suggestion, "x1": test.suggestion}
        dotted = {"yref": "paper", "y0": 0, "y1": 1, "line": {"width": 1, "dash": "dot"}}
        layout["shapes"] = [{**place, **dotted}]
    lines = (("each step", test.losses, 4, 1.0), ("running average", test.running, 0, 2.2))
    return {
        "data": [
            {
                "type": "scatter",
                "mode": "lines",
                "name": name,
                "x": [float(f"{rate:.4g}") for rate in test.rates],
                "y": [float(f"{loss:.5g}") for loss in losses],
                "meta": {"colour": colour, "label": name},
                "line": {"width": width},
            }
            for name, losses, colour, width in lines
        ],
        "layout": layout,
    }
