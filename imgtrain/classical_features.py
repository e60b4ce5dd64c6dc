"""What a classical model sees: features decided, their network made, and the table of numbers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from imgtrain import console
from imgtrain.classical.artefact import features_of
from imgtrain.data.index import Index
from imgtrain.data.inspect import look
from imgtrain.data.split import Split
from imgtrain.engine.device import ComputePlan
from imgtrain.engine.features import FeatureLoader, Frozen, example_for, width_of
from imgtrain.engine.hub import build_pretrained, why_not
from imgtrain.engine.model import build
from imgtrain.engine.recipe import Recipe
from imgtrain.engine.state import SCORING_BATCH, Normalise
from imgtrain.engine.transfer import take_over
from imgtrain.engine.weights import as_layout, read_start
from imgtrain.engine.world import World
from imgtrain.errors import RunError, SettingsError
from imgtrain.loading.loader import Loader
from imgtrain.loading.samplewise import scoring_view
from imgtrain.loading.sampling import scoring_shares
from imgtrain.resolve import SMALL, make_recipe, resolve
from imgtrain.settings.classical import has_meaning
from imgtrain.settings.layers import flatten, from_flat
from imgtrain.settings.schema import Settings

PIXELS = "pixels"
MOST_PIXELS = 2**14
"""So many numbers of a picture a classical model takes: 64 x 64 in colour, and a little more."""

_USUAL = "resnet18"
_PHOTO_SIDE = 32
"""Side to which photos are shrunk where raw pixels are compared."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What a classical model sees, decided.

    Args:
        settings: No longer open; what means nothing to the model is at its default.
        inner: The settings under which ``network`` is made.
        natural: Whether pictures are natural-sized.
        trained: A run's network and recipe, where ``--weights`` names one.
    """

    settings: Settings
    inner: Settings
    natural: bool
    trained: tuple[nn.Module, Recipe] | None

    @property
    def features(self) -> str:
        """``pixels`` or an architecture."""
        return self.settings.model.features


def decide_sight(settings: Settings, index: Index, split: Split) -> Sight:
    """Which features, from which weights, at which size.

    Raises:
        SettingsError: If the settings contradict each other or the data.
    """
    trained = _trained(settings)
    seen = look(index.source, split.used())
    natural = index.natural and seen.max_side > SMALL
    features = _chosen(settings, trained, natural=natural)
    flat = flatten(settings)
    mean_is_open = flat["data.normalize_mean"] == "model"
    std_is_open = flat["data.normalize_std"] == "model"
    flat |= {"model.name": _USUAL if features == PIXELS else features, "model.features": "auto"}

    def decide(key: str, value: object, open_: str = "auto") -> None:
        if flat[key] == open_:
            flat[key] = value

    if features == PIXELS:
        flat["model.pretrained"] = False
        if natural:
            decide("data.image_size", _PHOTO_SIDE)
    elif trained is not None:
        p = trained[1].preprocess
        decide("data.image_size", p.size)
        decide("data.channels", p.channels)
        decide("data.normalize_mean", list(p.mean), "model")
        decide("data.normalize_std", list(p.std), "model")
        decide("model.stem", trained[1].stem)
    elif settings.model.weights is None:
        decide("model.pretrained", value=True)
    decide("model.stem", "standard")
    resolved = resolve(from_flat(flat), index, split)
    inner = flatten(resolved.settings)
    channels = int(inner["data.channels"])
    if features == PIXELS:
        inner["data.normalize_mean"] = (
            [0.0] * channels if mean_is_open else inner["data.normalize_mean"]
        )
        inner["data.normalize_std"] = (
            [1.0] * channels if std_is_open else inner["data.normalize_std"]
        )
        _check_pixels(int(inner["data.image_size"]), channels)
    untouched = flatten(Settings())
    final = {key: value if has_meaning(key) else untouched[key] for key, value in inner.items()}
    final |= {"model.name": settings.model.name, "model.features": features}
    return Sight(from_flat(final), from_flat(inner), resolved.natural, trained)


def _trained(settings: Settings) -> tuple[nn.Module, Recipe] | None:
    """The network of ``--weights``, where that is a run or a model of ours."""
    where = settings.model.weights
    if where is None:
        return None
    start = read_start(where, settings.run.output)
    if start.recipe is None:
        return None
    network = build(start.recipe)
    try:
        network.load_state_dict(start.tensors)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise RunError(f"--weights {where} does not fit its own recipe: {reason}") from error
    return network.eval(), start.recipe


def _chosen(settings: Settings, trained: tuple[nn.Module, Recipe] | None, *, natural: bool) -> str:
    """``pixels`` or an architecture; what ``auto`` decides is said."""
    asked, where = settings.model.features, settings.model.weights
    if trained is not None:
        own = trained[1].architecture
        if asked not in ("auto", own):
            raise SettingsError(
                f"--features {asked}: the weights of {where} are those of {own}",
                f"leave out --features, or say --features {own}",
            )
        return own
    if asked == "auto" and where is not None:
        raise SettingsError(
            f"--weights {where} does not say which model it is of", "name it with --features NAME"
        )
    if asked != "auto":
        return asked
    offline = settings.hardware.offline
    if (
        natural
        and settings.model.pretrained is not False
        and why_not(_USUAL, offline=offline) is None
    ):
        console.say(f"features: those of {_USUAL} (--features NAME takes others)")
        return _USUAL
    if settings.model.pretrained is True:
        return _USUAL
    why = (
        f"the weights of {_USUAL} are neither on this machine nor reachable"
        if natural and settings.model.pretrained is not False
        else "small pictures say enough themselves"
        if not natural
        else "no pretrained weights are wanted"
    )
    console.say(f"features: raw pixels, as {why} (--features NAME takes those of a network)")
    return PIXELS


def _check_pixels(size: int, channels: int) -> None:
    count = size * size * channels
    if count > MOST_PIXELS:
        fits = int((MOST_PIXELS / channels) ** 0.5)
        raise SettingsError(
            f"--features pixels: {size} x {size} x {channels} are {count:,} numbers a picture, "
            f"more than {MOST_PIXELS:,}",
            f"use --image-size {fits} or less, or --features NAME",
        )


def make_network(sight: Sight, recipe: Recipe, compute: ComputePlan) -> tuple[nn.Module, Recipe]:
    """The network whose features are seen, on its device, and its own recipe.

    Raises:
        SettingsError: If its features cannot be told from its classifier.
        OutsideError: If its pretrained weights cannot be had.
    """
    model = sight.inner.model
    if sight.trained is not None:
        network, recipe = sight.trained
        console.say(f"features of {recipe.architecture} as {model.weights} learnt it")
    else:
        torch.manual_seed(sight.settings.train.seed)
        if model.pretrained is True:
            network = build_pretrained(recipe, offline=sight.settings.hardware.offline)
        else:
            network = build(recipe)
            if model.weights is None:
                console.warn(f"the weights of {recipe.architecture} are random (--no-pretrained)")
        if model.weights is not None:
            taken = take_over(
                network,
                read_start(model.weights, sight.settings.run.output),
                recipe,
                model.weights,
            )
            console.say(f"features of {recipe.architecture} with {model.weights}: {taken}")
    network = as_layout(network, device=compute.torch_device, channels_last=compute.channels_last)
    if width_of(network, example_for(recipe, compute)) is None:
        raise SettingsError(
            f"--features {recipe.architecture}: its features cannot be told from its classifier",
            "take another model, such as --features resnet18",
        )
    return network.eval(), recipe


def recipe_for(sight: Sight, classes: tuple[str, ...], preprocess: Any) -> Recipe:
    """The classes and the preprocessing of the whole; of pixels nothing else counts."""
    recipe = make_recipe(sight.inner, classes, preprocess)
    if sight.features == PIXELS:
        return replace(recipe, architecture=PIXELS, stem="standard")
    return recipe


@dataclass(frozen=True, slots=True)
class Table:
    """Features (N, D) of the pictures at ``positions``, and which of them can be read."""

    positions: NDArray[np.int64]
    rows: NDArray[np.float32]
    good: NDArray[np.bool_]

    def part(self, wanted: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Positions and features of those of ``wanted`` that can be read."""
        at = np.searchsorted(self.positions, wanted)
        at = at[self.good[at]]
        return self.positions[at], self.rows[at]


