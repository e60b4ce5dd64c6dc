"""Every fold's model on the same pictures: decoded once, seen by one model after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import reduce

import numpy as np
import torch
from numpy.typing import NDArray

from imgtrain import console
from imgtrain.classical import artefact
from imgtrain.data.index import Index
from imgtrain.data.listing import Ints
from imgtrain.engine.device import ComputePlan, apply, plan_compute, usable_cores
from imgtrain.engine.infer import Probabilities, averaged, probabilities
from imgtrain.engine.recipe import Recipe
from imgtrain.engine.state import SCORING_BATCH, Normalise
from imgtrain.engine.weights import as_layout, read_model
from imgtrain.engine.world import World, local_place
from imgtrain.errors import DataError, RunError
from imgtrain.loading.loader import Loader, Pictures
from imgtrain.loading.sampling import scoring_shares
from imgtrain.loading.shelf import Shelf
from imgtrain.loading.tta import views
from imgtrain.metrics.confusion import Floats
from imgtrain.rundir import RunDir
from imgtrain.settings.schema import Settings


@dataclass(frozen=True, slots=True)
class Members:
    """The models that score, and what on.

    ``bad`` holds the pictures that could not be read, by their number.
    """

    runs: tuple[RunDir, ...]
    settings: Settings
    index: Index
    shelf: Shelf
    world: World
    bad: dict[int, str] = field(default_factory=dict)


def score_members(members: Members, positions: Ints) -> tuple[Ints, Floats]:
    """Probabilities of every member, in fp32, in all processes.

    Returns:
        Positions of the N pictures that every member could read, and an array (M, N, C).

    Raises:
        DataError: If none can be read.
        RunError: If a model is gone or broken, or its classes are others than the data's.
    """
    seen: list[Probabilities] = []
    for run in members.runs:
        console.detail(f"scoring {len(positions)} pictures with {run.name}")
        seen.append(_score_one(members, run, positions))
    found, rows = in_common(seen)
    if not len(found):
        raise DataError(
            "none of the pictures that are held out can be read",
            "bring them back, and the same command joins the folds",
        )
    return found, np.stack(rows).astype(np.float64)


def in_common(seen: Sequence[Probabilities]) -> tuple[Ints, list[NDArray[np.float32]]]:
    """The pictures that are in all of ``seen``, in order, and each one's rows for them.

    A file may vanish between two looks at it.
    """
    everywhere = reduce(np.intersect1d, [positions for positions, _ in seen])
    first = seen[0][0]
    found: Ints = first[np.isin(first, everywhere)]
    return found, [probs[np.isin(positions, everywhere)] for positions, probs in seen]


def _score_one(members: Members, run: RunDir, positions: Ints) -> Probabilities:
    data, world = members.settings.data, members.world
    model, recipe = _model(run)
    if recipe.classes != members.index.classes:
        raise RunError(f"{run.path} knows other classes than {members.index.root}")
    compute = _exact(members.settings, recipe)
    model = as_layout(model, device=compute.torch_device, channels_last=compute.channels_last)
    store = members.shelf.store(recipe.preprocess, kind=data.cache, gigabytes=data.cache_gb)
    pictures = Pictures(members.index.source, recipe.preprocess, store, on_bad=data.on_bad_image)
    pictures.bad.update(members.bad)
    threads = usable_cores() if data.workers == "auto" else data.workers
    loader = Loader(pictures, members.index.labels, compute.torch_device, threads=threads)
    normalise = Normalise(recipe.preprocess, compute)
    try:
        seen = [
            probabilities(
                model,
                loader.batches(
                    scoring_shares(
                        positions, SCORING_BATCH, rank=world.rank, world_size=world.size
                    ),
                    view,
                ),
                normalise,
                compute,
            )
            for view in views(recipe.preprocess, members.settings.augment.tta)
        ]
    finally:
        loader.close()
    for bad in world.gather(pictures.bad):
        members.bad.update(bad)
    found, rows = in_common(seen)
    mine = found, averaged(rows)
    gathered = world.gather(mine)
    shares = [share for share in gathered if len(share[0])] or gathered[:1]
    return np.concatenate([s[0] for s in shares]), np.concatenate([s[1] for s in shares])


def _model(run: RunDir) -> tuple[torch.nn.Module, Recipe]:
    if not run.weights.is_file():
        raise RunError(
            f"{run.weights} is gone",
            f"remove the folder {run.path}: imgtrain cv --resume {run.path.parent} trains it again",
        )
    if artefact.is_classical(run.weights):
        found = artefact.read(run.weights)
        return found.model, found.recipe
    return read_model(run.weights)


def _exact(settings: Settings, recipe: Recipe) -> ComputePlan:
    rank, size = local_place()
    compute = plan_compute(
        settings.hardware, image_size=recipe.preprocess.size, local_rank=rank, local_size=size
    )
    compute = replace(compute, precision="fp32")
    apply(compute)
    return compute
