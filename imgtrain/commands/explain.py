"""``imgtrain explain``: where a model looks, laid over pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from imgtrain import console
from imgtrain.commands.flags import takes_settings
from imgtrain.errors import DataError, SettingsError
from imgtrain.settings.layers import Loaded

if TYPE_CHECKING:
    from imgtrain.data.listing import Source
    from imgtrain.explain.explaining import Job
    from imgtrain.report.explained import Explained

_METHODS = "auto|gradcam|gradcam++|hirescam|occlusion|attention|rollout|gradient-attention"


@takes_settings("hardware.device", "hardware.gpus", "hardware.threads")
def explain(  # each is an option of the command line
    loaded: Loaded,
    pictures: Annotated[
        list[str] | None,
        typer.Argument(metavar="PICTURES", help="Files, folders, globs, or - for a list on stdin."),
    ] = None,
    *,
    run: Annotated[
        str | None,
        typer.Option(
            "--run",
            "-r",
            metavar="RUN",
            help="Run or model.safetensors; the newest run if not given.",
        ),
    ] = None,
    errors: Annotated[
        str | None,
        typer.Option(
            "--errors",
            metavar="RUN",
            help="Instead of PICTURES: this run's mistakes of which it was most sure.",
        ),
    ] = None,
    least_sure: Annotated[
        bool,
        typer.Option("--least-sure", help="With --errors: what it was least sure of, instead."),
    ] = False,
    part: Annotated[
        Literal["test", "val"] | None,
        typer.Option("--part", help="With --errors: which part's predictions; test if not given."),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option("--count", metavar="N", min=1, help="With --errors: how many; 24."),
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            metavar=_METHODS,
            help="auto is gradcam, for transformers gradient-attention, for sklearn: occlusion.",
        ),
    ] = "auto",
    layer: Annotated[
        str | None,
        typer.Option(
            "--layer",
            metavar="NAME|N",
            help="A module's name, or the number of a stage or layer of attention; the last.",
        ),
    ] = None,
    class_: Annotated[
        str | None,
        typer.Option(
            "--class",
            metavar="NAME",
            help="Where it sees this class; the predicted one if not given.",
        ),
    ] = None,
    window: Annotated[
        int | None,
        typer.Option(
            "--window", metavar="PIXELS", min=1, help="Side of the window of --method occlusion."
        ),
    ] = None,
    maps: Annotated[
        Literal["npy", "png"] | None,
        typer.Option("--maps", help="Keep each map too: its values, or a grey picture."),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            metavar="DIR",
            help="Folder of overlays and page; explain here, with --errors in the run.",
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder that holds the runs.")
    ] = Path("runs"),
    json_: Annotated[bool, typer.Option("--json", help="Print a JSON list on stdout.")] = False,
) -> None:
    """Show where a model looks in pictures, or in a run's mistakes: overlays and a page."""
    only = {"--least-sure": least_sure or None, "--part": part, "--count": count}
    _check(pictures, run, errors, only)
    from imgtrain.explain.explaining import Job, explain_all
    from imgtrain.explain.methods import Asked
    from imgtrain.explain.preparing import one_model, settled

    found = (
        _given(pictures or [], run)
        if errors is None
        else _of_run(errors, output, part or "test", count or 24, least_sure=least_sure)
    )
    if not len(found.pictures):
        console.say(f"{found.run}: no mistakes in its {part or 'test'} part to explain")
        _print_all([], as_json=json_)
        return
    name, predictor = one_model(found.run, output, loaded.settings.hardware)
    job = Job(
        run=name,
        predictor=predictor,
        explainer=settled(predictor, Asked(method, layer, window), class_),
        place=to or found.place,
        of=class_,
        raw=maps,
        truth=found.truth,
    )
    console.say(f"{name}: {job.way.method}, {job.way.layer}")
    rows = explain_all(job, found.pictures, (lambda _: None) if json_ else _tell(job))
    _print_all([as_json(row, job) for row in rows], as_json=json_)
    console.say(f"all on one page: {job.place / 'explain.html'}")
    if all(row.error is not None for row in rows):
        raise DataError(f"{len(rows)} of {len(rows)} pictures could not be read")


@dataclass(frozen=True, slots=True)
class _Found:
    """Which pictures, by whose model, and where their overlays go if nobody says.

    Args:
        pictures: Where they come from.
        truth: True classes by path.
        run: The model's run; None for the newest.
        place: The folder.
    """

    pictures: Source
    truth: Mapping[str, str]
    run: str | None
    place: Path


def _check(
    pictures: Sequence[str] | None, run: str | None, errors: str | None, only: Mapping[str, object]
) -> None:
    """Pictures, or a run's mistakes, and nothing that would be without effect."""
    if errors is None:
        idle = [flag for flag, value in only.items() if value is not None]
        if idle:
            raise SettingsError(f"{idle[0]} has an effect only with --errors RUN", "add that")
        if not pictures:
            raise SettingsError(
                "there is nothing to explain", "give pictures, or --errors RUN for its mistakes"
            )
        return
    if pictures or run is not None:
        raise SettingsError(
            f"--errors {errors} takes its pictures and its model from that run",
            f"leave out {'--run' if run is not None else 'the pictures'}",
        )


def _given(names: Sequence[str], run: str | None) -> _Found:
    from imgtrain.predicting.listing import list_pictures

    return _Found(list_pictures(names, fetch=None), {}, run, Path("explain"))


def _of_run(run: str, output: Path, part: str, count: int, *, least_sure: bool) -> _Found:
    from imgtrain.explain import of_run
    from imgtrain.rundir import find_run

    folder = find_run(run, output).path
    choice = of_run.least_sure if least_sure else of_run.mistakes
    chosen = of_run.chosen_of(folder, [(part, partial(choice, most=count))])
    return _Found(chosen.pictures, chosen.truth, str(folder), folder / "explain")


def _tell(job: Job) -> Callable[[Explained], None]:
    return lambda row: console.result(as_text(row, job))


def as_text(row: Explained, job: Job) -> str:
    """One picture's line."""
    path = console.one_line(row.path)
    if row.error is not None or row.file is None:
        return f"{path}\terror: {console.one_line(row.error or '')}"
    said = f"{console.one_line(row.pred or '')} {row.prob:.6f}"
    if row.true not in (None, row.pred):
        said += f", is {console.one_line(row.true or '')} {row.true_prob:.6f}"
    if row.of not in (None, row.pred):
        said += f", map of {console.one_line(row.of or '')} {row.of_prob:.6f}"
    return f"{path}\t{said}\t{console.one_line(str(job.place / row.file))}"


def as_json(row: Explained, job: Job) -> dict[str, Any]:
    """One picture's object."""
    return {
        "path": row.path,
        "pred": row.pred,
        "prob": _digits(row.prob),
        "true": row.true,
        "true_prob": _digits(row.true_prob),
        "class": row.of,
        "class_prob": _digits(row.of_prob),
        "method": job.way.method,
        "layer": job.way.layer,
        "file": None if row.file is None else str(job.place / row.file),
        "error": row.error,
    }


def _digits(prob: float | None) -> float | None:
    return None if prob is None else round(prob, 6)


def _print_all(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        console.result(json.dumps(rows))  # ASCII: any terminal, any name
