"""Settings in layers: defaults < a known set's own < files < environment < flags.

Each layer is flat, by dotted key; the highest that has a key wins and is remembered as its origin.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from imgtrain.errors import SettingsError, nearest
from imgtrain.passwords import without_user
from imgtrain.settings.catalog import Setting, all_settings
from imgtrain.settings.fields import Operation
from imgtrain.settings.known import known_settings
from imgtrain.settings.modules import pieces
from imgtrain.settings.schema import Settings
from imgtrain.settings.spaces import Choices, Range
from imgtrain.settings.wording import OneOf, accepts, members

if TYPE_CHECKING:
    from imgtrain.settings.sources import Given

_OFF = frozenset({"none", "off", "null"})
_NOTHING: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings, and who set each dotted key.

    An origin is ``default``, a known set's name, ``preset NAME``, ``file PATH``,
    ``environment NAME``, ``flag --NAME`` or ``flag --set``.
    """

    settings: Settings
    origins: Mapping[str, str]


def load_settings(
    *,
    preset: str | None = None,
    files: Sequence[Path] = (),
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, object] = _NOTHING,
    sets: Sequence[str] = (),
) -> Loaded:
    """Put the layers on top of each other and check the result.

    Args:
        preset: Name of a starter file, below all others.
        files: YAML, TOML or JSON; of two, the later wins.
        environ: Variables; the process's own if None.
        flags: Values of single options, by dotted key.
        sets: ``section.key=value`` texts, beside ``flags``.

    Raises:
        SettingsError: If a key is unknown, a value out of bounds, or two contradict each other.
    """
    from imgtrain.settings import sources

    single, sets_layer = sources.from_flags(flags), sources.from_sets(sets)
    for key in single.keys() & sets_layer.keys():
        raise SettingsError(
            f"{single[key].origin.removeprefix('flag ')} and --set {key} set the same",
            "leave out one of them",
        )
    asked: dict[str, Given] = {}
    for layer in (
        _preset(preset),
        *map(sources.from_file, files),
        sources.from_environment(os.environ if environ is None else environ),
        single,
        sets_layer,
    ):
        asked |= layer
    root = asked["data.root"].value if "data.root" in asked else all_settings()["data.root"].default
    own = {key: sources.Given(value, str(root)) for key, value in known_settings(root).items()}
    if "train.image_sizes" in asked and asked["train.image_sizes"].value not in (None, *_OFF):
        # the last of them is the image size
        own.pop("data.image_size", None)
    return _built(own | asked)


def flatten(settings: Settings) -> dict[str, Any]:
    """Every value by its dotted key, as YAML and JSON have it: no tuples, no paths."""
    return {setting.key: _plain(setting.of(settings)) for setting in all_settings().values()}


def public(settings: Settings) -> dict[str, Any]:
    """The same for people and files: whom a tracker's address lets in is left out."""
    uri = settings.track.uri
    return flatten(settings) | {"track.uri": uri and without_user(uri)}


def from_flat(flat: Mapping[str, object]) -> Settings:
    """The settings of these values, by dotted key; the rest are defaults.

    Raises:
        SettingsError: As ``load_settings``.
    """
    from imgtrain.settings.sources import Given, refuse

    for key in flat.keys() - all_settings().keys():
        refuse(key, "settings")
    return _built({key: Given(value, "") for key, value in flat.items()}).settings


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Sections of keys, from dotted keys; a key without a dot stays where it is."""
    found: dict[str, Any] = {}
    for key, value in flat.items():
        section, dot, name = key.partition(".")
        if dot:
            found.setdefault(section, {})[name] = value
        else:
            found[key] = value
    return found


def to_yaml(
    settings: Settings, *, comments: bool = False, origins: Mapping[str, str] | None = None
) -> str:
    """A settings file that gives ``settings`` back.

    Args:
        settings: What to write.
        comments: Each setting's sentence above it.
        origins: Who set each key, to be written behind it.
    """
    from imgtrain.settings.strict_yaml import dump

    known, lines = all_settings(), []
    for section, values in nested(public(settings)).items():
        if section in known:
            block = [(dump({section: values}).rstrip("\n"), section)]
        else:
            block = [
                (dump({section: {name: value}}).split("\n", 1)[1].rstrip("\n"), f"{section}.{name}")
                for name, value in values.items()
            ]
            lines.append(f"{section}:")
        width = max(len(text) for text, _ in block if "\n" not in text)
        indent = "" if section in known else "  "
        for text, key in block:
            lines += [f"{indent}# {known[key].help}"] * comments
            first, *rest = text.split("\n")
            lines += [f"{first:<{width}}  # {_one_line(origins[key])}" if origins else first, *rest]
    return "\n".join(lines) + "\n"


def _one_line(text: str) -> str:
    return text if text.isprintable() else repr(text)


def _preset(name: str | None) -> Mapping[str, Given]:
    if name is None:
        return {}
    from imgtrain.settings.sources import from_file
    from imgtrain.starters import starter_path

    return from_file(starter_path(name), f"preset {name}")


def _plain(value: object) -> Any:
    if isinstance(value, tuple):
        return list(map(_plain, value))
    if isinstance(value, Operation):
        return value.model_dump()
    if isinstance(value, (Range, Choices)):
        return value.plain()
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return str(value) if isinstance(value, Path) else value


def _built(given: Mapping[str, Given]) -> Loaded:
    """Settings from what was given; everything that does not fit is named."""
    from pydantic import ValidationError

    known = all_settings()
    values = {key: _read(known[key], one.value) for key, one in given.items()}
    try:
        settings = Settings.model_validate(nested(values))
    except ValidationError as error:
        places = [tuple(map(str, one["loc"])) for one in error.errors()]
        keys = dict.fromkeys(p[0] if p[0] in known else ".".join(p[:2]) for p in places)
        raise _does_not_fit([(known[key], given[key]) for key in keys]) from error
    origins = {key: given[key].origin if key in given else "default" for key in known}
    return Loaded(settings, origins)


def _read(setting: Setting, value: object) -> object:
    """``none`` and ``off`` are None where None is a value; a switch's ``off`` is false."""
    if not setting.is_optional or not isinstance(value, str):
        return value
    word = value.strip().lower()
    return None if word in (_OFF - {"off"} if setting.is_switch else _OFF) else value


def _does_not_fit(wrong: Sequence[tuple[Setting, Given]]) -> SettingsError:
    from imgtrain.settings.sources import shown

    sentences = []
    for setting, given in wrong:
        origin = f" ({given.origin})" if given.origin else ""
        must = accepts(setting.annotation, setting.metadata)
        near = _near(setting, given.value)
        sentences.append(f"{setting.key} = {shown(given.value)}{origin} must be {must}{near}")
    return SettingsError("\n".join(sentences), _hint(*wrong[0]))


def _near(setting: Setting, value: object) -> str:
    """The nearest name, where a plugin may have brought others."""
    table = next((m for m in setting.metadata if isinstance(m, OneOf)), None)
    names = pieces(value) if setting.is_list else [value]
    if table is None or not isinstance(names, list):
        return ""
    wrong = [name for name in names if isinstance(name, str) and name not in table.words]
    return next((near for name in wrong if (near := nearest(name, table.words))), "")


def _hint(setting: Setting, given: Given) -> str:
    """What to do about a value that does not fit."""
    if given.value is None:
        return "leave the line out, or give a value; one that begins with # needs quotes"
    if str in members(setting.annotation) and not isinstance(given.value, str):
        return "put the value in quotes, so that it is text"
    return f"{setting.name}: {setting.help}"
