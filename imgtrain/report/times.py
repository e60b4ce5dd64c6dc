"""Where time and memory went."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imgtrain.report.data_part import embedded_picture
from imgtrain.report.figures import Figure, history_figure, told
from imgtrain.report.markup import (
    Cell,
    Column,
    chart,
    definitions,
    duration,
    percent,
    section,
    sortable,
    text,
    whole,
)
from imgtrain.report.plots import History
from imgtrain.report.reading import RunFiles, read_object

_PHASES = {
    "index": "reading the list of pictures",
    "leaks": "looking for copies",
    "start": "getting ready",
    "train": "training",
    "score": "scoring",
}


def times_section(run: RunFiles, figures: dict[str, Figure]) -> str:
    """Phases, pictures a second and memory; their figures are added to ``figures``."""
    drawn = {
        "rate": ("Pictures a second", {"images_per_second": ("pictures a second", 0)}),
        "memory": ("GPU memory, MB", {"gpu_memory_mb": ("GPU memory, MB", 1)}),
    }
    charts = []
    for key, (title, columns) in drawn.items():
        figure = history_figure(run.history, columns, None, rangemode="tozero")
        if figure is not None:
            figures[key] = figure
            charts.append(chart(key, title, legend=False, told=told(figure)))
    return section(
        "time",
        "Time and memory",
        _phases(run.timing),
        f'<div class="charts two">{"".join(charts)}{_facts(run)}</div>' if charts else "",
        _memory(run),
    )


def _phases(timing: Mapping[str, Any]) -> str:
    """One bar, a piece a phase, and the pieces in words."""
    known = {
        key: float(value)
        for key, value in timing.items()
        if isinstance(value, int | float) and value >= 0 and key != "total"
    }
    whole_time = sum(known.values())
    if not whole_time:
        return ""
    pieces = "".join(
        f'<i style="--c:var(--c{k % 12});width:{100 * value / whole_time:.2f}%"></i>'
        for k, value in enumerate(known.values())
    )
    words = "".join(
        f'<li><i style="--c:var(--c{k % 12})"></i>{text(_PHASES.get(key, key))} '
        f"<strong>{duration(value)}</strong> <small>{percent(value / whole_time)}</small></li>"
        for k, (key, value) in enumerate(known.items())
    )
    return (
        f'<div class="phases" aria-hidden="true">{pieces}</div>'
        f'<ul class="chips" aria-label="Phases">{words}</ul>'
    )


def _facts(run: RunFiles) -> str:
    facts = []
    seconds = [row["seconds"] for row in run.history if row.get("seconds")]
    rates = [row["images_per_second"] for row in run.history if row.get("images_per_second")]
    if seconds:
        facts.append(("An epoch, on average", duration(sum(seconds) / len(seconds))))  # type: ignore[arg-type]  # none is None
    if rates:
        facts.append(("Pictures a second, median", whole(sorted(rates)[len(rates) // 2])))  # type: ignore[type-var, arg-type]  # none is None
    return definitions(facts)


def _memory(run: RunFiles) -> str:
    """What ``--memory-profile`` found in the first steps."""
    found = read_object(run.folder / "memory.json")
    picture = embedded_picture(run.folder / "memory.png", "Memory over the first steps, by phase")
    peaks = found.get("phases_mb")
    facts = [
        (text(f"Peak in {phase}"), f"{value:,.0f} MB")
        for phase, value in (peaks.items() if isinstance(peaks, dict) else ())
        if isinstance(value, int | float)
    ]
    if not (picture or facts):
        return ""
    what = text(found.get("what", ""))
    return (
        f"<h3>Memory in the first steps <small>{what}</small></h3>{definitions(facts)}"
        f'<div class="sheet">{picture}</div>'
    )


_COLUMNS = {
    "lr": "Learning rate",
    "train_loss": "Training loss",
    "train_top1": "Training top-1",
    "val_loss": "Validation loss",
    "val_top1": "Validation top-1",
    "val_macro_f1": "Validation macro F1",
    "seconds": "Seconds",
}
_SHARES = {"train_top1", "val_top1", "val_macro_f1"}


def epochs_table(history: History) -> str:
    """The numbers behind the curves, folded up."""
    known = [key for key in _COLUMNS if any(row.get(key) is not None for row in history)]
    if not known:
        return ""
    columns = [
        Column("Epoch"),
        *(Column(_COLUMNS[key], "percent" if key in _SHARES else "number") for key in known),
    ]
    rows = [
        [int(row["epoch"] or 0), *(_significant(key, row.get(key)) for key in known)]
        for row in history
    ]
    table = sortable("Epochs", columns, rows)
    return f"<details><summary>Numbers by epoch</summary>{table}</details>"


def _significant(key: str, value: float | None) -> Any:
    """A rate has three digits that count, wherever they stand."""
    return Cell(value, f"{value:.3g}") if key == "lr" and value is not None else value
