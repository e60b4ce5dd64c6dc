"""Settings as options of a command: generated from the schema, so that nothing stands twice."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imgtrain import console
from imgtrain.settings.catalog import Setting, all_sections, all_settings, option_names
from imgtrain.settings.known import KNOWN
from imgtrain.settings.wording import members, names_of

if TYPE_CHECKING:
    from imgtrain.settings.layers import Loaded

TRAINING = ["data", "augment", "model", "loss", "balance", "optim", "schedule", "train", "hardware"]
"""The sections that shape a training."""

_KINDS = {int: "INT", float: "NUMBER", str: "TEXT", Path: "PATH"}


def takes_settings(
    *sections: str, names: Mapping[str, tuple[str, ...]] | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of these sections or settings, and what they amount to.

    The command's first parameter receives a ``Loaded``; its other parameters are options and
    arguments of its own. An option that is not given leaves its setting to the lower layers.
    ``names`` are those that settings have in this command instead of their own.
    """
    wanted = {*sections, "plugins"}
    chosen = {_name(s): s for s in all_settings().values() if {s.section, s.key} & wanted}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(**given: Any) -> None:
            from imgtrain.settings.layers import load_settings

            console.set_verbosity(given.pop("verbose") - given.pop("quiet"))
            flags = {chosen[k].key: v for k in chosen if (v := given.pop(k)) not in (None, [])}
            loaded = load_settings(
                preset=given.pop("preset"),
                files=given.pop("config") or (),
                flags=flags,
                sets=given.pop("set_") or (),
            )
            _tell_idle(loaded, [setting.key for setting in chosen.values()])
            _check_space(loaded)
            command(loaded, **given)

        own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
        parameters = [
            *(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own),
            *_common(),
            *(_option(each, (names or {}).get(each.key)) for each in chosen.values()),
        ]
        # Typer reads these two.
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # any function may have it
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return decorate


def _tell_idle(loaded: Loaded, keys: Iterable[str]) -> None:
    """Refuse or say what changes nothing among the settings of a command.

    What a run that goes on has set counts, too, and is not known here.
    """
    from imgtrain.settings.effects import check_effects

    if loaded.settings.run.resume is not None:
        return
    for sentence in check_effects(loaded.settings, {key: loaded.origins[key] for key in keys}):
        if os.environ.get("RANK", "0") == "0" and "_IMGTRAIN_LAUNCHED" not in os.environ:
            console.warn(sentence)  # once, not in every process


def _check_space(loaded: Loaded) -> None:
    """A search space fits the settings that it stands beside."""
    space = loaded.settings.tune.space
    if space is not None:
        from imgtrain.settings.space_rules import check_space

        check_space(space, loaded.settings)


def _name(setting: Setting) -> str:
    """The parameter's name, which no option of the command's own has."""
    if not setting.section:
        return setting.name
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


def _option(setting: Setting, names: tuple[str, ...] | None = None) -> inspect.Parameter:
    """One setting as an option; None means that it was not given."""
    words = [str(word) for word in names_of(setting.annotation, setting.metadata)]
    option = typer.Option(
        *(names or option_names(setting)),
        help=f"{setting.help}{_default(setting)}",
        metavar=None if setting.is_switch else _metavar(setting),
        rich_help_panel=_panel(setting.section) if setting.section else None,
        show_default=False,
        hidden=setting.flag.hidden,
        autocompletion=lambda incomplete: [w for w in words if w.startswith(incomplete)],
    )
    # the schema reads the text, not Typer
    kind: Any = bool if setting.is_switch else list[str] if setting.is_list else str
    return _parameter(_name(setting), kind | None, option)


def _panel(section: str) -> str:
    """``Optim: how the weights move``."""
    sentence = (all_sections()[section].__doc__ or "").rstrip(".")
    return f"{section.capitalize()} - {sentence[:1].lower()}{sentence[1:]}"


def _default(setting: Setting) -> str:
    """``[default: 30, digits: 12]``, or nothing where a setting is off."""
    shown = {"default": setting.default} if setting.default not in (None, ()) else {}
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
    words = "|".join(map(str, names_of(setting.annotation, setting.metadata)))
    kinds = [kind for kind in members(setting.annotation) if kind is not NoneType]
    return setting.flag.metavar or words or _KINDS.get(kinds[0], "TEXT")
