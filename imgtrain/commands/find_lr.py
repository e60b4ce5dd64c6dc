"""``imgtrain find-lr``: a test of learning rates."""

from __future__ import annotations

from typing import Annotated

import typer

from imgtrain.commands.flags import TRAINING, takes_settings
from imgtrain.settings.layers import Loaded


@takes_settings(*TRAINING, "run.output", "run.name")
def find_lr(
    loaded: Loaded,
    *,
    low: Annotated[
        float, typer.Option("--from", metavar="RATE", help="First and lowest rate.")
    ] = 1e-7,
    high: Annotated[float, typer.Option("--to", metavar="RATE", help="Last rate.")] = 10.0,
    steps: Annotated[
        int, typer.Option("--steps", metavar="N", help="Steps, each at a higher rate.")
    ] = 100,
    json_: Annotated[
        bool, typer.Option("--json", help="Print what was found as JSON on stdout.")
    ] = False,
) -> None:
    """Train some steps at rising learning rates, and suggest one from where the loss falls.

    The steps are those of imgtrain train with the same options; the weights are thrown away. The
    curve is written as CSV and PNG. Where the loss does not fall clearly, there is no suggestion.
    """
    from imgtrain import console
    from imgtrain.files import first_free
    from imgtrain.settings.classical import refuse_without_steps

    settings = loaded.settings
    refuse_without_steps(settings.model.name, "find-lr")
    from imgtrain.rate_finding import check_rate_is_open, checked_span, find_rate

    span = checked_span(low, high, steps)
    check_rate_is_open(loaded)
    console.say(f"reading {settings.data.root}, testing learning rates {span}")
    found = find_rate(settings, span)
    output = settings.run.output
    folder = output / first_free(lambda n: (output / n).exists(), f"find-lr-{found.name}")
    found.write(folder, folder)
    console.say(f"{found.what}; the curve is in {folder}")
    if json_:
        import json

        value = {"folder": str(folder), **found.to_dict()}
        console.result(json.dumps(value, ensure_ascii=False))
    else:
        console.result(found.sentence)
