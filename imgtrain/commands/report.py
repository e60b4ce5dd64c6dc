"""``imgtrain report``: write a run's page again, or one of several runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from imgtrain.rundir import RunDir


def report(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN", help="Names or folders of runs; the newest one. Several are compared."
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder that holds the runs.")
    ] = Path("runs"),
    *,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="First map where the model looks in the page's pictures."),
    ] = False,
) -> None:
    """Write the report.html of a run or a study again, or compare several; print where it is."""
    from imgtrain.console import result
    from imgtrain.rundir import find_run

    found = [find_run(run, output) for run in runs or (None,)]
    if explain:
        _explain(found)
    result(str(_page(found[0]) if len(found) == 1 else _comparison(found, output)))


def _explain(runs: list[RunDir]) -> None:
    """Overlays of the pictures that the page of one training shows, in its folder ``explain``."""
    from imgtrain.errors import SettingsError

    if len(runs) > 1 or runs[0].status().get("kind") in ("cv", "tune"):
        raise SettingsError(
            "--explain is for the page of one training",
            "name one run, such as a fold: imgtrain report RUN/fold_1 --explain",
        )
    from imgtrain.explain.of_run import explain_page

    explain_page(runs[0].path)


def _page(run: RunDir) -> Path:
    """The page of what the folder holds: a run, a cross-validation or a study."""
    kind = run.status().get("kind")
    if kind == "cv":
        from imgtrain.report.cv_page import write_cv_page

        return write_cv_page(run.path)
    if kind == "tune":
        from imgtrain.report.study_page import rewrite_study_page

        return rewrite_study_page(run.path)
    from imgtrain.report.page import write_page

    return write_page(run.path)


def _comparison(runs: list[RunDir], output: Path) -> Path:
    from imgtrain.report.comparison_page import page_name, write_comparison_page
    from imgtrain.report.contenders import read_contenders

    contenders = read_contenders(runs)
    return write_comparison_page(output / page_name(contenders), contenders)
