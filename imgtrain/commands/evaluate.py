"""``imgtrain evaluate``: a trained model scored on labelled pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from imgtrain import console
from imgtrain.commands.flags import takes_settings
from imgtrain.data.split import HELD
from imgtrain.errors import SettingsError, nearest
from imgtrain.settings.layers import Loaded


@takes_settings("augment.tta", "hardware")
def evaluate(  # each is an option of the command line
    loaded: Loaded,
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN",
            help="Run, cv run or model.safetensors; several are one model. The newest run.",
        ),
    ] = None,
    *,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            "-d",
            metavar="PATH|NAME",
            help="Labelled pictures: folder, manifest or known set; the run's own if not given.",
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            metavar="test|val|train|calibration",
            help="Part of the data; test if not given.",
        ),
    ] = None,
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate",
            help="Fit a temperature on the calibration part (or --data); the model keeps it.",
        ),
    ] = False,
    threshold_for: Annotated[
        str | None,
        typer.Option(
            "--threshold-for",
            metavar="[CLASS:]precision|recall=X",
            help="Find the confidence from which on answers reach this.",
        ),
    ] = None,
    slice_: Annotated[
        list[str] | None,
        typer.Option(
            "--slice",
            metavar="COLUMN",
            help="Tell scores apart by this column; all with few values if not given.",
        ),
    ] = None,
    corruptions: Annotated[
        bool,
        typer.Option("--corruptions", help="Score noisy, blurred, ... pictures, too."),
    ] = False,
    ensemble: Annotated[
        str | None,
        typer.Option(
            "--ensemble",
            metavar="mean|logits|vote",
            help="How several models are combined: as the cv run says, else mean, if not given.",
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="DIR", help="Write here, not into the run's evaluations."),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder that holds the runs.")
    ] = Path("runs"),
    json_: Annotated[
        bool, typer.Option("--json", help="Print the run and its metrics as JSON on stdout.")
    ] = False,
) -> None:
    """Score a trained model, or several as one, on labelled pictures.

    Without --data these are the run's own test part, which no training saw. Everything is written
    into RUN/evaluations.
    """
    if split is not None and split not in HELD:
        raise SettingsError(
            f"--split {split} is no part{nearest(split, HELD)}", f"parts are {', '.join(HELD)}"
        )
    from imgtrain.evaluating.asked import Asked
    from imgtrain.evaluating.goals import Goal
    from imgtrain.evaluating.whole import evaluate_asked
    from imgtrain.report.evaluation import evaluation_text

    found = evaluate_asked(
        Asked(
            runs=tuple(runs or ()),
            output=output,
            data=data,
            split=split,
            ensemble=ensemble,
            tta=loaded.settings.augment.tta,
            calibrate=calibrate,
            goal=None if threshold_for is None else Goal.parse(threshold_for),
            corrupt=corruptions,
            slices=tuple(slice_ or ()),
            to=to,
            hardware=loaded.settings.hardware,
        )
    )
    metrics = dict(found.metrics)
    if json_:
        value = {"run": metrics["runs"][0], "metrics": metrics}
        console.result(json.dumps(value, ensure_ascii=False))
    else:
        console.result(evaluation_text(metrics))
    console.say(f"evaluation: {found.folder}")
