"""A working folder that has what the documents speak of: pictures, runs, a server of sets."""

import contextlib
import csv
import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from imgtrain.cli import run as run_cli
from imgtrain.loading.locks import Lock
from imgtrain.settings.known import SETS

sys.path.insert(0, str(Path(__file__).parents[1] / "fetching"))

CLASSES = ("bird", "cat", "dog")
RUNS = {
    "cv": "imgtrain cv --data photos --folds 2",
    "tune": "imgtrain tune --data photos --trials 2",
    "train": "imgtrain train --data photos",
}
"""What every sandbox's runs are copies of: commands that the documents begin with, run once."""

_FOLDERS = {
    "cv": "photos-test_resnet-fast-dev-cv",
    "tune": "photos-test_resnet-fast-dev-tune",
    "train": "photos-test_resnet-fast-dev",
}

_TAKES_RUN = {
    *("--run", "--weights", "--teacher", "--resume", "--from", "--collect", "--folds-file"),
    *("--from-audit", "-c", "--config", "--init", "--baseline"),
}
_RUN_NAME = re.compile(
    r"(?:\./)?runs/([^/*]+)|([A-Z]+|cv-[a-z]+|[a-z]+-cv|photos-[\w-]+|seed-\d|first|big|other)(?=/|$)"
)


def picture(label, i, size=80):
    """A class is a colour and the place of a bar; the rest is noise."""
    rng = np.random.default_rng(1000 * label + i)
    pixels = rng.integers(0, 90, (size, size, 3)).astype(np.uint8)
    pixels[:, 8 + 24 * label : 24 + 24 * label, label] = 220
    return Image.fromarray(pixels)


def pictures(place):
    """``photos/`` with classes, ``new/`` and single pictures without, a manifest with a patient."""
    rows = []
    for label, name in enumerate(CLASSES):
        (place / "photos" / name).mkdir(parents=True)
        for i in range(12):
            path = place / "photos" / name / f"{i:02}.jpg"
            picture(label, i).save(path, quality=90)
            rows.append((path.relative_to(place), name, i % 6, i % 6))
    (place / "photos" / "cat" / "broken.jpg").write_bytes(b"\xff\xd8 and no more")
    (place / "new").mkdir()
    for i, name in enumerate(("new/1.jpg", "new/2.jpg", "new/3.png", "img.jpg", "a.jpg", "b.jpg",
                              "picture.png", "photo.jpg", "image.jpg")):  # fmt: skip
        picture(i % 3, 100 + i).save(place / name)
    for label, name in enumerate(CLASSES):
        (place / "new" / name).mkdir()
        picture(label, 200).save(place / "new" / name / "1.png")
    (place / "list.txt").write_text("img.jpg\nnew/1.jpg\n")
    with (place / "photos.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "group", "patient"), *rows])


def template(shared, environ):
    """A folder with pictures and finished runs, made once for all processes of the tests."""
    shared.mkdir(parents=True, exist_ok=True)
    place, before = shared / "template", Path.cwd()
    lock = Lock(shared / "template.lock")
    with contextlib.closing(lock), lock:
        if not (place / "done").exists():
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            pictures(place)
            os.chdir(place)
            try:
                with variables(environ):
                    for text in (*RUNS.values(), f"imgtrain data audit runs/{_FOLDERS['cv']}"):
                        assert run_cli(text.split()[1:]) == 0, text
            finally:
                os.chdir(before)
            (place / "done").touch()
    return place


class variables:  # noqa: N801  # reads as a word: with variables(...)
    """Within the block the process has these variables and no other of ours."""

    def __init__(self, environ):
        self._wanted = environ

    def __enter__(self):
        self._before = dict(os.environ)
        for name in [n for n in os.environ if n.startswith("IMGTRAIN_")]:
            del os.environ[name]
        os.environ.update(self._wanted)

    def __exit__(self, *_):
        os.environ.clear()
        os.environ.update(self._before)


class Sandbox:
    """A copy of the template, in which runs that a document names appear when they are named."""

    def __init__(self, place, source):
        self.place, self.source, self.environ = place, source, {}
        place.mkdir()
        for name in sorted(path.name for path in source.iterdir()):
            if name not in {"runs", "done"}:
                _link(source / name, place / name)
        weights = source / "runs" / _FOLDERS["train"] / "model.safetensors"
        shutil.copy(weights, place / "model.safetensors")
        self._provide("cv", "photos-cv")
        self._provide("train", "photos-test_resnet")

    def provide(self, words):
        """Make the runs and folders that a command names, where they are not there yet."""
        for before, word in zip(("", *words), words, strict=False):
            bare = before in _TAKES_RUN and re.match(r"(?!runs/)([\w-]+)(?=/|$)", word)
            named = bare or (before != "--name" and _RUN_NAME.match(word))
            name = named and next(filter(None, named.groups()))
            if name and name not in {"latest", "runs"}:
                self._provide(_kind(name, word), name)
            if before in {"--data", "-d"} and re.fullmatch(r"[\w-]+", word) and word not in SETS:
                _link(self.source / "photos", self.place / word)

    def _provide(self, kind, name):
        target = self.place / "runs" / name
        if not target.exists() and not (self.place / name).exists():
            target.parent.mkdir(exist_ok=True)
            shutil.copytree(self.source / "runs" / _FOLDERS[kind], target)


def _kind(name, word):
    """Which run a name promises."""
    is_cv = "cv" in name.split("-") or "fold" in word or "audit" in word
    return "cv" if is_cv else "tune" if name.endswith("-tune") else "train"


def _link(source, target):
    """The same files under another name: nothing may write into them, and nothing does."""
    if target.exists():
        return
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)
