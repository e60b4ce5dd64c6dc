"""Figures of an evaluation as PNG: how honest probabilities are, and what corruptions cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from imgtrain.metrics.calibration import Reliability
from imgtrain.report.plots import bare, drawing
from imgtrain.report.selection import COLOURS


def plot_reliability(path: Path, groups: Reliability, *, title: str, note: str) -> None:
    """Write a reliability diagram: accuracy by confidence, and how many pictures are how sure.

    Args:
        path: The PNG.
        groups: From `reliability`.
        title: Of the figure.
        note: The scores that sum it up.
    """
    middles = (groups.edges[1:] + groups.edges[:-1]) / 2
    width = groups.edges[1] - groups.edges[0]
    filled = groups.counts > 0
    with drawing(path, 5.4, 6.0, names=[title]) as figure:
        upper, lower = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
        bare(upper, title, "", "accuracy")
        upper.plot([0, 1], [0, 1], color="#888888", linewidth=1, linestyle=":", zorder=3)
        upper.bar(middles[filled], groups.accuracy[filled], width=0.92 * width, color=COLOURS[0],
                  label="accuracy")  # fmt: skip
        gaps = groups.confidence[filled] - groups.accuracy[filled]
        upper.bar(middles[filled], gaps, bottom=groups.accuracy[filled], width=0.92 * width,
                  color="#d55e0044", edgecolor=COLOURS[1], linewidth=0.8, hatch="//",
                  label="gap to the mean confidence")  # fmt: skip
        upper.set_title(note, loc="right", fontsize=9)
        upper.set_ylim(0, 1.02)
        upper.legend(fontsize=8, frameon=False, loc="upper left")
        bare(lower, "", "confidence", "pictures")
        lower.bar(middles, groups.counts, width=0.92 * width, color="#9ec5e0")
        lower.set_xlim(0, 1)
        lower.yaxis.get_major_locator().set_params(integer=True, nbins=4)


def plot_corruptions(path: Path, rows: Sequence[Mapping[str, Any]], clean: float) -> None:
    """Write top-1 by severity, a line a kind of corruption.

    Args:
        path: The PNG.
        rows: Of ``kind``, ``severity`` and ``top1``.
        clean: Top-1 of the pictures as they are: severity 0.
    """
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    with drawing(path, 6.6, 4.2) as figure:
        axes = figure.add_subplot()
        bare(axes, "Robustness to corruptions", "severity", "top-1")
        for colour, kind in zip(COLOURS, kinds, strict=False):
            own = sorted((row["severity"], row["top1"]) for row in rows if row["kind"] == kind)
            x, y = zip((0, clean), *own, strict=True)
            axes.plot(x, y, color=colour, linewidth=1.8, marker="o", markersize=4, label=kind)
        axes.set_xticks(np.arange(6))
        axes.set_ylim(0, 1.02)
        axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
