"""What all pages of runs share: one file with navigation, tabs and charts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from imgtrain.report.figures import Figure
from imgtrain.report.markup import text
from imgtrain.report.outcome import Outcome
from imgtrain.report.reading import PARTS
from imgtrain.starters import filled, read_template


def framed(
    title: str,
    header: str,
    body: Sequence[str],
    outcomes: Mapping[str, Outcome],
    figures: Mapping[str, Figure],
    *,
    pictures: Mapping[int, str] | None = None,
) -> str:
    """A whole page.

    Args:
        title: What the browser's tab says; not escaped.
        header: HTML above everything.
        body: The sections, from `section` and `parts`.
        outcomes: The scored parts that the body shows.
        figures: Every figure that the body has a place for.
        pictures: Those that only cells of matrices show, by number.
    """
    return filled(
        "report.html",
        {
            "title": text(title),
            "style": read_template("report.css"),
            "header": header,
            "navigation": _navigation(body, outcomes),
            "body": "\n".join(body),
            "figures": embedded(figures),
            "more": embedded(
                {
                    "curves": {part: found.more for part, found in outcomes.items()},
                    "cells": {part: found.cells for part, found in outcomes.items()},
                    "pictures": pictures or {},
                }
            ),
            "charts": read_template("charts.js") if figures else "",
            "script": read_template("report.js"),
        },
    )


def embedded(figures: Mapping[str, Any]) -> str:
    """JSON for a script element: no character in it can end the element."""
    found = json.dumps(figures, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return found.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def parts(outcomes: Mapping[str, Outcome]) -> str:
    """The scored parts one behind the other, with tabs where there are two."""
    if not outcomes:
        return ""
    first = next(iter(outcomes))
    tabs = "".join(_tab(part, chosen=part == first) for part in outcomes)
    panels = "\n".join(
        f'<div id="panel-{part}" role="tabpanel" aria-labelledby="tab-{part}"'
        f"{'' if part == first else ' hidden'}>{found.html}</div>"
        for part, found in outcomes.items()
    )
    bar = f'<div class="tabs" role="tablist" aria-label="Part of the data">{tabs}</div>'
    return f'<div id="results">{bar if len(outcomes) > 1 else ""}{panels}</div>'


def _tab(part: str, *, chosen: bool) -> str:
    return (
        f'<button type="button" role="tab" id="tab-{part}" aria-controls="panel-{part}" '
        f'aria-selected="{str(chosen).lower()}" tabindex="{0 if chosen else -1}">'
        f"{PARTS[part]}</button>"
    )


def _navigation(body: Sequence[str], outcomes: Mapping[str, Outcome]) -> str:
    """Links to the sections that exist; those of the first part only."""
    hidden = list(outcomes)[1:]
    links = re.findall(r'<section id="([\w-]+)"[^>]*>\n<h2[^>]*>([^<]+)', "\n".join(body))
    return "".join(
        f'<a href="#{anchor}">{title.strip()}</a>'
        for anchor, title in links
        if anchor.split("-")[0] not in hidden
    )
