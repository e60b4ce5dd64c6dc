"""``imgtrain data audit``: labels that are likely wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imgtrain import console
from imgtrain.errors import RunError, SettingsError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from imgtrain.checking.audit import Audit

_PRUNINGS = ("class", "noise-rate", "both", "none")
_QUALITIES = ("self-confidence", "margin")
_ROWS = 10
_PAIRS = 5


def audit(
    run: Annotated[
        str | None,
        typer.Argument(metavar="[RUN]", help="Name or folder of a cv run; the newest one."),
    ] = None,
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder that holds the runs.")
    ] = Path("runs"),
    top: Annotated[
        int | None,
        typer.Option("--top", metavar="N", min=1, help="Print so many; else 10, as JSON all."),
    ] = None,
    prune: Annotated[
        str,
        typer.Option(
            "--prune",
            metavar="|".join(_PRUNINGS),
            help="What decides how many: noise of classes, of pairs, both; none lists every doubt.",
        ),
    ] = "class",
    rank: Annotated[
        str,
        typer.Option(
            "--rank",
            metavar="|".join(_QUALITIES),
            help="What puts them in order: the label's probability, or how far others exceed it.",
        ),
    ] = "self-confidence",
    json_: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Warnings and errors only.")] = False,
) -> None:
    """Find labels that are likely wrong, from a cv run's out-of-fold predictions.

    Writes label_audit.csv for review, and label_audit.html with the pictures, into the run.
    """
    console.set_verbosity(-1 if quiet else 0)
    for flag, value, known in (("--prune", prune, _PRUNINGS), ("--rank", rank, _QUALITIES)):
        if value not in known:
            raise SettingsError(f"{flag} {value} is none of {', '.join(known)}")
    from imgtrain.checking.audit import TABLE, as_json, data_root, review_rows, write_audit
    from imgtrain.checking.audit import audit as judge
    from imgtrain.report.audit_page import write_audit_page
    from imgtrain.report.gallery import reader_of

    folder = _folder(run, output)
    found = judge(folder, prune, rank)  # type: ignore[arg-type]  # checked above
    read = reader_of(data_root(folder))
    rows = review_rows(found)
    write_audit(found, rows, read)
    page = write_audit_page(found, rows, read)
    if json_:
        console.result(json.dumps(as_json(found, top)))
    elif found.suspects:
        console.show(_table(found, top or _ROWS))
    _tell(found, sum(bool(row[-1]) for row in rows))
    console.say(f"for review: {folder / TABLE}; with pictures: {page}")


def _folder(run: str | None, output: Path) -> Path:
    from imgtrain.checking.out_of_fold import NAME
    from imgtrain.rundir import find_run

    try:
        return find_run(run, output, having=NAME).path
    except RunError as error:
        if run is not None and run != "latest":
            raise
        raise RunError(
            f"there is no finished cv run in {output}",
            "labels are judged by models that have not seen them: imgtrain cv trains such",
        ) from error


def _tell(found: Audit, kept: int) -> None:
    """The estimate, the pairs that are mixed up most, what was kept."""
    from imgtrain.data.listing import count
    from imgtrain.metrics.label_quality import BELIEVED, agreement

    pictures, suspects = len(found.predictions.paths), len(found.suspects)
    top1 = agreement(found.predictions.labels, found.predictions.probs)
    if top1 < BELIEVED:
        console.warn(
            f"the folds' models agree with {100 * top1:.0f} % of the labels only: the list says "
            "more about them than about the labels (train the folds for longer)"
        )
    if not suspects:
        console.say(f"no label of {count(pictures, 'picture')} looks wrong")
    else:
        console.say(
            f"{suspects:,} of {count(pictures, 'label')} are likely wrong; estimated noise"
            f" {100 * found.noise.share:.1f} %"
        )
    for label, other, number, share in found.pairs()[:_PAIRS]:
        console.say(
            f"  {console.one_line(label)}, likely {console.one_line(other)}:"
            f" about {count(number, 'picture')} ({100 * share:.1f} % of the class)"
        )
    if kept:
        console.say(f"kept from the earlier list: {count(kept, 'answer')}")


def _table(found: Audit, rows: int) -> RenderableType:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("picture", overflow="fold")
    for title in ("label", "suggested"):
        table.add_column(title, overflow="fold")
        table.add_column("prob", justify="right", no_wrap=True)
    for number, s in enumerate(found.suspects[:rows], start=1):
        table.add_row(
            f"{number}",
            Text(console.one_line(s.path)),
            Text(console.one_line(s.label)),
            f"{s.p_label:.3f}",
            Text(console.one_line(s.suggested)),
            f"{s.p_suggested:.3f}",
        )
    return table
