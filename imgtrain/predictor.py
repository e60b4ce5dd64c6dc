"""A trained model that scores pictures: needs ``model.safetensors`` and nothing else."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from imgtrain.engine.device import ComputePlan, apply, plan_compute, usable_cores
from imgtrain.engine.infer import probabilities
from imgtrain.engine.model import Recipe
from imgtrain.engine.state import SCORING_BATCH, Normalise
from imgtrain.engine.weights import as_layout, read_model
from imgtrain.loading.cache import Nowhere
from imgtrain.loading.loader import Loader, Pictures
from imgtrain.loading.samplewise import scoring_view
from imgtrain.loading.sampling import Share, scoring_shares
from imgtrain.rundir import find_run
from imgtrain.settings.schema import HardwareSettings


@dataclass(frozen=True, slots=True)
class Prediction:
    """One picture's result.

    Args:
        path: As it was given.
        probs: Shape (C,), float32, in class order; None when the picture cannot be read.
        error: Why it cannot be read; None when it can.
    """

    path: str
    probs: NDArray[np.float32] | None
    error: str | None


class Files:
    """Pictures by path, one number each; satisfies ``Source``."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths

    def __len__(self) -> int:
        """How many."""
        return len(self._paths)

    def path(self, i: int) -> str:
        """As given."""
        return self._paths[i]

    def read(self, i: int) -> bytes:
        """The file's bytes."""
        try:
            return Path(self._paths[i]).read_bytes()
        except ValueError as error:  # as in a list from find -print0
            raise OSError(errno.EINVAL, "the name holds a zero byte") from error

    def stamp(self, i: int) -> tuple[int, int]:
        """Size in bytes, time of change in ns."""
        found = Path(self._paths[i]).stat()
        return found.st_size, found.st_mtime_ns


class Predictor:
    """A model ready to score.

    Args:
        model: The network, on its device.
        recipe: What its classes mean and what it wants to see.
        compute: How it computes.
    """

    def __init__(self, model: torch.nn.Module, recipe: Recipe, compute: ComputePlan) -> None:
        self.recipe, self.compute = recipe, compute
        self._model = as_layout(
            model, device=compute.torch_device, channels_last=compute.channels_last
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """Names in the order of the probabilities."""
        return self.recipe.classes

    def predict(self, paths: Iterable[str | Path]) -> list[Prediction]:
        """Score every picture; one that cannot be read has an ``error`` instead of ``probs``."""
        return list(self.stream([str(path) for path in paths]))

    def stream(self, paths: Sequence[str]) -> Iterator[Prediction]:
        """The same, one after the other, in bounded memory."""
        pictures = Pictures(Files(paths), self.recipe.preprocess, Nowhere(), on_bad="skip")
        unknown = np.zeros(len(paths), np.int64)
        loader = Loader(pictures, unknown, self.compute.torch_device, threads=usable_cores())
        normalise = Normalise(self.recipe.preprocess, self.compute)
        view = scoring_view(self.recipe.preprocess)
        every = np.arange(len(paths), dtype=np.int64)
        shares: Iterator[Share] = scoring_shares(every, SCORING_BATCH, rank=0, world_size=1)
        try:
            for batch in loader.batches(shares, view):
                found, probs = probabilities(self._model, [batch], normalise, self.compute)
                rows = dict(zip(found.tolist(), probs, strict=True))
                for i in batch.pictures.tolist():
                    yield Prediction(paths[i], rows.get(i), pictures.bad.pop(i, None))
        finally:
            loader.close()


def load(
    run: str | Path | None = None,
    *,
    output: Path = Path("runs"),
    hardware: HardwareSettings | None = None,
) -> Predictor:
    """The model of a run, or of a ``model.safetensors``; the newest run when none is named.

    Scoring is in fp32 unless ``hardware.precision`` or ``hardware.amp`` asks otherwise.

    Raises:
        RunError: If it is not there or broken.
    """
    path = Path(run) if run is not None else None
    if path is None or not path.is_file():
        which = None if run is None else str(run)
        path = find_run(which, output, having="model.safetensors").weights
    model, recipe = read_model(path)
    hardware = hardware or HardwareSettings()
    if hardware.precision == "auto" and not hardware.amp:
        hardware = hardware.model_copy(update={"precision": "fp32"})
    compute = plan_compute(hardware, image_size=recipe.preprocess.size)
    apply(compute)
    return Predictor(model, recipe, compute)
