"""The declared settings, listed: for flags, variables, files and help."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from types import NoneType
from typing import Any

from imgtrain.settings.fields import Flag, Section
from imgtrain.settings.schema import Settings
from imgtrain.settings.wording import members


@dataclass(frozen=True, slots=True)
class Setting:
    """One declared setting, found again.

    Args:
        section: Its section.
        name: Its name there.
        flag: How it reads on the command line.
        annotation: Its type.
        metadata: What bounds the type.
        default: Its default.
        help: Its sentence.
    """

    section: str
    name: str
    flag: Flag
    annotation: Any
    metadata: tuple[Any, ...]
    default: Any
    help: str

    @property
    def key(self) -> str:
        """``section.name``."""
        return f"{self.section}.{self.name}"

    @property
    def is_optional(self) -> bool:
        """Whether None is a value: off."""
        return NoneType in members(self.annotation)

    @property
    def is_switch(self) -> bool:
        """Whether its flag is ``--x/--no-x``."""
        return bool in members(self.annotation)


@cache
def all_settings() -> dict[str, Setting]:
    """Every setting by its dotted key, in the order of declaration."""
    found: dict[str, Setting] = {}
    for section, kind in all_sections().items():
        for name, field in kind.model_fields.items():
            flag = next((m for m in field.metadata if isinstance(m, Flag)), Flag())
            setting = Setting(
                section=section,
                name=name,
                flag=flag,
                annotation=field.annotation,
                metadata=tuple(field.metadata),
                default=field.default,
                help=field.description or "",
            )
            found[setting.key] = setting
    return found


def all_sections() -> dict[str, type[Section]]:
    """Every section's class by its name, in the order of declaration."""
    found = {}
    for name, field in Settings.model_fields.items():
        kind = field.annotation
        assert isinstance(kind, type)
        assert issubclass(kind, Section)
        found[name] = kind
    return found


def option_names(setting: Setting) -> tuple[str, ...]:
    """What Typer is told: ``--batch-size``, ``-b``; for switches ``--flip/--no-flip``."""
    if setting.flag.names:
        return setting.flag.names
    name = setting.name.replace("_", "-")
    return (f"--{name}/--no-{name}",) if setting.is_switch else (f"--{name}",)


def option_name(setting: Setting) -> str:
    """The option's long name alone."""
    return option_names(setting)[0].partition("/")[0]
