"""HTML in small pieces. Whatever comes from outside goes through `text`."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from imgtrain.report.selection import one_line

DASH = "\u2013"


def text(value: object, most: int | None = None) -> str:
    """``value`` as text, safe between tags and in quoted attributes."""
    return html.escape(one_line(str(value), most))


def name(value: str) -> str:
    """A class or path: its own direction of writing, never breaking that of its surroundings."""
    return f"<bdi>{text(value)}</bdi>"


def percent(value: float | None) -> str:
    """``0.972`` as ``97.2%``; a dash where it is undefined."""
    return DASH if value is None else f"{100 * value:.1f}%"


def decimal(value: float | None) -> str:
    """Three digits; a dash where it is undefined."""
    return DASH if value is None else f"{value:.3f}"


def whole(value: float) -> str:
    """``12345`` as ``12,345``."""
    return f"{int(value):,}"


def plural(count: int, noun: str, many: str | None = None) -> str:
    """``1 class``, ``2 classes``."""
    return f"{whole(count)} {noun if count == 1 else many or noun + 's'}"


def duration(seconds: float) -> str:
    """``95.2`` as ``1 min 35 s``, which a line's end does not part."""
    if seconds < 10:  # noqa: PLR2004  # below that, tenths matter
        return f"{seconds:.1f}\u00a0s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}\u00a0h {minutes}\u00a0min"
    return f"{minutes}\u00a0min {rest}\u00a0s" if minutes else f"{rest}\u00a0s"


def shown(value: object) -> str:
    """A value of a settings file as a reader expects it; not escaped."""
    if value is None:
        return "off"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {shown(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(shown(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def section(anchor: str, title: str, *parts: str) -> str:
    """A part of the page that the navigation can reach; nothing if it has no content."""
    body = "\n".join(part for part in parts if part)
    if not body:
        return ""
    return (
        f'<section id="{anchor}" aria-labelledby="{anchor}-title">\n'
        f'<h2 id="{anchor}-title">{title}</h2>\n{body}\n</section>'
    )


def chart(
    figure: str, title: str, *, legend: bool = True, note: str = "", told: str = "", more: str = ""
) -> str:
    """A place for the figure of that name, with its legend below.

    Args:
        figure: Its name among the figures of the page.
        title: HTML.
        legend: Whether its lines are named.
        note: HTML below it.
        told: What it shows, in words, for those who cannot see it; not escaped.
        more: HTML between the legend and the note.
    """
    caption = f"<figcaption>{note}</figcaption>" if note else ""
    marks = f'<div class="legend" data-legend="{figure}"></div>' if legend else ""
    label = f"{title}: {text(told)}" if told else title
    return (
        f'<figure class="chart"><h3>{title}</h3>'
        f'<div class="plot" role="img" aria-label="{label}" data-figure="{figure}"></div>'
        f"{marks}{more}{caption}</figure>"
    )


def definitions(pairs: Iterable[tuple[str, str]]) -> str:
    """Terms and values; both are HTML already."""
    items = "".join(f"<div><dt>{term}</dt><dd>{value}</dd></div>" for term, value in pairs)
    return f'<dl class="facts">{items}</dl>' if items else ""


@dataclass(frozen=True, slots=True)
class Cell:
    """A value of a table with HTML of its own, and its place in the order."""

    order: float
    html: str


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a sortable table: its heading, and how its values are written.

    With a bar, values are pairs: the number, and the share of the cell that the bar fills. A link
    is a pair, too: its words, and where it leads (None: nowhere). A cell is a `Cell`.
    """

    title: str
    kind: Literal["name", "link", "number", "percent", "bar", "cell"] = "number"

    def head(self) -> str:
        """The heading, a button that sorts."""
        kind = "" if self.kind in {"name", "link"} else ' class="number"'
        button = f'<button type="button">{self.title}</button>'
        return f'<th scope="col"{kind} aria-sort="none">{button}</th>'

    def cell(self, value: Any) -> str:
        """One value: a name, or a number with its place in the order."""
        if self.kind == "name":
            return f'<th scope="row" data-value="{text(value)}">{name(str(value))}</th>'
        if self.kind == "link":
            words, target = value
            shown = name(words) if target is None else f'<a href="{text(target)}">{name(words)}</a>'
            return f'<th scope="row" data-value="{text(words)}">{shown}</th>'
        if isinstance(value, Cell):
            return f'<td class="number" data-value="{value.order:.6g}">{value.html}</td>'
        number, share = value if self.kind == "bar" else (value, None)
        if number is None:
            return f'<td class="number">{DASH}</td>'
        style = "" if share is None else f' style="--share:{share:.4f}"'
        kind = "number" if share is None else "number bar"
        return f'<td class="{kind}" data-value="{number:.6g}"{style}>{self._written(number)}</td>'

    def _written(self, number: float) -> str:
        if self.kind == "percent":
            return percent(number)
        return decimal(number) if isinstance(number, float) else whole(number)


SEARCHED = 15
"""Rows above which a table of names has a search box."""


def sortable(label: str, columns: Sequence[Column], rows: Iterable[Sequence[Any]]) -> str:
    """A table that a click on a heading sorts; what is undefined always comes last."""
    head = "".join(column.head() for column in columns)
    lines = [
        "<tr>" + "".join(c.cell(v) for c, v in zip(columns, row, strict=True)) + "</tr>"
        for row in rows
    ]
    body = "\n".join(lines)
    named = any(column.kind in {"name", "link"} for column in columns)
    low = label.lower()
    found = search(f"Search: {low}") if named and len(lines) > SEARCHED else ""
    return (
        f'{found}<div class="scroll" tabindex="0" role="region" aria-label="Table: {low}">'
        f'<table class="sortable"><caption class="unseen">{label}; a heading sorts the rows'
        f"</caption><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def search(label: str) -> str:
    """A box that leaves those rows of the table behind it whose names hold its words."""
    return (
        f'<p class="search"><input type="search" placeholder="search" aria-label="{label}">'
        '<span role="status"></span></p>'
    )
