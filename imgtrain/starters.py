"""The files of ``templates/``: inside the wheel, or beside the package in a checkout."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from imgtrain.errors import SettingsError, nearest


def templates() -> Traversable:
    """The folder of starter files and page templates.

    A wheel holds it as ``imgtrain/templates``; an editable install reads the checkout's own.
    """
    inside = files("imgtrain") / "templates"
    return inside if inside.is_dir() else Path(__file__).resolve().parent.parent / "templates"


def read_template(name: str) -> str:
    """The text of one template."""
    return (templates() / name).read_text(encoding="utf-8")


def filled(name: str, pieces: Mapping[str, str]) -> str:
    """A template with ``{{piece}}`` put in place, in one pass: no piece is looked into again."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: pieces[match[1]], read_template(name))


def starter_names() -> list[str]:
    """Names of the starter files, without ``.yaml``."""
    found = (item.name for item in templates().iterdir())
    return sorted(name.removesuffix(".yaml") for name in found if name.endswith(".yaml"))


def starter_path(name: str) -> Path:
    """Where a starter file lies.

    Raises:
        SettingsError: If there is none of that name.
    """
    known = starter_names()
    if name not in known:
        raise SettingsError(
            f"there is no starter file {name!r}{nearest(name, known)}",
            f"starter files: {', '.join(known)}",
        )
    return Path(str(templates() / f"{name}.yaml"))
