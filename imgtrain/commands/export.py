"""``imgtrain export``: a trained model as a file that other programs run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imgtrain import console
from imgtrain.commands.flags import takes_settings
from imgtrain.errors import SettingsError
from imgtrain.settings.layers import Loaded
from imgtrain.settings.schema import HardwareSettings

if TYPE_CHECKING:
    from imgtrain.export.pruning import Pruned


@dataclass(frozen=True, slots=True)
class Where:
    """What comes from where, and goes where."""

    runs: tuple[str, ...]
    output: Path
    to: Path | None
    data: str | None


@takes_settings("data.root", "hardware.threads")
def export(  # each is an option of the command line
    loaded: Loaded,
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN",
            help="Run, cv run or model.safetensors, or several as one; the newest if not given.",
        ),
    ] = None,
    *,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            metavar="onnx|torch|torchscript|openvino",
            help="Of the file; from the name of --to, else onnx, if not given.",
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to", metavar="FILE", help="The file or its folder; RUN/export if not given."
        ),
    ] = None,
    ensemble: Annotated[
        str | None,
        typer.Option(
            "--ensemble",
            metavar="mean|logits",
            help="How several models are combined: as the cv run says, else mean, if not given.",
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder that holds the runs.")
    ] = Path("runs"),
    pictures: Annotated[
        int | None,
        typer.Option(
            "--pictures",
            metavar="N",
            min=1,
            help="Compare file and run on so many of val, else test; 256, or all with --int8.",
        ),
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="Weights and activations in 8 bits (onnx, openvino).")
    ] = False,
    calibration_pictures: Annotated[
        int | None,
        typer.Option(
            "--calibration-pictures",
            metavar="N",
            min=1,
            help="Training pictures that set the ranges of --int8 (256).",
        ),
    ] = None,
    max_accuracy_drop: Annotated[
        float | None,
        typer.Option(
            "--max-accuracy-drop",
            metavar="SHARE",
            min=0,
            max=1,
            help="Let --int8 fail if top-1 falls by more (0.01).",
        ),
    ] = None,
    prune: Annotated[
        float | None,
        typer.Option(
            "--prune",
            metavar="SHARE",
            help="Write weights with so many fewer channels instead, for train --weights.",
        ),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print what was measured as JSON.")] = False,
) -> None:
    """Write a model file for other programs, with preprocessing and classes inside.

    The file is compared with the run on real pictures and is only left there if it answers alike.
    """
    data = loaded.settings.data.root if loaded.origins["data.root"] != "default" else None
    if prune is not None:
        _refuse(
            "--prune",
            {
                "--format": format_,
                "--ensemble": ensemble,
                "--pictures": pictures,
                "--int8": int8 or None,
            },
        )
        where = Where(tuple(runs or ()), output, to, data)
        _prune(where, prune, loaded.settings.hardware, as_json=json_)
        return
    if not int8:
        _refuse_without_int8(calibration_pictures, max_accuracy_drop)
    from imgtrain.export.exporting import Wish
    from imgtrain.export.exporting import export as write
    from imgtrain.export.formats import choose_format

    wish = Wish(
        runs=tuple(runs or ()),
        output=output,
        format=choose_format(format_, to),
        to=to,
        ensemble=ensemble,
        data=data,
        pictures=pictures,
        int8=int8,
        hardware=loaded.settings.hardware,
        calibration_pictures=calibration_pictures,
        max_accuracy_drop=max_accuracy_drop,
    )
    written = write(wish)
    if json_:
        console.result(json.dumps({"file": str(written.file), **written.record}))
        return
    console.result(_as_text(written.file.name, written.record).rstrip())
    console.say(f"written: {written.file}")


def _refuse(flag: str, others: dict[str, object]) -> None:
    """What has no meaning beside ``flag``."""
    for other, value in others.items():
        if value is not None:
            raise SettingsError(
                f"{flag} writes weights to train on, and {other} is about files to run",
                f"leave out {other}; export the run that was trained on",
            )


def _refuse_without_int8(pictures: int | None, drop: float | None) -> None:
    given = {"--calibration-pictures": pictures, "--max-accuracy-drop": drop}
    for flag, value in given.items():
        if value is not None:
            raise SettingsError(
                f"{flag} has an effect only with --int8", "add that, or leave it out"
            )


def _as_text(name: str, record: dict[str, Any]) -> str:
    """Size, accuracy and time before and after."""
    header = ["", "MB", "top-1", "ms for 1", "ms for 32"]
    rows = []
    for what, key in (("run", "before"), (name, "after")):
        found = record[key]
        times = [f"{taken:.2f}" for taken in found["milliseconds"].values()]
        rows.append([what, f"{found['bytes'] / 1e6:.2f}", _percent(found["top1"]), *times])
    return console.text_table(header, rows)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f} %"


def _prune(where: Where, share: float, hardware: HardwareSettings, *, as_json: bool) -> None:
    if not 0 < share < 1:
        raise SettingsError(f"--prune {share:g} is no share", "give a number between 0 and 1")
    if len(where.runs) > 1:
        raise SettingsError("--prune is of one network", "name one run")
    from imgtrain.export.pruning import PruneWish, prune, tell

    wish = PruneWish(
        run=next(iter(where.runs), None),
        output=where.output,
        share=share,
        to=where.to,
        data=where.data,
        hardware=hardware,
    )
    found = prune(wish)
    console.result(json.dumps(_pruned_json(found)) if as_json else _pruned_text(found).rstrip())
    tell(found, where.data)


def _pruned_json(found: Pruned) -> dict[str, Any]:
    sides = {"before": found.before, "after": found.after}
    costs = {
        side: {"parameters": cost.parameters, "macs": round(cost.macs), "top1": cost.top1}
        for side, cost in sides.items()
    }
    return {"file": str(found.file), **costs}


def _pruned_text(found: Pruned) -> str:
    rows = [
        [what, f"{cost.parameters:,}", f"{cost.macs / 1e6:,.1f}", _percent(cost.top1)]
        for what, cost in (("run", found.before), (found.file.name, found.after))
    ]
    return console.text_table(["", "parameters", "MMACs", "top-1"], rows)
