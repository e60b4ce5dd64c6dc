"""``imgtrain tune``: many short trainings, to find settings worth a long one."""

from __future__ import annotations

from typing import Annotated

import typer

from imgtrain import console
from imgtrain.commands.flags import TRAINING, takes_settings
from imgtrain.settings.layers import Loaded


@takes_settings(*TRAINING, "track", "run", "tune", "cv.folds", "cv.repeats", "cv.folds_file")
def tune(
    loaded: Loaded,
    *,
    from_: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            metavar="RUN|STUDY",
            help="Begin from what an earlier run or study found; may be given several times.",
        ),
    ] = None,
    retrain: Annotated[
        bool,
        typer.Option(
            "--retrain", help="Train the best settings for --epochs, and score test once."
        ),
    ] = False,
    json_: Annotated[
        bool, typer.Option("--json", help="Print what was found as JSON on stdout.")
    ] = False,
) -> None:
    """Search for good settings: short trials on train and val; the test part is never read.

    Trials are ordinary runs in the study's folder, next to trials.csv and best_config.yaml, which
    train -c takes. The same command goes on with its own study; more --trials add to it.
    """
    from imgtrain.tuning.searching import tune as search

    result = search(loaded.settings, origins=loaded.origins, earlier=from_ or (), retrain=retrain)
    if json_:
        import json

        console.result(json.dumps(result.found, ensure_ascii=False))
