"""Work that may fail hard (memory, a crash in a library) in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_RUN = "import sys; from imgtrain.children import _answer; _answer(*sys.argv[1:])"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a child ended.

    Args:
        value: What its function returned; None where it did not come to that.
        code: Its exit code; negative: the signal that ended it.
        error: The last lines of what it said.
    """

    value: Any
    code: int
    error: str


def in_child(
    function: Callable[[Any], Any] | str,
    value: Any,
    *,
    environment: Mapping[str, str] | None = None,
    seconds: float | None = None,
    hear: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Call a module's function in a fresh Python process, which ends with this one at the latest.

    Args:
        function: Found by name in its module, there as here; or ``module:name``, for what this
            process does not import.
        value: Its one argument; what JSON can carry, as is what it returns.
        environment: Variables that the child has in addition.
        seconds: How long it may take; then it is killed.
        hear: Gets every line that the child prints on stdout, at once.
    """
    name = (
        function if isinstance(function, str) else f"{function.__module__}:{function.__qualname__}"
    )
    with tempfile.TemporaryDirectory(prefix="imgtrain-") as folder:
        ask, answer, said = (Path(folder, n) for n in ("ask.json", "answer.json", "said.txt"))
        ask.write_text(json.dumps(value), encoding="utf-8")
        command = [sys.executable, "-c", _RUN, name, str(ask), str(answer)]
        with said.open("wb") as messages:
            child = subprocess.Popen(  # noqa: S603  # this Python, our own code
                command,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=messages,
                text=True,
                errors="replace",
            )
        with _ended_in_time(child, seconds):
            assert child.stdout is not None
            for line in child.stdout:
                hear(line.rstrip("\n"))
            child.wait()
        whole = child.returncode == 0 and answer.exists()
        found = json.loads(answer.read_text(encoding="utf-8")) if whole else None
        last = said.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-8:]
    return Outcome(found, child.returncode, "\n".join(last))


@contextmanager
def _ended_in_time(child: subprocess.Popen[str], seconds: float | None) -> Iterator[None]:
    """Whatever happens in the block, the child does not outlive it."""
    timer = threading.Timer(seconds or 0, child.kill)
    if seconds is not None:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            assert pipe is not None
            pipe.close()


def _answer(name: str, ask: str, answer: str) -> None:
    """The child's side."""
    import importlib

    threading.Thread(target=_end_with_parent, args=(Path(ask).parent,), daemon=True).start()
    module, _, qualified = name.partition(":")
    function: Any = importlib.import_module(module)
    for part in qualified.split("."):
        function = getattr(function, part)
    found = function(json.loads(Path(ask).read_text(encoding="utf-8")))
    Path(answer).write_text(json.dumps(found), encoding="utf-8")


def _end_with_parent(folder: Path) -> None:
    """Nobody writes into stdin; it ends when the parent does, even where that was killed."""
    os.read(0, 1)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)
