"""``imgtrain models``: which models there are, and what one of them costs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imgtrain import console
from imgtrain.commands.flags import takes_settings
from imgtrain.errors import SettingsError
from imgtrain.settings.layers import Loaded
from imgtrain.settings.schema import Settings

if TYPE_CHECKING:
    from imgtrain.engine.census import Family, Listed
    from imgtrain.engine.summary import Summary


@takes_settings(
    "data.image_size",
    "data.channels",
    "model.stem",
    "model.head",
    "model.attention",
    "model.attention_index",
    "train.batch_size",
    "hardware.precision",
)
def models(  # each is an option of the command line
    loaded: Loaded,
    patterns: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATTERN",
            help="Names, parts of names, or globs as in 'resnet*'; without any, the families.",
        ),
    ] = None,
    *,
    pretrained: Annotated[
        bool, typer.Option("--pretrained", help="Only models that have weights.")
    ] = False,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=0, help="List so many; 0 lists all.")
    ] = 40,
    summary: Annotated[
        bool,
        typer.Option("--summary", help="What one model costs with these settings, by stage."),
    ] = False,
    classes: Annotated[
        int | None,
        typer.Option("--classes", metavar="N", min=1, help="Classes, for --summary (1000)."),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List models with their parameters and weights, or what one costs. Opens no socket."""
    if classes is not None and not summary:
        raise SettingsError(
            "--classes has an effect only with --summary", "add that, or leave it out"
        )
    if summary:
        _summarize(_asked(loaded), patterns or [], classes or 1000, as_json=json_)
    elif patterns:
        _list(patterns, pretrained=pretrained, limit=limit, as_json=json_)
    else:
        _families(pretrained=pretrained, as_json=json_)


def _asked(loaded: Loaded) -> Settings:
    """The settings without what only the set that nobody named wants."""
    settings, origins = loaded.settings, loaded.origins
    if origins["data.root"] != "default" or origins["data.image_size"] != settings.data.root:
        return settings
    data = settings.data.model_copy(update={"image_size": "auto"})
    return settings.model_copy(update={"data": data})


def _list(patterns: Sequence[str], *, pretrained: bool, limit: int, as_json: bool) -> None:
    from imgtrain.engine.census import listed, matching

    names = list(dict.fromkeys(n for p in patterns for n in matching(p, pretrained=pretrained)))
    shown = names if as_json or not limit else names[:limit]
    found = list(listed(shown))
    if as_json:
        console.result(json.dumps([asdict(model) for model in found], indent=2))
        return
    if found:
        console.result(_table(["model", "parameters", "size", "weights"], map(_row, found)))
    if len(shown) < len(names):
        console.say(f"{len(names) - len(shown)} more match; --limit 0 lists all")
    if not names:
        console.say(f"none like {', '.join(patterns)} has weights")


def _row(model: Listed) -> list[str]:
    """``resnet18  11.69 M  224  on this machine (4)``."""
    at_hand = "on this machine" if model.cached else "to download"
    weights = f"{at_hand} ({', '.join(model.weights[:3])}" if model.weights else "none"
    if model.weights:
        weights += ", ...)" if len(model.weights) > 3 else ")"  # noqa: PLR2004  # as shown
    return [model.name, _millions(model.parameters), str(model.size), weights]


def _families(*, pretrained: bool, as_json: bool) -> None:
    from imgtrain.engine.census import families

    found = [family for family in families() if family.pretrained or not pretrained]
    if as_json:
        console.result(json.dumps([asdict(family) for family in found], indent=2))
        return
    console.result(
        _table(["family", "models", "with weights", "one of them"], map(_family_row, found))
    )
    console.say("imgtrain models 'resnet*' lists those of a name")


def _family_row(family: Family) -> list[str]:
    return [family.name, str(family.models), str(family.pretrained), family.example]


def _summarize(settings: Settings, names: list[str], classes: int, *, as_json: bool) -> None:
    from imgtrain.engine.device import plan_compute
    from imgtrain.engine.model import check_model
    from imgtrain.engine.summary import recipe_for, summarize

    if len(names) > 1:
        raise SettingsError("--summary is of one model", f"as in imgtrain models {names[0]}")
    if names:
        settings = settings.model_copy(
            update={"model": settings.model.model_copy(update={"name": names[0]})}
        )
    check_model(settings.model)
    recipe = recipe_for(settings, classes=classes)
    batch = settings.train.batch_size
    compute = plan_compute(settings.hardware, image_size=recipe.preprocess.size)
    found = summarize(recipe, batch=batch if isinstance(batch, int) else 64, compute=compute)
    console.result(json.dumps(_as_json(found), indent=2) if as_json else _as_text(found))


def _as_json(found: Summary) -> dict[str, Any]:
    p = found.recipe.preprocess
    return {
        "model": found.recipe.architecture,
        "image_size": p.size,
        "channels": p.channels,
        "classes": len(found.recipe.classes),
        "batch": found.batch,
        "precision": found.precision,
        "parameters": found.parameters,
        "macs": round(found.macs),
        "activation_bytes": found.activations,
        "parts": [asdict(part) | {"macs": round(part.macs)} for part in found.parts],
    }


def _as_text(found: Summary) -> str:
    """A row a part, the sums, and for what they hold."""
    rows = [
        [
            part.name,
            part.kind,
            " x ".join(map(str, part.shape[1:])) if part.shape else "-",
            f"{part.parameters:,}",
            f"{part.macs / 1e6:,.1f}",
            f"{part.activations / 2**20:,.1f}",
        ]
        for part in found.parts
    ]
    mib = found.activations / 2**20
    sums = [f"{found.parameters:,}", f"{found.macs / 1e6:,.1f}", f"{mib:,.1f}"]
    header = ["part", "kind", "output", "parameters", "MMACs", "MiB kept"]
    recipe, p = found.recipe, found.recipe.preprocess
    stem = ", small stem" if recipe.stem == "small" else ""
    told = (
        f"{recipe.architecture}{stem}: {_millions(found.parameters)} parameters, "
        f"{found.macs / 1e9:.2f} GMACs a picture of {p.size} x {p.size} x {p.channels}, "
        f"{mib:,.0f} MiB of activations for a batch of {found.batch} in {found.precision}"
    )
    return f"{_table(header, [*rows, ['sum', '', '', *sums]])}\n{told}"


def _millions(parameters: int) -> str:
    return f"{parameters / 1e6:,.2f} M"


def _table(header: Sequence[str], rows: Any) -> str:
    """Columns as wide as they need to be; numbers stand at the right."""
    cells = [list(header), *rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    numbers = [all(row[i][:1].isdigit() for row in cells[1:-1]) for i in range(len(header))]
    right = [False, *numbers[1:]]
    lines = [
        "  ".join(
            f"{cell:>{width}}" if at_right else f"{cell:<{width}}"
            for cell, width, at_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in cells
    ]
    return "\n".join(lines)
