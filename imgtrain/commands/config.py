"""``imgtrain config``: the settings, who set them, and their schema."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from imgtrain import console
from imgtrain.commands.flags import TRAINING, takes_settings
from imgtrain.commands.layout import Command, Group
from imgtrain.settings.layers import Loaded

app = typer.Typer(
    add_completion=False,
    cls=Group,
    help="Show settings, who set them, and their schema.",
    rich_markup_mode=None,
)


@app.command(cls=Command)
@takes_settings(*TRAINING, "track", "run", "predict", "cv", "tune")
def show(
    loaded: Loaded,
    *,
    origin: Annotated[bool, typer.Option("--origin", help="Add who set each value.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON, not YAML.")] = False,
) -> None:
    """Print all settings as the layers give them: a file that train -c takes."""
    from imgtrain.settings.layers import nested, public, to_yaml

    settings, origins = loaded.settings, loaded.origins
    if not json_:
        shown = to_yaml(settings, origins=origins if origin else None)
        console.result(shown.rstrip("\n"))
        return
    import json

    value: dict[str, Any] = {"settings": nested(public(settings))}
    if origin:
        value["origins"] = dict(origins)
    console.result(json.dumps(value, indent=2, ensure_ascii=False))


@app.command(cls=Command)
def schema() -> None:
    """Print the JSON schema of settings files, for editors."""
    import json

    from imgtrain.settings.schema import Settings

    value = Settings.model_json_schema()
    for name, section in value["properties"].items():
        # A section whose lines are all commented out is null.
        value["properties"][name] = {"anyOf": [section, {"type": "null"}]}
    value = {"$schema": "https://json-schema.org/draft/2020-12/schema", **value}
    console.result(json.dumps(value, indent=2, ensure_ascii=False))
