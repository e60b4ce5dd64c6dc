"""Memory over time, phase by phase, as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

from imgtrain.report.plots import bare, drawing

COLOURS = {
    "loading": "#9aa5b1",
    "forward": "#4c78a8",
    "backward": "#f58518",
    "optimizer": "#54a24b",
    "average": "#b279a2",
}


def write_memory_plot(
    path: Path, samples: Sequence[tuple[float, float, str]], parts: Mapping[str, float]
) -> None:
    """Draw (seconds, MB, phase) as an area, coloured by phase; what stays as lines."""
    with drawing(path, 9, 4.5) as figure:
        axes = figure.subplots()
        told: set[str] = set()
        for phase, run in groupby(samples, key=lambda sample: sample[2]):
            seen = list(run)
            axes.fill_between(
                [at for at, _, _ in seen],
                [mb for _, mb, _ in seen],
                color=COLOURS[phase],
                linewidth=0.4,
                edgecolor=COLOURS[phase],
                label=None if phase in told else phase,
            )
            told.add(phase)
        bare(axes, "Memory in the first steps", "seconds", "MB")
        axes.set_ylim(bottom=0)
        held = ", ".join(f"{name} {mb:,.0f} MB" for name, mb in parts.items())
        axes.legend(
            loc="upper center",
            bbox_to_anchor=(0.5, -0.12),
            frameon=False,
            ncols=len(told),
            fontsize=8,
            title=held,
            title_fontsize=8,
        )
