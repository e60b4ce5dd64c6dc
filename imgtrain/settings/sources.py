"""Where settings come from: files, variables, flags. Each source becomes one flat layer."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from imgtrain.errors import SettingsError, nearest
from imgtrain.settings import strict_yaml
from imgtrain.settings.catalog import all_sections, all_settings, option_name

PREFIX = "IMGTRAIN_"
NOT_SETTINGS = frozenset({"IMGTRAIN_CACHE", "IMGTRAIN_DEBUG"})
"""Variables with our prefix that set something else."""

LIST = "imgtrain config show lists all settings"

_LONG, _MANY = 100, 9
"""Characters of a value, and items of a list, that a message shows."""


@dataclass(frozen=True, slots=True)
class Given:
    """A value as somebody gave it, and who that was."""

    value: Any
    origin: str


Layer = Mapping[str, Given]
"""What one source gives, by dotted key."""


def from_file(path: Path, origin: str = "") -> Layer:
    """The settings in a YAML, TOML or JSON file.

    Raises:
        SettingsError: If it is not there, cannot be read, or names what does not exist.
    """
    origin = origin or f"file {path}"
    content = _parsed(path)
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError(
            f"{path} holds no sections of settings", "imgtrain init writes a file to start from"
        )
    return {key: Given(value, origin) for key, value in _entries(content, str(path))}


def from_environment(environ: Mapping[str, str]) -> Layer:
    """``IMGTRAIN_SECTION__KEY``; a variable of ours that names no setting is refused.

    Raises:
        SettingsError: With the nearest name.
    """
    known = {f"{PREFIX}{key.replace('.', '__').upper()}": key for key in all_settings()}
    ours = {
        name: value
        for name, value in environ.items()
        if name.upper().startswith(PREFIX) and name.upper() not in NOT_SETTINGS
    }
    for name in ours:
        if name.upper() not in known:
            raise SettingsError(
                f"environment variable {name} names no setting"
                f"{nearest(name.upper(), [*known, *NOT_SETTINGS])}",
                f"they are named {PREFIX}SECTION__KEY, with two underscores between; {LIST}",
            )
    names = {known[name.upper()]: name for name in ours}
    return {
        key: Given(value, f"environment {names[key]}") for key, value in _exploded(ours).items()
    }


def _exploded(variables: Mapping[str, str]) -> dict[str, str]:
    """Dotted keys from ``IMGTRAIN_SECTION__KEY``, by pydantic-settings; values stay text."""
    if not variables:
        return {}
    from pydantic import create_model
    from pydantic_settings import BaseSettings, EnvSettingsSource

    above = {
        setting.key: value
        for setting in all_settings().values()
        for name, value in variables.items()
        if not setting.section and name.upper() == f"{PREFIX}{setting.name}".upper()
    }
    sections: dict[str, Any] = {name: (dict[str, str], {}) for name in all_sections()}
    source = EnvSettingsSource(
        create_model("Variables", __base__=BaseSettings, **sections),
        case_sensitive=False,
        env_prefix=PREFIX,
        env_nested_delimiter="__",
    )
    source.env_vars = {name.lower(): value for name, value in variables.items()}
    inside = {f"{section}.{k}": v for section, keys in source().items() for k, v in keys.items()}
    return above | inside


def from_flags(flags: Mapping[str, object]) -> Layer:
    """Options of their own, by dotted key."""
    known = all_settings()
    return {key: Given(v, f"flag {option_name(known[key])}") for key, v in flags.items()}


def from_sets(sets: Sequence[str]) -> Layer:
    """``--set section.key=value``; of two for one key, the later counts.

    Raises:
        SettingsError: If one is not of this form, or names what does not exist.
    """
    layer = {}
    for text in sets:
        key, equals, value = text.partition("=")
        if not equals:
            raise SettingsError(f"--set {text} has no =", "write --set section.key=value")
        if key.strip() not in all_settings():
            refuse(key.strip(), "--set")
        layer[key.strip()] = Given(value, "flag --set")
    return layer


def refuse(key: str, where: str) -> NoReturn:
    """Say that ``key`` is no setting, and which is nearest."""
    known = list(all_settings())
    section, _, name = key.partition(".")
    inside = [k for k in known if k.startswith(f"{section}.")]
    twins = [k for k in known if "." in k and k.partition(".")[2] in {name, key}]
    near = (
        _did_you_mean(twins) or _near_name(name, inside) or nearest(key, known) or _near_leaf(key)
    )
    raise SettingsError(f"{where}: there is no setting {key!r}{near}", LIST)


def _did_you_mean(keys: Sequence[str]) -> str:
    return f"; did you mean {' or '.join(map(repr, keys))}?" if keys else ""


def _near_name(name: str, keys: Iterable[str]) -> str:
    """Nearest by the part behind the dot, which a long section would drown."""
    names = {k.partition(".")[2]: k for k in keys}
    found = nearest(name, names)
    return found and _did_you_mean([names[found.split("'")[1]]])


def _near_leaf(key: str) -> str:
    return "" if "." in key else _near_name(key, all_settings())


def _entries(content: Mapping[Any, Any], where: str) -> Iterator[tuple[str, Any]]:
    """Dotted keys and values; an empty section is one whose lines are commented out."""
    known = all_settings()
    sections = list(all_sections())
    for section, values in content.items():
        if section in known:
            if values is not None:
                yield section, values
            continue
        if section not in sections:
            if isinstance(values, dict):
                near = nearest(str(section), sections)
                raise SettingsError(f"{where}: there is no section {str(section)!r}{near}", LIST)
            refuse(str(section), where)
        if values is None:
            continue
        if not isinstance(values, dict):
            raise SettingsError(
                f"{where}: section {section!r} is {shown(values)}, not settings",
                f"write its settings below {section}:, each on a line of its own, indented",
            )
        for name, value in values.items():
            key = f"{section}.{name}"
            if key not in known:
                refuse(key, where)
            yield key, value


def shown(value: object) -> str:
    """A value for a message: as YAML would have it, and not too long."""
    if isinstance(value, (list, tuple)):
        text = f"[{', '.join(map(shown, value[:_MANY]))}{', ...' * (len(value) > _MANY)}]"
    elif isinstance(value, dict):
        text = "a section"
    elif value is None:
        text = "null"
    else:
        text = repr(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= _LONG else f"{text[: _LONG - 3]}..."


def _parsed(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        beside = sorted(p.name for p in path.parent.glob("*") if p.suffix in _PARSERS)
        raise SettingsError(
            f"there is no settings file {path}{nearest(path.name, beside)}",
            "imgtrain init writes a file to start from",
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SettingsError(f"cannot read {path}: {reason}") from error
    try:
        return _PARSERS.get(path.suffix, strict_yaml.parse)(text)
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"cannot read {path}: {error}") from error


def _json(text: str) -> Any:
    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        whole = dict(found)
        if len(whole) < len(found):
            names = [name for name, _ in found]
            twin = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"{twin!r} stands twice in one section")
        return whole

    return json.loads(text, object_pairs_hook=pairs)


_PARSERS: dict[str, Callable[[str], Any]] = {
    ".json": _json,
    ".toml": tomllib.loads,
    ".yaml": strict_yaml.parse,
    ".yml": strict_yaml.parse,
}
