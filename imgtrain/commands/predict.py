"""``imgtrain predict``: classes and probabilities of pictures."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imgtrain import console
from imgtrain.commands.flags import takes_settings
from imgtrain.errors import DataError
from imgtrain.settings.layers import Loaded

if TYPE_CHECKING:
    from imgtrain.predictor import Prediction


@takes_settings("predict", "augment.tta", "hardware")
def predict(  # each is an option of the command line
    loaded: Loaded,
    pictures: Annotated[
        list[str],
        typer.Argument(metavar="PICTURES", help="Files, folders, globs, or - for a list on stdin."),
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
        Path | None, typer.Option("--csv", help="Write every class's probability to this file.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 3 if any picture cannot be read.")
    ] = False,
) -> None:
    """Classify pictures with a trained model, or with several as one."""
    paths = list(expand(pictures))
    if not paths:
        raise DataError(
            f"no pictures in {', '.join(pictures)}", "give files, folders, globs, or - for stdin"
        )
    from imgtrain.predictor import load

    predictor = load(
        run or None, output=output, hardware=loaded.settings.hardware, ensemble=ensemble
    )
    classes, top_k = predictor.classes, loaded.settings.predict.top_k
    failed = 0
    with _writing(csv_file, classes) as write:
        rows = []
        for found in predictor.stream(paths, tta=loaded.settings.augment.tta):
            failed += found.error is not None
            write(found)
            if json_:
                rows.append(as_json(found, classes, top_k))
            else:
                console.result(as_text(found, classes, top_k, alone=len(paths) == 1))
    if json_:
        console.result(json.dumps(rows))  # ASCII: any terminal, any name
    if failed and (strict or failed == len(paths)):
        raise DataError(f"{failed} of {len(paths)} pictures could not be read")


def expand(names: Iterable[str]) -> Iterator[str]:
    """Files as they are; pictures in folders, below globs, and listed on stdin.

    A name that matches nothing is passed on: its row will say that it is not there.
    """
    from glob import glob, has_magic

    from imgtrain.data.walk import is_hidden, is_picture

    for name in names:
        if name == "-":
            listed = (line.rstrip(b"\r\n") for line in sys.stdin.buffer)
            yield from (os.fsdecode(line) for line in listed if line.strip())
        elif os.path.isdir(name):  # noqa: PTH112  # unlike Path's, never raises
            inside = (
                p
                for p in Path(name).rglob("*")
                if not any(is_hidden(os.fsencode(part)) for part in p.relative_to(name).parts)
            )
            yield from sorted(
                str(p) for p in inside if is_picture(os.fsencode(p.name)) and p.is_file()
            )
        elif not os.path.lexists(name) and has_magic(name):
            found = glob(name, recursive=True)  # noqa: PTH207  # relative, absolute and ** alike
            yield from sorted(f for f in found if Path(f).is_file()) or [name]
        else:
            yield name


def _best(found: Prediction, classes: tuple[str, ...], top_k: int) -> list[tuple[str, float]]:
    """The likeliest classes and their probabilities, likeliest first."""
    assert found.probs is not None
    order = (-found.probs).argsort(kind="stable")[:top_k]
    return [(classes[k], float(found.probs[k])) for k in order.tolist()]


def as_json(found: Prediction, classes: tuple[str, ...], top_k: int) -> dict[str, Any]:
    """One picture's object."""
    if found.probs is None:
        return {"path": found.path, "pred": None, "prob": None, "top": [], "error": found.error}
    best = _best(found, classes, top_k)
    top = [{"class": name, "prob": round(prob, 6)} for name, prob in best]
    return {
        "path": found.path,
        "pred": best[0][0],
        "prob": round(best[0][1], 6),
        "top": top,
        "error": None,
    }


def as_text(found: Prediction, classes: tuple[str, ...], top_k: int, *, alone: bool) -> str:
    """One picture for people: a small table when it is alone, else a line."""
    if found.probs is None:
        return f"{console.one_line(found.path)}\terror: {console.one_line(found.error or '')}"
    best = [(console.one_line(name), prob) for name, prob in _best(found, classes, top_k)]
    if not alone:
        shown = "  ".join(f"{name} {prob:.6f}" for name, prob in best)
        return f"{console.one_line(found.path)}\t{shown}"
    width = max(len("class"), *(len(name) for name, _ in best))
    lines = [console.one_line(found.path), f"{'class':<{width}}  probability"]
    return "\n".join([*lines, *(f"{name:<{width}}  {prob:.6f}" for name, prob in best)])


@contextlib.contextmanager
def _writing(path: Path | None, classes: tuple[str, ...]) -> Iterator[Any]:
    """A function that adds a row to the CSV file, or does nothing."""
    if path is None:
        yield lambda _: None
        return
    from imgtrain.files import replacing

    with replacing(path) as handle:
        text = io.TextIOWrapper(handle, encoding="utf-8", errors="backslashreplace", newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["path", "pred", "prob", *(f"prob_{name}" for name in classes), "error"])

        def write(found: Prediction) -> None:
            if found.probs is None:
                writer.writerow([found.path, "", "", *([""] * len(classes)), found.error])
                return
            name, prob = _best(found, classes, 1)[0]
            probs = [f"{p:.6f}" for p in found.probs.tolist()]
            writer.writerow([found.path, name, f"{prob:.6f}", *probs, ""])

        yield write
        text.flush()
        text.detach()
