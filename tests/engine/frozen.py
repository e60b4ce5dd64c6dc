"""A training of a classifier on the features of a small frozen network of timm's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from small import PREPROCESS, Shapes, plan_cpu, small_state

from imgtrain.engine.ema import Ema
from imgtrain.engine.features import FeatureLoader, Frozen, Probe, example_for, width_of
from imgtrain.engine.model import build
from imgtrain.engine.optim import make_optimizer
from imgtrain.engine.recipe import Recipe
from imgtrain.engine.state import Normalise, TrainState
from imgtrain.engine.world import World
from imgtrain.loading.cache import Nowhere
from imgtrain.loading.loader import Loader, Pictures
from imgtrain.settings.schema import OptimSettings

COUNT = 71
STILL = {"augment": {"policy": "none"}, "train": {"epochs": 3, "batch_size": 8}}


def recipe_of(architecture="test_resnet", **changes):
    values = {
        "architecture": architecture,
        "classes": ("a", "b", "c"),
        "stem": "standard",
        "drop_rate": 0.0,
        "drop_path": 0.0,
        "preprocess": PREPROCESS,
    }
    return Recipe(**(values | changes))


def frozen_network(*, seed=3, source=None, world=None, recipe=None, bad=frozenset()):
    """The network whose features are wanted, and what counts its passes."""
    recipe = recipe or recipe_of()
    torch.manual_seed(seed)
    network = build(recipe)
    source = source or Shapes(COUNT, bad=bad)
    pictures = Pictures(source, recipe.preprocess, Nowhere(), on_bad="skip")
    loader = Loader(pictures, source.labels, torch.device("cpu"), threads=2)
    frozen = Frozen(
        network,
        recipe,
        compute=plan_cpu(),
        loader=loader,
        positions=np.arange(len(source)),
        world=world or World(),
    )
    seen = []
    network.conv1.register_forward_hook(lambda _module, found, _out: seen.append(len(found[0])))
    return frozen, seen


def feature_loader(frozen, *, kind="disk"):
    """A loader of its features, kept in the test's own cache folder."""
    width = width_of(frozen.network, example_for(recipe_of(), plan_cpu()))
    return FeatureLoader(frozen, frozen.open("shapes", width=width, kind=kind, gigabytes=1.0))


def probe_state(
    settings=None, *, dropout=0.0, world=None, seed=3, bad=frozenset()
) -> tuple[TrainState, list[int]]:
    """As ``small_state``, but the classifier of a frozen network learns, on its features."""
    state = small_state(settings=STILL | (settings or {}), world=world, bad=bad)
    state.loader.close()
    frozen, seen = frozen_network(seed=seed, world=world, bad=bad)
    probe = Probe(frozen.network, dropout)
    return replace(
        state,
        model=probe,
        net=state.world.wrap(probe, torch.device("cpu")),
        optimizer=_optimizer(probe),
        loader=feature_loader(frozen),
        normalise=lambda features: features,
        ema=None if state.ema is None else Ema(probe, 0.9),
    ), seen


class Still(torch.nn.Module):
    """A network whose classifier alone can be put into training mode."""

    def __init__(self, network):
        super().__init__()
        self.network = network.eval().requires_grad_(requires_grad=False)
        self.network.get_classifier().requires_grad_(requires_grad=True)

    def forward(self, inputs):
        return self.network(inputs)

    def train(self, mode=True):  # noqa: ARG002, FBT002  # torch's signature
        return self


def network_state(settings=None, *, bad=frozenset()) -> TrainState:
    """The same training through the network, every picture in every epoch."""
    state = small_state(settings=STILL | (settings or {}), bad=bad)
    frozen, _ = frozen_network(bad=bad)
    state.loader.close()
    model = Still(frozen.network)
    return replace(
        state,
        model=model,
        net=model,
        optimizer=_optimizer(model),
        loader=frozen.loader,
        normalise=Normalise(PREPROCESS, plan_cpu()),
    )


def _optimizer(model):
    return make_optimizer(model, OptimSettings(), lr=0.02, weight_decay=0.05, fused=True)
