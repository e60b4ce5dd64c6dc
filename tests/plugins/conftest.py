"""Modules of a user, in a working folder of their own."""

import sys
from pathlib import Path

import pytest

from imgtrain import registry
from imgtrain.cli import run as run_cli
from imgtrain.settings import modules


class Ran:
    """What a command printed, and its exit code."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def work(tmp_path, monkeypatch):
    """An empty working folder; what is registered from here is forgotten afterwards."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(modules, "_imported", set())
    known = set(sys.modules)
    yield folder
    for name in set(sys.modules) - known:
        if str(folder) in (getattr(sys.modules[name], "__file__", None) or ""):
            del sys.modules[name]
    for table in registry.TABLES:
        for home in {table.plugin(name) for name in table.names()} - {None}:
            table.forget(home)


@pytest.fixture
def write(work):
    """Write a module into the working folder."""

    def write(name, text):
        Path(work, f"{name}.py").write_text(f"from imgtrain.plugins import *\n{text}\n")
        return name

    return write


@pytest.fixture
def imgtrain(work, monkeypatch, capfd):
    """Run a command line there; returns code, stdout and stderr."""
    monkeypatch.setenv("COLUMNS", "300")

    def command(*arguments):
        capfd.readouterr()
        code = run_cli([str(a) for a in arguments])
        return Ran(code, *capfd.readouterr())

    return command
