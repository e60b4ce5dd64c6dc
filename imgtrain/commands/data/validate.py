"""``imgtrain data validate``: a look at every file, and what is wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from imgtrain import console
from imgtrain.errors import DataError, SettingsError

if TYPE_CHECKING:
    from imgtrain.checking.survey import Survey

_GATES = ("error", "warning")


def validate(
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="A folder, a manifest, or the name of a set.")
    ],
    *,
    fail_on: Annotated[
        str,
        typer.Option("--fail-on", metavar="error|warning", help="Exit with 3 for such findings."),
    ] = "error",
    json_: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write a page with thumbnails, too."),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", "-j", metavar="N", min=1, help="Threads; else one a core."),
    ] = None,
    group_by: Annotated[
        str | None,
        typer.Option("--group-by", help="Manifest column, or regular expression on the path."),
    ] = None,
    near: Annotated[
        bool, typer.Option("--near/--no-near", help="Look for re-encoded copies, too.")
    ] = True,
    max_pixels: Annotated[
        int,
        typer.Option("--max-pixels", metavar="N", min=1, help="Pictures with more count as bad."),
    ] = 100_000_000,
    min_side: Annotated[
        int,
        typer.Option(
            "--min-side", metavar="N", min=0, help="Shorter side in pixels; below is too small."
        ),
    ] = 16,
    max_aspect: Annotated[
        float,
        typer.Option(
            "--max-aspect", metavar="RATIO", min=1, help="Longer side over shorter; above is odd."
        ),
    ] = 4.0,
    max_imbalance: Annotated[
        float,
        typer.Option(
            "--max-imbalance", metavar="RATIO", min=1, help="Largest class over smallest."
        ),
    ] = 10.0,
    dark: Annotated[
        float,
        typer.Option(
            "--dark", metavar="LEVEL", min=0, help="Dark: 95 % of the pixels below this, of 255."
        ),
    ] = 40.0,
    bright: Annotated[
        float,
        typer.Option(
            "--bright", metavar="LEVEL", min=0, help="Bright: 95 % of the pixels above this."
        ),
    ] = 215.0,
    blur: Annotated[
        float,
        typer.Option("--blur", metavar="NUMBER", min=0, help="Blurred: the Laplacian varies less."),
    ] = 5.0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Warnings and errors only.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
) -> None:
    """Look at every file and report what is wrong with the pictures, the parts and the classes."""
    console.set_verbosity(verbose - quiet)
    if fail_on not in _GATES:
        raise SettingsError(f"--fail-on {fail_on} is none of {', '.join(_GATES)}")
    from imgtrain.checking.judging import Limits
    from imgtrain.checking.survey import survey

    limits = Limits(
        max_pixels=max_pixels,
        min_side=min_side,
        max_aspect=max_aspect,
        max_imbalance=max_imbalance,
        dark=dark,
        bright=bright,
        blur=blur,
    )
    found = survey(
        _place(path), limits=limits, group_by=group_by, jobs=jobs or os.cpu_count() or 1, near=near
    )
    if html is not None:
        _write_page(html, found)
    _tell(found, as_text=not json_)
    _gate(path, found, fail_on)


def _place(path: str) -> str:
    """The path as it is, or where the known set of that name lies."""
    from imgtrain.known_sets import find_root

    found = find_root(path)
    if found is None:
        raise DataError(
            f"the known set {path} is not on this machine",
            f"imgtrain data download {path} fetches it",
        )
    return found


def _write_page(file: Path, found: Survey) -> None:
    from imgtrain.checking.page import write_page

    if found.tree.is_folder and file.resolve().is_relative_to(Path(found.tree.root).resolve()):
        raise SettingsError(
            f"--html {file} lies in the data folder, where nothing is written",
            "choose a place outside",
        )
    write_page(file, found)
    console.say(f"page: {file}")


def _tell(found: Survey, *, as_text: bool) -> None:
    from imgtrain.checking.tables import as_json, class_lines, findings_table, summary

    if not as_text:
        console.result(json.dumps(as_json(found)))  # ASCII: any terminal, any name
        return
    for line in class_lines(found):
        console.detail(line)
    if found.findings:
        console.show(findings_table(found.findings))
    console.say(summary(found))


def _gate(path: str, found: Survey, fail_on: str) -> None:
    from imgtrain.checking.findings import at_or_above
    from imgtrain.data.listing import count

    severity: Literal["error", "warning"] = "error" if fail_on == "error" else "warning"
    bad = at_or_above(found.findings, severity)
    if bad:
        cleans = found.tree.is_folder
        mend = "imgtrain data clean says what it would move aside; " if cleans else ""
        what = "finding" if severity == "warning" else "error"
        raise DataError(
            f"{path} has {count(len(bad), what)} (--fail-on {fail_on})",
            f"{mend}--html FILE shows the pictures",
        )
