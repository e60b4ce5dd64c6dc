"""``imgtrain init``: a settings file to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from imgtrain import console
from imgtrain.errors import SettingsError, nearest


def init(
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="File to write; .yaml is added.")
    ] = "imgtrain",
    *,
    template: Annotated[
        str, typer.Option("--template", "-t", help="Which starter file.", metavar="NAME")
    ] = "basic",
    list_: Annotated[bool, typer.Option("--list", help="List the starter files.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Write a commented settings file to start from."""
    from imgtrain.files import write_text
    from imgtrain.starters import read_template, starter_names

    known = starter_names()
    if list_:
        for one in known:
            first = read_template(f"{one}.yaml").splitlines()[0]
            console.result(f"{one:<10} {first.lstrip('# ')}")
        return
    if template not in known:
        raise SettingsError(
            f"--template {template}: no such starter file{nearest(template, known)}",
            f"there are: {', '.join(known)}",
        )
    path = Path(name if name.endswith((".yaml", ".yml")) else f"{name}.yaml")
    if path.exists() and not force:
        raise SettingsError(f"{path} exists", "choose another name, or replace it with --force")
    write_text(path, read_template(f"{template}.yaml"))
    console.result(str(path))
    console.say(f"edit it, then: imgtrain train -c {path}")
