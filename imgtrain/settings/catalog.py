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
        section: Its section; empty for those above all sections.
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
        return f"{self.section}.{self.name}" if self.section else self.name

    def of(self, settings: Settings) -> Any:
        """Its value there."""
        return getattr(self.within(settings), self.name)

    def within(self, settings: Settings) -> Section:
        """The section that it stands in."""
        found: Section = getattr(settings, self.section) if self.section else settings
        return found

    def is_given(self, settings: Settings) -> bool:
        """Whether whoever made the settings named it, rather than leave it to its default."""
        is_there = not self.section or self.section in settings.model_fields_set
        return is_there and self.name in self.within(settings).model_fields_set

    @property
    def is_list(self) -> bool:
        """Whether its flag may be given several times."""
        return self.flag.repeats

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
    sections = all_sections()
    above = {n: field for n, field in Settings.model_fields.items() if n not in sections}
    listed = {"": above} | {name: kind.model_fields for name, kind in sections.items()}
    for section, fields in listed.items():
        for name, field in fields.items():
            flag = next((m for m in field.metadata if isinstance(m, Flag)), Flag())
            setting = Setting(
                section=section,
                name=name,
                flag=flag,
                annotation=field.annotation,
                metadata=tuple(field.metadata),
                default=field.default,
                help=" ".join((field.description or "").split()),
            )
            found[setting.key] = setting
    return found


def all_sections() -> dict[str, type[Section]]:
    """Every section's class by its name, in the order of declaration."""
    found = {}
    for name, field in Settings.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
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
