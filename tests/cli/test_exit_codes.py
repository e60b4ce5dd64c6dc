"""The one place where an error becomes an exit code."""

import errno
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import typer

from imgtrain import errors
from imgtrain.cli import exit_code

NO_MEMORY = (
    "error: out of memory\n  lower --batch-size (--accumulation-steps keeps the effective batch) "
    "or --image-size\n"
)


class OutOfMemoryError(RuntimeError):
    """Stands for torch's, which is not imported here."""


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (errors.SettingsError("m", "h"), 2, "error: m\n  h\n"),
        (errors.DataError("m"), 3, "error: m\n"),
        (errors.OutsideError("m"), 4, "error: m\n"),
        (errors.MemoryLimitError("m"), 5, "error: m\n"),
        (errors.RunError("m"), 6, "error: m\n"),
        (errors.DivergedError("m"), 7, "error: m\n"),
        (errors.DiskError("m"), 8, "error: m\n"),
        (errors.GateError("m"), 9, "error: m\n"),
        (errors.InterruptedRun(2, "m", "h"), 130, "warning: m\n  h\n"),
        (errors.InterruptedRun(15, "m"), 143, "warning: m\n"),
        (errors.DataError("[bold]x[/bold] \x1b[31m"), 3, "error: [bold]x[/bold] \\x1b[31m\n"),
        (KeyboardInterrupt(), 130, "warning: stopped\n"),
        (typer.Abort(), 130, "warning: stopped\n"),
        (SystemExit(7), 7, ""),
        (SystemExit(None), 0, ""),
        (
            OSError(errno.ENOSPC, "No space left on device", "runs/x"),
            8,
            (
                "error: cannot write runs/x: the disk is full\n"
                "  free some room or choose another place with --output DIR\n"
            ),
        ),
        (
            OSError(errno.EROFS, "Read-only file system"),
            8,
            (
                "error: cannot write a file: the disk is read-only\n"
                "  free some room or choose another place with --output DIR\n"
            ),
        ),
        (
            OSError(errno.EDQUOT, "Quota", "x"),
            8,
            (
                "error: cannot write x: the disk quota is used up\n"
                "  free some room or choose another place with --output DIR\n"
            ),
        ),
        (
            MemoryError(),
            5,
            NO_MEMORY,
        ),
        (
            OutOfMemoryError("CUDA out of memory"),
            5,
            NO_MEMORY,
        ),
        (
            RuntimeError("operator torchvision::nms does not exist"),
            4,
            (
                "error: torch and torchvision do not match: they come from different builds\n"
                "  install both from one index: pip install --force-reinstall torch torchvision\n"
            ),
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_what_a_user_can_mend(monkeypatch, capsys, error, code, text):
    """One sentence, what to do, and the code of the table in ``imgtrain.errors``."""
    monkeypatch.delenv("IMGTRAIN_DEBUG", raising=False)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(OutOfMemoryError=OutOfMemoryError))

    assert exit_code(error) == code
    assert capsys.readouterr() == ("", text)


@pytest.mark.parametrize("error", [ValueError("odd"), OSError(errno.EIO, "I/O"), BrokenPipeError()])
def test_a_bug_keeps_its_traceback(capsys, error):
    """Code 1, the traceback, and what to do with it."""
    assert exit_code(error) == 1

    err = capsys.readouterr().err
    assert type(error).__name__ in err
    assert err.endswith(
        "error: this is a bug in imgtrain\n"
        "  please report it with the command and the lines above\n"
    )


def test_debug_shows_every_traceback(monkeypatch, capsys):
    """``IMGTRAIN_DEBUG=1`` keeps message and code, and adds the way there."""
    monkeypatch.setenv("IMGTRAIN_DEBUG", "1")

    assert exit_code(errors.DataError("m")) == 3
    assert capsys.readouterr().err == "imgtrain.errors.DataError: m\nerror: m\n"


def test_a_reader_that_leaves_is_no_error():
    """``imgtrain ... | head`` says nothing and ends as other programs do: 128 + SIGPIPE."""
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        [sys.executable, "-m", "imgtrain", "config", "show"],
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)

    assert (ended.returncode, ended.stderr) == (141, b"")
