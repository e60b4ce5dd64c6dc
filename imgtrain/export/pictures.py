"""On which pictures an export is compared with its run: the run's own, or others of its classes."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from imgtrain import console
from imgtrain.continuing import read_saved
from imgtrain.data.index import Index, Source, read_index
from imgtrain.data.split import Split
from imgtrain.engine.device import usable_cores
from imgtrain.engine.recipe import Recipe
from imgtrain.engine.state import SCORING_BATCH
from imgtrain.errors import DataError, ImgtrainError
from imgtrain.known_sets import find_root
from imgtrain.loading.cache import Nowhere
from imgtrain.loading.loader import Loader, Pictures
from imgtrain.loading.preprocess import Preprocess
from imgtrain.loading.sampling import scoring_shares
from imgtrain.loading.tta import views
from imgtrain.opening import cut_parts
from imgtrain.rundir import RunDir
from imgtrain.settings.schema import Settings

Ints = NDArray[np.int64]
Shown = tuple[NDArray[np.uint8], Ints]
"""Pixels (B, H, W, channels) as a network takes them, and labels (B,); -1 where none is known."""

NOISE = 64
"""So many pictures of noise, where there are no others."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Pictures by number, those to compare on and those to calibrate with.

    Args:
        source: Where their bytes are; None: noise.
        labels: Shape (N,), by the model's classes.
        part: Which part those to compare on are: ``val``, ``test`` or ``noise``.
        compared: Their positions.
        train: Positions of the training part.
    """

    source: Source | None
    labels: Ints
    part: str
    compared: Ints
    train: Ints

    def batches(
        self, positions: Ints, preprocess: Preprocess, size: int = SCORING_BATCH
    ) -> Iterator[Shown]:
        """Those that can be read, as scoring sees them."""
        if self.source is None:
            rng = np.random.default_rng(0)
            shape = (len(positions), preprocess.size, preprocess.size, preprocess.channels)
            yield rng.integers(0, 256, shape, np.uint8), self.labels[positions]
            return
        pictures = Pictures(self.source, preprocess, Nowhere(), on_bad="skip")
        loader = Loader(pictures, self.labels, torch.device("cpu"), threads=usable_cores())
        try:
            (view,) = views(preprocess, None)
            shares = scoring_shares(positions, size, rank=0, world_size=1)
            for batch in loader.batches(shares, view):
                good = batch.mask.numpy()
                if good.any():
                    yield batch.pixels.numpy()[good], batch.targets.numpy()[good]
        finally:
            loader.close()


def spread(positions: Ints, most: int | None) -> Ints:
    """At most so many of these, evenly spread, so that each class has its share."""
    if most is None or len(positions) <= most:
        return positions
    taken: Ints = positions[np.arange(most) * len(positions) // most]
    return taken


def find_sample(file: Path, recipe: Recipe, data: str | None, most: int | None) -> Sample:
    """The run's val part, else its test part; noise where the run's pictures are gone.

    Args:
        file: The run's ``model.safetensors``.
        recipe: What is exported.
        data: Other pictures than the run's own, as ``--data`` takes them.
        most: To compare on.

    Raises:
        DataError: If ``data`` cannot be read, or holds classes that the model does not know.
    """
    if data is not None:
        return _asked(data, _settings(file.parent), recipe, most)
    try:
        return _own(file.parent, recipe, most)
    except (ImgtrainError, OSError) as error:
        reason = error.message if isinstance(error, ImgtrainError) else str(error)
        console.warn(
            f"the run's own pictures cannot be had ({reason}): compared on {NOISE} pictures of "
            "noise; --data FOLDER names real ones"
        )
    every = np.arange(NOISE, dtype=np.int64)
    return Sample(None, np.full(NOISE, -1, np.int64), "noise", every, every[:0])


def _settings(folder: Path) -> Settings:
    return read_saved(RunDir(folder)) if (folder / "config.yaml").is_file() else Settings()


def _asked(data: str, settings: Settings, recipe: Recipe, most: int | None) -> Sample:
    """What ``--data`` names, in its own parts or cut as the run's were."""
    found = find_root(data)
    index = read_index(data if found is None else found)
    with console.hushed():
        split = cut_parts(index, settings.data.model_copy(update={"subset": None}))
    return _sample(index, split, recipe, most)


def _own(folder: Path, recipe: Recipe, most: int | None) -> Sample:
    """The parts that ``splits.csv`` lists."""
    if not (folder / "splits.csv").is_file() or not (folder / "config.yaml").is_file():
        raise DataError(f"{folder} names none")
    settings = _settings(folder)
    found = find_root(settings.data.root)
    index = read_index(
        settings.data.root if found is None else found, group_by=settings.data.group_by
    )
    numbers = {index.source.path(i): i for i in range(len(index.source))}
    parts: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    with (folder / "splits.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["path"] in numbers and row["part"] in parts:
                parts[row["part"]].append(numbers[row["path"]])
    split = Split(*(np.array(sorted(parts[name]), np.int64) for name in parts))
    return _sample(index, split, recipe, most)


def _sample(index: Index, split: Split, recipe: Recipe, most: int | None) -> Sample:
    strangers = [name for name in index.classes if name not in recipe.classes]
    if strangers:
        raise DataError(
            f"{index.root} has the class {strangers[0]!r}, which the model does not know",
            f"it knows {', '.join(recipe.classes[:10])}",
        )
    part = "val" if len(split.val) else "test"
    compared = spread(split.part(part), most)
    if not len(compared):
        raise DataError(f"{index.root} has neither a val nor a test part")
    to = np.array([recipe.classes.index(name) for name in index.classes], np.int64)
    return Sample(index.source, to[index.labels], part, compared, split.train)
