"""What ``imgtrain evaluate`` found on other data: scores, slices and corruptions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imgtrain.report.figures import Figure, literal, told
from imgtrain.report.markup import (
    DASH,
    Cell,
    Column,
    chart,
    name,
    percent,
    section,
    sortable,
    text,
    whole,
)
from imgtrain.report.reading import read_object
from imgtrain.report.selection import COLOURS, one_line

_SHARES = {"top1": "Top-1", "top5": "Top-5", "macro_f1": "Macro F1", "ece": "Calibration error"}
_NUMBERS = {"log_loss": "Log loss", "brier": "Brier score"}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The content of one ``evaluations/NAME/metrics.json``."""

    label: str
    found: Mapping[str, Any]

    def rows(self, key: str) -> list[Mapping[str, Any]]:
        """The objects of a list; empty where there is none."""
        listed = self.found.get(key)
        return [row for row in listed if isinstance(row, dict)] if isinstance(listed, list) else []


def read_evaluations(folder: Path) -> list[Evaluation]:
    """All evaluations of a run, by name; broken ones are left out."""
    found = []
    for path in sorted((folder / "evaluations").glob("*/metrics.json")):
        content = read_object(path)
        if content:
            found.append(Evaluation(str(content.get("name") or path.parent.name), content))
    return found


def evaluations_section(folder: Path, figures: dict[str, Figure]) -> str:
    """Their tables and curves; the figures are added to ``figures``."""
    found = read_evaluations(folder)
    if not found:
        return ""
    return section(
        "evaluations",
        "Other evaluations",
        _scores(found),
        *(_slices(each) for each in found),
        *(_corruptions(k, each, figures) for k, each in enumerate(found)),
    )


def number(value: object) -> float | None:
    """A score, or None for what is not one."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _ends(value: object) -> str:
    """``88.8 - 95.1%`` of an interval; a dash without one."""
    if not isinstance(value, list) or len(value) != 2 or None in map(number, value):  # noqa: PLR2004  # low and high
        return DASH
    low, high = (percent(number(end)) for end in value)
    return f"{low.removesuffix('%')} {DASH} {high}"


def _scores(found: Sequence[Evaluation]) -> str:
    """A row an evaluation; columns of which none has a value are left out."""
    columns: list[tuple[Column, list[Any]]] = [
        (Column("Evaluation", "name"), [each.label for each in found]),
        (Column("Part", "name"), [str(each.found.get("part") or "") for each in found]),
        (Column("Pictures"), [_count(each.found.get("n")) for each in found]),
    ]
    for key, title in (_SHARES | _NUMBERS).items():
        kind = Column(title, "percent") if key in _SHARES else Column(title)
        values = [number(each.found.get(key)) for each in found]
        if any(value is not None for value in values):
            columns.append((kind, values))
        if key == "top1":
            ends = [_dict(each.found.get("intervals")).get("top1") for each in found]
            columns.append((Column("95% interval", "cell"), [_interval(each) for each in ends]))
    ways = [", ".join(_how(each.found)) for each in found]
    if any(ways):
        cells = [Cell(place, text(way or DASH)) for place, way in enumerate(ways)]
        columns.append((Column("With", "cell"), cells))
    data = "; ".join(
        f"{name(each.label)}: {name(str(each.found['data']))}"
        for each in found
        if each.found.get("data")
    )
    note = f'<p class="note">The data: {data}.</p>' if data else ""
    rows = zip(*(values for _, values in columns), strict=True)
    return note + sortable("Evaluations", [column for column, _ in columns], list(rows))


def _interval(ends: object) -> Cell:
    low = number(ends[0]) if isinstance(ends, list) and ends else None
    return Cell(-1 if low is None else low, _ends(ends))


def _dict(found: object) -> Mapping[str, Any]:
    return found if isinstance(found, dict) else {}


def _count(value: object) -> int | None:
    found = number(value)
    return None if found is None else int(found)


def _how(found: Mapping[str, Any]) -> Iterator[str]:
    for key, words in (("tta", "views"), ("temperature", "temperature")):
        value = found.get(key)
        if isinstance(value, str | float) and value not in {"", 1.0}:
            yield f"{words} {f'{value:.4g}' if isinstance(value, float) else one_line(value, 60)}"
    yield from _threshold(_dict(found.get("threshold")))


def _threshold(found: Mapping[str, Any]) -> Iterator[str]:
    """What is accepted, and how much of it is right."""
    place = number(found.get("threshold"))
    if place is None:
        return
    scored = _dict(found.get("scored"))
    coverage, precision = (number(scored.get(key)) for key in ("coverage", "precision"))
    goal = f" for {one_line(str(found['for']), 60)}" if found.get("for") else ""
    accepts = f" accepts {percent(coverage)}" if coverage is not None else ""
    right = f", {percent(precision)} of them right" if accepts and precision is not None else ""
    yield f"threshold {place:.4g}{goal}{accepts}{right}"


def _slices(each: Evaluation) -> str:
    """Where the model is worse than elsewhere."""
    listed = each.rows("slices")
    if not listed:
        return ""
    columns = [
        Column("Column", "name"),
        Column("Value", "name"),
        Column("Pictures"),
        Column("Top-1", "cell"),
        Column("95% interval", "cell"),
    ]
    rows = []
    for row in listed:
        top1 = number(row.get("top1"))
        rows.append(
            [
                str(row.get("column", "")),
                str(row.get("value", "")),
                _count(row.get("n")),
                Cell(-1 if top1 is None else top1, percent(top1)),
                _interval(row.get("interval")),
            ]
        )
    title = f"Slices <small>{name(each.label)}</small>"
    return f"<h3>{title}</h3>" + sortable(f"Slices of {text(each.label)}", columns, rows)


def _corruptions(place: int, each: Evaluation, figures: dict[str, Figure]) -> str:
    """How scores fall as pictures get worse; the clean ones are severity 0."""
    listed = [
        (str(row.get("kind", "")), severity, top1)
        for row in each.rows("corruptions")
        if (severity := number(row.get("severity"))) is not None
        and (top1 := number(row.get("top1"))) is not None
    ]
    if not listed:
        return ""
    kinds = list(dict.fromkeys(kind for kind, _, _ in listed))
    clean = number(each.found.get("top1"))
    lines = []
    for k, kind in enumerate(kinds[: len(COLOURS)]):
        points = dict(sorted((severity, top1) for own, severity, top1 in listed if own == kind))
        if clean is not None:
            points = {0.0: clean} | points
        lines.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": literal(kind),
                "x": list(points),
                "y": [round(value, 4) for value in points.values()],
                "meta": {"colour": k, "label": one_line(kind, 40)},
                "line": {"width": 2},
                "marker": {"size": 6},
            }
        )
    key = f"corruptions-{place}"
    figures[key] = {
        "data": lines,
        "layout": {
            "xaxis": {"title": {"text": "severity"}, "tickformat": "d", "dtick": 1},
            "yaxis": {"title": {"text": "top-1"}, "tickformat": ".0%", "rangemode": "tozero"},
            "height": 330,
        },
    }
    mean = sum(top1 for _, _, top1 in listed) / len(listed)
    note = f"Top-1 over all kinds and severities: {percent(mean)}"
    note += f"; on clean pictures {percent(clean)}." if clean is not None else "."
    left = len(kinds) - len(lines)
    note += f" {whole(left)} more kinds are in metrics.json." if left > 0 else ""
    title = f"Corrupted pictures, {text(each.label)}"
    return chart(key, title, note=note, told=told(figures[key]))
