"""``report.html``: one file that shows a run, and asks the network for nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from imgtrain.files import write_text
from imgtrain.report.figures import history_figures
from imgtrain.report.frame import framed, parts
from imgtrain.report.gallery import Reader, reader_of
from imgtrain.report.markup import chart, section
from imgtrain.report.outcome import outcome
from imgtrain.report.overview import findings, header, headline
from imgtrain.report.range_test import range_section
from imgtrain.report.reading import RunFiles, read_run
from imgtrain.report.record import data_section, environment_section, settings_section
from imgtrain.report.variants import variants_section

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
        range_section(run.range_test, figures),
        variants_section(run.variants),
        parts(outcomes),
        data_section(run),
        settings_section(run),
        environment_section(run),
    ]
    return framed(run.name, header(run), body, outcomes, figures)


def _best_epoch(run: RunFiles) -> int | None:
    best = run.metrics.get("best_epoch")
    return best if isinstance(best, int) else None
