"""``imgtrain compare``: whether runs differ, or chance alone could have made the difference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from imgtrain import console


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN RUN", help="Names or folders of two runs, or more."),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder that holds the runs.")
    ] = Path("runs"),
    *,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare runs over the same folds and on the same test pictures, with tests of chance."""
    from imgtrain.report.contenders import read_contenders
    from imgtrain.report.pairs import compare as compared
    from imgtrain.report.verdicts import as_json, as_text
    from imgtrain.rundir import find_run

    contenders = read_contenders([find_run(run, output) for run in runs])
    pairs = compared(contenders)
    if json_:
        console.result(json.dumps(as_json(contenders, pairs)))
    else:
        console.result(as_text(contenders, pairs))
