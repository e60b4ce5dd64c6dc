"""``imgtrain report``: write a run's page again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[
        str | None, typer.Argument(metavar="RUN", help="Name or folder of a run; the newest one.")
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder that holds the runs.")
    ] = Path("runs"),
) -> None:
    """Write a run's report.html again, and print where it is."""
    from imgtrain.console import result
    from imgtrain.report.page import write_page
    from imgtrain.rundir import find_run

    result(str(write_page(find_run(run, output).path)))
