"""The files of ``templates/``: inside the wheel, or beside the package in a checkout."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path


def templates() -> Traversable:
    """The folder of starter files and page templates.

    A wheel holds it as ``imgtrain/templates``; an editable install reads the checkout's own.
    """
    inside = files("imgtrain") / "templates"
    return inside if inside.is_dir() else Path(__file__).resolve().parent.parent / "templates"


def read_template(name: str) -> str:
    """The text of one template."""
    return (templates() / name).read_text(encoding="utf-8")
