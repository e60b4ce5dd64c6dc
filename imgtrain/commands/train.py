"""``imgtrain train``: one training, from pictures to a report."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from imgtrain import console
from imgtrain.commands.flags import TRAINING, takes_settings
from imgtrain.errors import SettingsError
from imgtrain.settings.layers import Loaded


@takes_settings(*TRAINING, "track", "run")
def train(
    loaded: Loaded,
    ctx: typer.Context,
    *,
    auto_batch_size: Annotated[
        bool, typer.Option("--auto-batch-size", help="The same as --batch-size auto.")
    ] = False,
    json_: Annotated[
        bool, typer.Option("--json", help="Print the run and its metrics as JSON on stdout.")
    ] = False,
) -> None:
    """Train a model on labelled pictures, score it once on the test part, write a report.

    Without arguments it trains on the built-in digits. The same command goes on with its own
    unfinished run.
    """
    loaded = with_auto_batch(loaded) if auto_batch_size else loaded
    leave_to_several(loaded, ctx)
    let_first_speak()
    from imgtrain.training import train as train_model

    result = train_model(loaded.settings, origins=loaded.origins)
    if json_:
        import json

        value = {"run": str(result.run), "metrics": dict(result.metrics)}
        console.result(json.dumps(value, ensure_ascii=False))


def leave_to_several(loaded: Loaded, ctx: typer.Context) -> None:
    """Where several processes are asked for: start them, and leave with their exit code.

    Raises:
        typer.Exit: Once they have ended.
    """
    from imgtrain.launching import launch, must_launch, refuse_missing, wanted_processes

    told = (loaded.origins[f"hardware.{key}"] for key in ("processes", "gpus"))
    processes = wanted_processes(loaded.settings, is_told=any(t != "default" for t in told))
    hardware = loaded.settings.hardware
    if must_launch(hardware, processes):
        refuse_missing(loaded.settings, processes)
        restarts = hardware.max_restarts
        raise typer.Exit(launch(processes, ctx.find_root().obj, max_restarts=restarts))


def let_first_speak() -> None:
    """Of several processes the first speaks for all, under torchrun, too."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and os.environ.get("RANK", "0") != "0":
        console.silence()


def with_auto_batch(loaded: Loaded) -> Loaded:
    """``--batch-size auto`` by its other name.

    Raises:
        SettingsError: If a flag gives a number.
    """
    from imgtrain.settings.layers import flatten, from_flat

    key, size = "train.batch_size", loaded.settings.train.batch_size
    if size != "auto" and loaded.origins[key].startswith("flag"):
        raise SettingsError(
            f"--auto-batch-size looks for a size, --batch-size {size} gives one",
            "leave out one of them",
        )
    settings = from_flat({**flatten(loaded.settings), key: "auto"})
    return Loaded(settings, {**loaded.origins, key: "flag --auto-batch-size"})
