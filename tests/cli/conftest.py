"""The command line, run in this process: exit code, stdout, stderr."""

import os
from typing import NamedTuple

import pytest

from imgtrain import console
from imgtrain.cli import run


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def imgtrain(tmp_path, monkeypatch, capsys):
    """Run a command line in an empty folder, without the caller's variables."""
    for name in [n for n in os.environ if n.upper().startswith("IMGTRAIN_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")

    def call(*argv):
        code = run(argv)
        return Ended(code, *capsys.readouterr())

    yield call
    console.set_verbosity(0)
