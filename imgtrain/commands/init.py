"""``imgtrain init``: a settings file to start from."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from imgtrain import console
from imgtrain.errors import SettingsError


def init(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="File to write; .yaml is added.")
    ] = "imgtrain",
    *,
    template: Annotated[
        str, typer.Option("--template", "-t", metavar="NAME", help="Which starter file.")
    ] = "basic",
    list_: Annotated[bool, typer.Option("--list", help="List the starter files.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Write a commented settings file to start from."""
    from imgtrain.files import write_text
    from imgtrain.starters import starter_path

    if list_:
        console.result("\n".join(_listed()))
        return
    text = starter_path(template).read_text(encoding="utf-8")
    path = Path(name if name.endswith((".yaml", ".yml")) else f"{name}.yaml")
    if path.is_dir():
        raise SettingsError(f"{path} is a folder", "choose another name")
    if path.exists() and not force:
        raise SettingsError(f"{path} exists", "choose another name, or replace it with --force")
    write_text(path, text)
    console.result(str(path))
    command = "tune" if template == "search" else "train"
    console.say(f"edit it, then: imgtrain {command} -c {shlex.quote(str(path))}")


def _listed() -> list[str]:
    """Each starter file's name and first line."""
    from imgtrain.starters import read_template, starter_names

    names = starter_names()
    width = max(map(len, names))
    first = {name: read_template(f"{name}.yaml").partition("\n")[0] for name in names}
    return [f"{name:<{width}}  {first[name].lstrip('# ')}" for name in names]
