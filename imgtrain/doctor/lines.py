"""A line of the examination, and checks that cannot break each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "note", "problem"]


@dataclass(frozen=True, slots=True)
class Line:
    """What was found about one thing.

    Args:
        topic: The heading that it stands under.
        name: What was looked at.
        verdict: ``ok``; ``note``: works, but worth knowing; ``problem``: something will fail.
        found: How it is.
        advice: What to do about it; empty where there is nothing to do.
    """

    topic: str
    name: str
    verdict: Verdict
    found: str
    advice: str = ""


def isolated(topic: str, name: str, check: Callable[[], Iterable[Line]]) -> list[Line]:
    """The lines of a check; if it fails by itself, those before and one that says so."""
    lines: list[Line] = []
    try:
        lines.extend(check())
    except Exception as error:  # noqa: BLE001  # an examination goes on whatever one part of it does
        said = str(error).strip().partition("\n")[0]
        lines.append(Line(topic, name, "note", f"cannot be told: {type(error).__name__}: {said}"))
    return lines
