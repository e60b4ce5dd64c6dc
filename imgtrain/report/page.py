"""``report.html``: one file that shows a run, and asks the network for nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from imgtrain.files import write_text
from imgtrain.report.figures import Figure, history_figures
from imgtrain.report.gallery import Reader, reader_of
from imgtrain.report.markup import chart, section, text
from imgtrain.report.outcome import Outcome, outcome
from imgtrain.report.overview import findings, header, headline
from imgtrain.report.reading import PARTS, RunFiles, read_run
from imgtrain.report.record import data_section, environment_section, settings_section
from imgtrain.starters import read_template

_CHARTS = {"loss": "Loss", "accuracy": "Accuracy and macro F1", "lr": "Learning rate"}


def write_page(folder: Path, *, read: Reader | None = None, state: str | None = None) -> Path:
    """Show the run in ``folder`` as ``report.html``.

    Whatever is missing of the run is left out of the page; a picture that cannot be read any
    more becomes a placeholder.

    Args:
        folder: The run's folder, finished or not.
        read: The bytes of a picture by its path in ``splits.csv``; raises OSError or KeyError.
            Without it the pictures are looked for where the run found them.
        state: What the page says of the run, if not what ``status.json`` does: a run is
            finished once its page is written.

    Returns:
        The page's path.

    Raises:
        DiskError: If the page cannot be written.
    """
    run = read_run(folder)
    if state is not None:
        run = replace(run, status={**run.status, "state": state})
    root = run.provenance.get("data_root") or run.settings.get("data.root")
    page = folder / "report.html"
    write_text(page, render(run, read or reader_of(root)))
    return page


def render(run: RunFiles, read: Reader | None) -> str:
    """The page's HTML."""
    from plotly.offline import get_plotlyjs

    outcomes = {
        part: found for part in ("test", "val") if (found := outcome(run, part, read)) is not None
    }
    figures = history_figures(run.history, _best_epoch(run))
    learning = [
        chart(key, title, legend=key != "lr") for key, title in _CHARTS.items() if key in figures
    ]
    for found in outcomes.values():
        figures.update(found.figures)
    body = [
        section("overview", "How good it is", headline(run), findings(run)),
        section(
            "learning", "How it learned", f'<div class="charts three">{"".join(learning)}</div>'
        )
        if learning
        else "",
        _parts(outcomes),
        data_section(run),
        settings_section(run),
        environment_section(run),
    ]
    return _filled(
        read_template("report.html"),
        {
            "title": text(run.name),
            "style": read_template("report.css"),
            "header": header(run),
            "navigation": _navigation(body, outcomes),
            "body": "\n".join(body),
            "figures": embedded(figures),
            "plotly": get_plotlyjs() if figures else "",
            "script": read_template("report.js"),
        },
    )


def _best_epoch(run: RunFiles) -> int | None:
    best = run.metrics.get("best_epoch")
    return best if isinstance(best, int) else None


def _filled(template: str, pieces: Mapping[str, str]) -> str:
    """Put the pieces in place in one pass: what a piece contains is never replaced again."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: pieces[match[1]], template)


def embedded(figures: Mapping[str, Figure]) -> str:
    """JSON for a script element: no character in it can end the element."""
    found = json.dumps(figures, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return found.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _parts(outcomes: Mapping[str, Outcome]) -> str:
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


def _navigation(body: list[str], outcomes: Mapping[str, Outcome]) -> str:
    """Links to the sections that exist; those of the first part only."""
    hidden = list(outcomes)[1:]
    links = re.findall(r'<section id="([\w-]+)"[^>]*>\n<h2[^>]*>([^<]+)', "\n".join(body))
    return "".join(
        f'<a href="#{anchor}">{title.strip()}</a>'
        for anchor, title in links
        if anchor.split("-")[0] not in hidden
    )
