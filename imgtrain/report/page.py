"""``report.html``: one file that shows a run, and asks the network for nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from imgtrain.files import write_text
from imgtrain.report.album import Album
from imgtrain.report.data_part import data_section
from imgtrain.report.evaluations import evaluations_section
from imgtrain.report.figures import history_figures, told
from imgtrain.report.frame import framed, parts
from imgtrain.report.gallery import Reader, reader_of
from imgtrain.report.markup import chart, section
from imgtrain.report.outcome import Outcome, outcome
from imgtrain.report.overlays import read_overlays
from imgtrain.report.overview import findings, header, headline, part_to_show
from imgtrain.report.predictions import read_predictions
from imgtrain.report.range_test import range_section
from imgtrain.report.reading import RunFiles, read_run
from imgtrain.report.record import environment_section, settings_section
from imgtrain.report.times import epochs_table, times_section
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
    run = read_run(folder, parts=())
    if state is not None:
        run = replace(run, status={**run.status, "state": state})
    root = run.provenance.get("data_root") or run.settings.get("data.root")
    page = folder / "report.html"
    write_text(page, render(run, read or reader_of(root)))
    return page


def render(run: RunFiles, read: Reader | None) -> str:
    """The page's HTML."""
    album = Album(read, read_overlays(run.folder))
    outcomes = dict(_outcomes(run, album))
    figures = history_figures(run.history, _best_epoch(run))
    learning = [
        chart(key, title, legend=key != "lr", told=told(figures[key]))
        for key, title in _CHARTS.items()
        if key in figures
    ]
    for found in outcomes.values():
        figures.update(found.figures)
    lead = outcomes.get(part_to_show(run) or "")
    body = [
        section(
            "overview",
            "How good it is",
            headline(run),
            findings(run, lead.notable if lead is not None else ()),
        ),
        section(
            "learning",
            "How it learned",
            f'<div class="charts three">{"".join(learning)}</div>',
            epochs_table(run.history),
        )
        if learning
        else "",
        range_section(run.range_test, figures),
        variants_section(run.variants),
        parts(outcomes),
        evaluations_section(run.folder, figures),
        data_section(run, album),
        times_section(run, figures),
        settings_section(run),
        environment_section(run),
    ]
    return framed(run.name, header(run), body, outcomes, figures, pictures=album.cells)


def _outcomes(run: RunFiles, album: Album) -> Iterator[tuple[str, Outcome]]:
    """The scored parts; the predictions of one at a time are in memory."""
    for part in ("test", "val"):
        rows = read_predictions(run.folder / f"predictions_{part}.csv", run.classes)
        found = outcome(run, part, rows, album)
        if found is not None:
            yield part, found


def _best_epoch(run: RunFiles) -> int | None:
    best = run.metrics.get("best_epoch")
    return best if isinstance(best, int) else None
