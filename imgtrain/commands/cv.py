"""``imgtrain cv``: folds, each a training, their ensemble, and one honest test."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from imgtrain import console
from imgtrain.commands.flags import TRAINING, takes_settings
from imgtrain.commands.train import leave_to_several, let_first_speak, with_auto_batch
from imgtrain.errors import SettingsError
from imgtrain.settings.layers import Loaded


@takes_settings(*TRAINING, "track", "run", "cv")
def cv(
    loaded: Loaded,
    ctx: typer.Context,
    *,
    run: Annotated[
        str | None,
        typer.Argument(metavar="[RUN]", help="With --collect: the run; the newest if not given."),
    ] = None,
    collect: Annotated[
        bool,
        typer.Option("--collect", help="Train nothing: join the folds that --fold trained apart."),
    ] = False,
    auto_batch_size: Annotated[
        bool, typer.Option("--auto-batch-size", help="The same as --batch-size auto.")
    ] = False,
    json_: Annotated[
        bool, typer.Option("--json", help="Print the run and its metrics as JSON on stdout.")
    ] = False,
) -> None:
    """Train on every fold, ensemble them, and score the untouched test part once.

    The test part is held out before the folds are cut. The same command goes on with its own
    unfinished cross-validation.
    """
    loaded = with_auto_batch(loaded) if auto_batch_size else loaded
    loaded = _joining(loaded, run, collect=collect)
    if loaded.settings.cv.parallel == 1:
        leave_to_several(loaded, ctx)
    let_first_speak()
    from imgtrain.crossval.at_once import follow_leader
    from imgtrain.crossval.whole import cross_validate

    follow_leader()
    result = cross_validate(loaded.settings, origins=loaded.origins, joins=collect)
    if json_:
        value = {"run": str(result.run), "metrics": dict(result.metrics)}
        console.result(json.dumps(value, ensure_ascii=False))


def _joining(loaded: Loaded, run: str | None, *, collect: bool) -> Loaded:
    """``--collect RUN`` names a run as ``--resume`` does, and trains nothing."""
    from imgtrain.settings.cv_checks import check_cv

    settings = loaded.settings
    check_cv(settings)
    if run is not None and not collect:
        raise SettingsError(
            f"{run} names a run, and only --collect takes one",
            f"imgtrain cv --collect {run} joins its folds; --resume {run} goes on with it",
        )
    if not collect:
        return loaded
    for flag, is_on in (
        ("--fold", settings.cv.fold is not None),
        ("--fresh", settings.run.fresh),
        ("--resume", settings.run.resume is not None),
        ("--parallel", settings.cv.parallel > 1),
    ):
        if is_on:
            raise SettingsError(
                f"--collect joins folds that are trained, {flag} is about training",
                "leave out one of them",
            )
    named = settings.run.model_copy(update={"resume": run})
    return Loaded(settings.model_copy(update={"run": named}), loaded.origins)