def table_of(
    sight: Sight,
    network: nn.Module | None,
    recipe: Recipe,
    *,
    compute: ComputePlan,
    loader: Loader,
    split: Split,
    stack: ExitStack,
    stopped: Callable[[], bool],
) -> Table | None:
    """What the model sees of every picture; None if a signal came."""
    positions = np.sort(split.used())
    if network is None:
        return _pixels(recipe, compute, loader, positions, stopped)
    frozen = Frozen(
        network, recipe, compute=compute, loader=loader, positions=positions, world=World()
    )
    width = width_of(network, example_for(recipe, compute))
    assert width is not None
    data = sight.settings.data
    known = frozen.open(data.root, width=width, kind=data.cache, gigabytes=data.cache_gb)
    rows = FeatureLoader(frozen, known)
    stack.callback(rows.close)
    if not rows.ready(stopped):
        return None
    return Table(positions, np.array(known.rows), rows.is_good)


def _pixels(
    recipe: Recipe,
    compute: ComputePlan,
    loader: Loader,
    positions: NDArray[np.int64],
    stopped: Callable[[], bool],
) -> Table | None:
    p = recipe.preprocess
    rows = np.zeros((len(positions), p.size**2 * p.channels), np.float32)
    good, done = np.zeros(len(positions), np.bool_), 0
    normalise = Normalise(p, compute)
    shares = scoring_shares(positions, SCORING_BATCH, rank=0, world_size=1)
    for batch in loader.batches(shares, scoring_view(p)):
        here = slice(done, done + len(batch.pictures))
        rows[here] = features_of(None, normalise(batch.pixels)).cpu().numpy()
        good[here] = batch.mask.cpu().numpy()
        done = here.stop
        if stopped():
            return None
    return Table(positions, rows, good)
