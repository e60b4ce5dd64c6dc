"""Everything a person reads goes through here: messages to stderr, results to stdout.

A user's text is text: markup, highlighting and emoji codes are never interpreted,
and control characters are shown as escapes (a file name cannot paint the terminal).
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_BREAK = re.compile(r"[\t\n\u2028\u2029]")


def plain(text: str) -> str:
    """``text`` with control characters (but for line breaks and tabs) shown as escapes."""
    return _CONTROL.sub(_escape, text)


def one_line(text: str) -> str:
    """As ``plain``, with line breaks and tabs as escapes too: a name in a row stays in its cell."""
    return _BREAK.sub(_escape, plain(text))


def _escape(found: re.Match[str]) -> str:
    return found.group().encode("unicode_escape").decode("ascii")


def text_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns set flush: the first to the left, the others to the right."""
    cells = [list(header), *map(list, rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = (
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in cells
    )
    return "".join(line.rstrip() + "\n" for line in lines)


class _Voice:
    """Where messages go, how many, and the log file that hears all of them."""

    verbosity = 0
    log: TextIO | None = None
    silent = False

    def __init__(self) -> None:
        self.unlogged: list[str] = []


_voice = _Voice()


@cache
def console() -> Console:
    """The one console, on stderr; colours obey ``NO_COLOR`` and the terminal."""
    from rich.console import Console

    return Console(stderr=True, markup=False, highlight=False, emoji=False, soft_wrap=True)


def set_verbosity(level: int) -> None:
    """-1: warnings and errors only; 0: messages; 1: details too."""
    _voice.verbosity = level


def verbosity() -> int:
    """The level set by ``-q`` and ``-v``."""
    return _voice.verbosity


def silence() -> None:
    """Print nothing from here on: for the processes that are not the first."""
    _voice.silent = True


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """What is said in the block goes to the log file alone; ``-v`` shows it all the same."""
    before = _voice.verbosity
    if before < 1:
        _voice.verbosity = -2
    try:
        yield
    finally:
        _voice.verbosity = before


def attach_log(path: Path | None) -> None:
    """Also write every message, with its time, at the end of ``path``; None detaches.

    What was said before goes into the log as well.
    """
    if _voice.log is not None:
        _voice.log.close()
    _voice.log = None
    if path is not None:
        _voice.log = path.open("a", encoding="utf-8", errors="backslashreplace")
    if _voice.log is not None:
        _voice.log.writelines(_voice.unlogged)
        _voice.log.flush()
    _voice.unlogged.clear()


def log_only(text: str) -> None:
    """A message for the log file alone: a person sees it elsewhere."""
    line = f"{time.strftime('%Y-%m-%d %H:%M:%S')} {plain(text)}\n"
    if _voice.silent:
        return
    if _voice.log is None:
        _voice.unlogged.append(line)
        return
    _voice.log.write(line)
    _voice.log.flush()


def _emit(text: str, style: str, level: int) -> None:
    text = plain(text)
    log_only(text)
    if level <= _voice.verbosity and not _voice.silent:
        # a terminal's lines end between words; elsewhere a line stays one
        console().print(text, style=style, soft_wrap=not console().is_terminal)


def say(text: str) -> None:
    """A message for everyone but ``-q``."""
    _emit(text, "", 0)


def detail(text: str) -> None:
    """A message for ``-v``."""
    _emit(text, "dim", 1)


def warn(text: str) -> None:
    """A message that even ``-q`` shows."""
    _emit(f"warning: {text}", "yellow", -1)


def error(text: str, hint: str = "") -> None:
    """The last words of a command that failed; a silent process says which one it is."""
    who = f"process {os.environ.get('RANK', '?')}: " if _voice.silent else ""
    _voice.silent = False
    _emit(f"{who}error: {text}" + (f"\n  {hint}" if hint else ""), "bold red", -1)


def show(renderable: RenderableType) -> None:
    """A table or other rich object, on stderr, unless ``-q``."""
    if _voice.verbosity >= 0 and not _voice.silent:
        console().print(renderable)


def result(text: str, end: str = "\n") -> None:
    """A result, on stdout: the only thing that goes there."""
    if not _voice.silent:
        encoding = sys.stdout.encoding or "utf-8"
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding) + end)
        sys.stdout.flush()


def is_live() -> bool:
    """Whether a live display makes sense: a terminal that can move its cursor, and no ``-q``."""
    dumb = os.environ.get("TERM", "") in {"dumb", "unknown"}
    quiet = _voice.verbosity < 0 or _voice.silent
    return console().is_terminal and not dumb and not quiet
