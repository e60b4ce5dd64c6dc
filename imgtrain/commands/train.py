"""``imgtrain train``: one training, from pictures to a report."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from imgtrain import console
from imgtrain.commands.flags import takes_settings
from imgtrain.settings.layers import Loaded


@takes_settings("data", "augment", "model", "loss", "optim", "schedule", "train", "hardware", "run")
def train(
    loaded: Loaded,
    *,
    json_: Annotated[
        bool, typer.Option("--json", help="Print the run and its metrics as JSON on stdout.")
    ] = False,
) -> None:
    """Train a model on labelled pictures, score it once on the test part, write a report.

    Without arguments it trains on the built-in digits. The same command goes on with its own
    unfinished run.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and os.environ.get("RANK", "0") != "0":
        console.silence()  # the first of torchrun's processes speaks for all
    resume = loaded.settings.run.resume
    console.say(f"reading {loaded.settings.data.root}" if resume is None else f"resuming {resume}")
    from imgtrain.training import train as train_model

    result = train_model(loaded.settings, origins=loaded.origins)
    if json_:
        import json

        value = {"run": str(result.run), "metrics": dict(result.metrics)}
        console.result(json.dumps(value, ensure_ascii=False))
