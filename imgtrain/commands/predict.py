"""``imgtrain predict``: classes and probabilities of pictures."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from imgtrain.commands.flags import takes_settings
from imgtrain.errors import DataError
from imgtrain.settings.layers import Loaded


@takes_settings(
    "predict",
    "augment.tta",
    "hardware",
    names={"predict.batch_size": ("--batch-size", "-b")},
)
def predict(  # each is an option of the command line
    loaded: Loaded,
    pictures: Annotated[
        list[str],
        typer.Argument(
            metavar="PICTURES",
            help="Files, folders, globs, manifests (.csv, .parquet), or - for a list on stdin.",
        ),
    ],
    *,
    run: Annotated[
        list[str] | None,
        typer.Option(
            "--run",
            "-r",
            metavar="RUN",
            help="Run, cv run or file of a model, or several; the newest run if not given.",
        ),
    ] = None,
    ensemble: Annotated[
        str | None,
        typer.Option(
            "--ensemble",
            metavar="mean|logits|vote",
            help="How several models are combined: as the cv run says, else mean, if not given.",
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder that holds the runs.")
    ] = Path("runs"),
    json_: Annotated[bool, typer.Option("--json", help="Print a JSON list on stdout.")] = False,
    csv_file: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="Write every class's probability to this file."),
    ] = None,
    jsonl: Annotated[
        str | None,
        typer.Option("--jsonl", metavar="FILE", help="Write a JSON object a line; - is stdout."),
    ] = None,
    parquet: Annotated[
        Path | None,
        typer.Option("--parquet", metavar="FILE", help="Write a Parquet file."),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Write these files anew, whatever they hold.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 3 if any picture cannot be read.")
    ] = False,
) -> None:
    """Classify pictures with a trained model, or with several as one.

    Interrupted, the same command goes on with its files.
    """
    from imgtrain.predicting.listing import list_pictures
    from imgtrain.predicting.web import Web

    settings = loaded.settings
    with contextlib.ExitStack() as stack:
        fetch = stack.enter_context(Web()).read if settings.predict.urls else None
        listed = list_pictures(pictures, fetch=fetch)
        from imgtrain.ensemble import choose
        from imgtrain.predicting.work import Wanted, prepare, score

        chosen = choose(run or None, output, ensemble)
        wanted = Wanted(csv=csv_file, jsonl=jsonl, parquet=parquet, json=json_, fresh=fresh)
        failed = score(stack.enter_context(prepare(listed, chosen, settings, wanted)))
    if failed and (strict or failed == len(listed)):
        raise DataError(f"{failed} of {len(listed)} pictures could not be read")
