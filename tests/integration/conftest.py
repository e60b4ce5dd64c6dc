"""Small sets of real picture files, and the command line in this process."""

import json

import numpy as np
import pytest
from PIL import Image
from small_plots import SmallFigure

from imgtrain.cli import run as run_cli

TINY = [
    "--model", "test_resnet", "--image-size", "32", "--batch-size", "8", "--no-pretrained",
]  # fmt: skip
"""Half a million weights: an epoch of a small set takes a fraction of a second."""


def draw(label, i, size=40):
    """A picture of class ``label``: a bright bar whose place is the class, on noise."""
    rng = np.random.default_rng(1000 * label + i)
    pixels = rng.integers(0, 90, (size, size, 3)).astype(np.uint8)
    start = 4 + 12 * label
    pixels[:, start : start + 8] = 220
    return Image.fromarray(pixels)


def make_folder(root, counts, size=40, extension="png"):
    """``root/<class>/<i>.png`` for each class and its count."""
    for label, (name, count) in enumerate(counts.items()):
        folder = root / name
        folder.mkdir(parents=True, exist_ok=True)
        for i in range(count):
            draw(label, i, size).save(folder / f"{i:03d}.{extension}")
    return root


@pytest.fixture
def photos(tmp_path):
    """Three classes of 20 pictures, 80 pixels wide (photos, as far as imgtrain is concerned)."""
    return make_folder(tmp_path / "photos", {"left": 20, "middle": 20, "right": 20}, size=80)


@pytest.fixture(autouse=True)
def _small_plots(monkeypatch):
    """Drawing takes longer than training here."""
    monkeypatch.setattr("matplotlib.figure.Figure", SmallFigure)


class Ran:
    """What a command printed, and its exit code."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    @property
    def words(self):
        """Stderr on one line, so that wrapping does not matter."""
        return " ".join(self.err.split())

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def imgtrain(tmp_path, monkeypatch, capfd):
    """Run a command line in an empty working folder; returns code, stdout and stderr."""
    work = tmp_path / "work"
    work.mkdir(exist_ok=True)
    monkeypatch.chdir(work)
    monkeypatch.setenv("COLUMNS", "200")

    def command(*arguments):
        capfd.readouterr()
        code = run_cli([str(a) for a in arguments])
        out, err = capfd.readouterr()
        return Ran(code, out, err)

    return command
