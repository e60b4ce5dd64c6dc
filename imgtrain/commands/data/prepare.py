"""``imgtrain data prepare``: folders of pictures from archives that users fetch by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from imgtrain import console
from imgtrain.commands.layout import Command, Group
from imgtrain.errors import InterruptedRun

app = typer.Typer(
    add_completion=False,
    cls=Group,
    help="Make a folder of pictures from archives fetched by hand.",
    rich_markup_mode=None,
)


@app.callback()
def _prepare() -> None:
    """Make a folder of pictures from archives fetched by hand."""


@app.command(cls=Command)
def imagenet(
    *,
    archives: Annotated[
        Path,
        typer.Option(
            "--archives", metavar="DIR", help="Folder with the three ILSVRC2012 archives."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Folder that holds the set's; else the user's cache.",
        ),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Check the published MD5 sums first.")
    ] = True,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Warnings and errors only.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
) -> None:
    """Lay out ImageNet (ILSVRC 2012) as train and val, one folder a class."""
    from imgtrain.fetching.imagenet import prepare
    from imgtrain.fetching.sets import find_set, sets_folder

    console.set_verbosity(verbose - quiet)
    here = find_set("imagenet", output=output)
    if here is not None:
        console.say("imagenet is here already (remove the folder to prepare it again)")
    else:
        try:
            here = prepare(archives, output or sets_folder(), verify=verify)
        except KeyboardInterrupt as error:
            raise InterruptedRun(
                2, "stopped; the classes that are whole stay", "the same command goes on"
            ) from error
    console.result(json.dumps({"name": "imagenet", "path": str(here)}) if json_ else str(here))
