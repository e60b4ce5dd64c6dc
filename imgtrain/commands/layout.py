"""How help looks: options grouped under headings, as plain text that is never read as markup.

Plain text also starts faster: no rich is imported for ``--help``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup

from imgtrain.errors import SettingsError, nearest

_KINDS = {"<str>": "TEXT", "<path>": "PATH", "<int>": "INT", "<float>": "NUMBER"}
_FIRST_COLUMN = 26
"""Width of the column of names, the same under all headings."""


def _heading(text: str) -> str:
    return text if os.environ.get("NO_COLOR") else typer.style(text, bold=True)


def _write(formatter: Any, heading: str, rows: list[tuple[str, str]]) -> None:
    with formatter.section(_heading(heading)):
        formatter.write_dl(
            [(f"{name:<{_FIRST_COLUMN}}", text) for name, text in rows], col_max=_FIRST_COLUMN
        )


def _record(param: Any, ctx: Any) -> tuple[str, str] | None:
    """Names and sentence of an option or argument, in the words that settings have."""
    record = param.get_help_record(ctx)
    if record is None:
        return None
    names, sentence = record
    if param.param_type_name == "argument":
        names = names.partition(" <")[0]
    for theirs, ours in _KINDS.items():
        names = names.replace(theirs, ours)
    return names, sentence.replace("  [", " [")


class Command(TyperCommand):
    """A command whose help has a heading for each panel of options."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Arguments, then the command's own options, then each panel."""
        panels: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for param in self.get_params(ctx):
            record = _record(param, ctx)
            if record is None:
                continue
            default = "Arguments" if param.param_type_name == "argument" else "Options"
            panel = getattr(param, "rich_help_panel", None) or default
            panels.setdefault(panel, []).append(record)
        for heading, rows in panels.items():
            if rows:
                _write(formatter, heading, rows)


class Group(TyperGroup):
    """A group that shows its help when it stands alone, and has the headings of ``Command``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Nothing is a call for help."""
        return super().parse_args(ctx, args or ["--help"])

    def sentences(self) -> dict[str, str]:
        """What each subcommand does."""
        return {
            name: command.get_short_help_str(limit=100) for name, command in self.commands.items()
        }

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The subcommand, or the nearest name."""
        known = self.list_commands(ctx)
        if args[0] not in known:
            raise SettingsError(
                f"there is no command {args[0]!r}{nearest(args[0], known)}",
                f"commands: {', '.join(known)}",
            )
        return super().resolve_command(ctx, args)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Subcommands, then options."""
        _write(formatter, "Commands", list(self.sentences().items()))
        records = [_record(param, ctx) for param in self.get_params(ctx)]
        _write(formatter, "Options", [record for record in records if record is not None])


class LazyGroup(Group):
    """Knows its subcommands by name, and imports one when it is used.

    Each is a function (or ``app``, a group) of its own name, in the module of that name in
    ``package``; dashes are underscores there.
    """

    package: ClassVar[str]
    table: ClassVar[Mapping[str, str]]

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002  # Typer's signature
        """In the order of the table."""
        return list(self.table)

    def sentences(self) -> dict[str, str]:
        """As in the table, so that help imports no command."""
        return dict(self.table)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002  # Typer's signature
        """The command itself, imported."""
        if cmd_name not in self.table:
            return None
        name = cmd_name.replace("-", "_")
        module = import_module(f"{self.package}.{name}")
        app = getattr(module, "app", None)
        if app is None:
            app = typer.Typer(add_completion=False, rich_markup_mode=None)
            app.command(cmd_name, cls=Command)(getattr(module, name))
        return typer.main.get_command(app)


def lazy_app(package: str, sentence: str, table: Mapping[str, str]) -> typer.Typer:
    """A group of subcommands, one module of ``package`` each; ``table`` says what they do."""
    kind = type("_Commands", (LazyGroup,), {"package": package, "table": table})
    app = typer.Typer(add_completion=False, cls=kind, help=sentence, rich_markup_mode=None)

    @app.callback(help=sentence)
    def _group() -> None:
        """Make it a group, however few its subcommands are."""

    return app
