"""Settings as options of a command: generated from the schema, so that nothing stands twice."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from types import NoneType
from typing import Annotated, Any

import typer

from imgtrain import console
from imgtrain.settings.catalog import Setting, all_sections, all_settings, option_names
from imgtrain.settings.known import KNOWN
from imgtrain.settings.wording import members, words_of

_KINDS = {int: "INT", float: "NUMBER", str: "TEXT", Path: "PATH"}


def takes_settings(*sections: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of these sections, and the settings they amount to.

    The command's first parameter receives a ``Loaded``; its other parameters are options and
    arguments of its own. An option that is not given leaves its setting to the lower layers.
    """
    chosen = {_name(s): s for s in all_settings().values() if s.section in sections}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(**given: Any) -> None:
            from imgtrain.settings.layers import load_settings

            console.set_verbosity(given.pop("verbose") - given.pop("quiet"))
            flags = {chosen[k].key: v for k in chosen if (v := given.pop(k)) is not None}
            loaded = load_settings(
                preset=given.pop("preset"),
                files=given.pop("config") or (),
                flags=flags,
                sets=given.pop("set_") or (),
            )
            command(loaded, **given)

        own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
        parameters = [
            *(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own),
            *_common(),
            *map(_option, chosen.values()),
        ]
        # Typer reads these two.
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # any function may have it
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return decorate


def _name(setting: Setting) -> str:
    """The parameter's name, which no option of the command's own has."""
    return f"{setting.section}__{setting.name}"


def _parameter(name: str, kind: Any, option: Any, default: object = None) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[kind, option], default=default
    )


def _common() -> Iterator[inspect.Parameter]:
    """Options of every command that takes settings."""
    yield _parameter(
        "config",
        list[Path] | None,
        typer.Option(
            "--config", "-c", metavar="FILE", help="Settings file; of several, the later wins."
        ),
    )
    yield _parameter(
        "preset",
        str | None,
        typer.Option(
            "--preset",
            metavar="NAME",
            help="Starter file, below every other (imgtrain init --list).",
            autocompletion=_presets,
        ),
    )
    yield _parameter(
        "set_",
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Any setting by its dotted key, as in optim.lr=0.01."
        ),
    )
    yield _parameter(
        "quiet",
        bool,
        typer.Option("--quiet", "-q", help="Warnings and errors only."),
        default=False,
    )
    yield _parameter(
        "verbose", bool, typer.Option("--verbose", "-v", help="Say more."), default=False
    )


def _presets(incomplete: str) -> list[str]:
    from imgtrain.starters import starter_names

    return [name for name in starter_names() if name.startswith(incomplete)]


def _option(setting: Setting) -> inspect.Parameter:
    """One setting as an option; None means that it was not given."""
    words = [str(word) for word in words_of(setting.annotation)]
    option = typer.Option(
        *option_names(setting),
        help=f"{setting.help}{_default(setting)}",
        metavar=None if setting.is_switch else _metavar(setting),
        rich_help_panel=_panel(setting.section),
        show_default=False,
        autocompletion=lambda incomplete: [w for w in words if w.startswith(incomplete)],
    )
    kind = bool if setting.is_switch else str  # the schema reads the text, not Typer
    return _parameter(_name(setting), kind | None, option)


def _panel(section: str) -> str:
    """``Optim: how the weights move``."""
    sentence = (all_sections()[section].__doc__ or "").rstrip(".")
    return f"{section.capitalize()} - {sentence[:1].lower()}{sentence[1:]}"


def _default(setting: Setting) -> str:
    """``[default: 30, digits: 12]``, or nothing where a setting is off."""
    shown = {"default": setting.default} if setting.default is not None else {}
    shown |= {name: own[setting.key] for name, own in KNOWN.items() if setting.key in own}
    text = ", ".join(f"{who}: {_shown(value)}" for who, value in shown.items())
    return text and f" [{text}]"


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(_shown, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _metavar(setting: Setting) -> str:
    """What stands for the value: as declared, the fixed words, or the kind."""
    words = "|".join(map(str, words_of(setting.annotation)))
    kinds = [kind for kind in members(setting.annotation) if kind is not NoneType]
    return setting.flag.metavar or words or _KINDS.get(kinds[0], "TEXT")
