"""An exported file as a model that scores pictures, alone or among others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imgtrain.engine.device import ComputePlan, plan_compute
from imgtrain.engine.infer import averaged
from imgtrain.engine.recipe import Recipe
from imgtrain.errors import SettingsError
from imgtrain.export.about import About
from imgtrain.export.formats import Run, of_file, read
from imgtrain.loading.loader import Batch
from imgtrain.settings.schema import HardwareSettings


def is_exported(path: Path) -> bool:
    """Whether the name is that of an exported file."""
    return of_file(path) is not None


class Exported:
    """What a file computes, asked as the run that it came from.

    Args:
        run: Pixels to probabilities.
        about: What the file says of itself.
        compute: On the CPU.
        weight: How much it counts among several.
    """

    def __init__(self, run: Run, about: About, compute: ComputePlan, weight: float = 1.0) -> None:
        self.run, self.about, self.compute, self.weight = run, about, compute, weight

    @property
    def recipe(self) -> Recipe:
        """Its classes and what it wants to see."""
        return self.about.recipe

    def probabilities(
        self, views: Sequence[Batch], classes: Sequence[str]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """As ``imgtrain.ensemble.Member`` does it: positions (B,), probabilities (B, C)."""
        good = views[0].mask.numpy()
        probs = averaged([self.run(batch.pixels.numpy())[good] for batch in views])
        own = self.recipe.classes
        if own != tuple(classes):
            probs = probs[:, [own.index(name) for name in classes]]
        return views[0].pictures[good], probs


def read_exported(path: Path, hardware: HardwareSettings, weight: float = 1.0) -> Exported:
    """The model of an exported file.

    Raises:
        RunError: If it is broken, hostile or not ours.
        OutsideError: If what runs it is not installed.
        SettingsError: If something else than the CPU and fp32 is asked for.
    """
    if hardware.device not in {"auto", "cpu"} or hardware.gpus is not None:
        raise SettingsError(
            f"{path} is computed on the CPU here", "leave out --device and --gpus, or name its run"
        )
    if hardware.precision not in {"auto", "fp32"} or hardware.amp:
        raise SettingsError(
            f"{path} computes as it was exported", "leave out --precision and --amp"
        )
    on_cpu = hardware.model_copy(update={"device": "cpu", "precision": "fp32"})
    compute = plan_compute(on_cpu, image_size=1)
    about, run = read(path, compute.threads)
    return Exported(run, about, compute, weight)
