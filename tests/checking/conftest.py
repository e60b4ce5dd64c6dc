"""A small set of photos on disk, and the command line run in this process."""

import os
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "data"))

from scenes import encoded, scene

from imgtrain import console
from imgtrain.cli import run


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def photos():
    """JPEGs of which none is a copy of another."""
    return [encoded(scene(seed, (120, 90))) for seed in range(24)]


@pytest.fixture
def folder(tmp_path, photos):
    """Photos of two classes in train (5 each) and test (3 each)."""
    root = tmp_path / "data"
    waiting = iter(photos)
    for part, number in (("train", 5), ("test", 3)):
        for label in ("cat", "dog"):
            (root / part / label).mkdir(parents=True)
            for i in range(number):
                (root / part / label / f"{i}.jpg").write_bytes(next(waiting))
    return root


@pytest.fixture
def imgtrain(tmp_path, monkeypatch, capsys):
    """Run a command line in an empty folder."""
    for name in [n for n in os.environ if n.startswith("IMGTRAIN_") and n != "IMGTRAIN_CACHE"]:
        monkeypatch.delenv(name)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")

    def call(*argv):
        code = run([*map(str, argv)])
        return Ended(code, *capsys.readouterr())

    yield call
    console.set_verbosity(0)
