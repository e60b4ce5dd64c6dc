"""``--freeze backbone``: a classifier on the features of a network that no longer learns.

The network sees each picture once where nothing varies the pictures; else it runs in every epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from imgtrain import console
from imgtrain.data.split import Split
from imgtrain.engine.course import Course
from imgtrain.engine.device import ComputePlan
from imgtrain.engine.features import FeatureLoader, Frozen, Probe, example_for, width_of
from imgtrain.engine.recipe import Recipe
from imgtrain.engine.state import Normalise, TrainState
from imgtrain.engine.world import World
from imgtrain.loading.loader import Loader
from imgtrain.loading.rows import RowLoader
from imgtrain.settings.schema import Settings


def varied_by(settings: Settings) -> list[str]:
    """Flags that make pictures differ between epochs, or want the pictures themselves."""
    augment = settings.augment
    asked = {
        f"--augmentation-policy {augment.policy}": augment.policy not in ("auto", "none"),
        "--random-erasing": augment.erase > 0,
        "--mixup-alpha": augment.mixup_alpha not in ("auto", 0),
        "--cutmix-alpha": augment.cutmix_alpha not in ("auto", 0),
        "--image-sizes": settings.train.image_sizes is not None,
        "train.realised": _realises_sizes(settings.train.realised),
        "--teacher": settings.loss.teacher is not None,
    }
    return [flag for flag, is_on in asked.items() if is_on]


def _realises_sizes(text: str | None) -> bool:
    """Whether what is repeated showed pictures of several sizes to the network itself."""
    return text is not None and bool(Course.parse(text).sizes)


def decide_policy(flat: dict[str, Any], settings: Settings) -> None:
    """``auto`` varies no picture where only the classifier learns: a pass each epoch is saved."""
    model = settings.model
    if model.freeze != "backbone" or model.unfreeze_epochs is not None:
        return
    varied = varied_by(settings)
    if varied:
        console.say(
            f"the frozen backbone runs in every epoch, as {' and '.join(varied)} "
            f"{'needs' if len(varied) == 1 else 'need'} it "
            "(--augmentation-policy none alone lets it run once)"
        )
    elif flat["augment.policy"] == "auto":
        flat["augment.policy"] = "none"
        console.say(
            "no augmentation: so the frozen backbone sees each picture once "
            "(--augmentation-policy light varies them, and runs it in every epoch)"
        )


def trains_on_features(settings: Settings) -> bool:
    """Whether a resolved training needs the network's features of each picture only once."""
    model = settings.model
    still = settings.augment.policy == "none" and not varied_by(settings)
    return model.freeze == "backbone" and model.unfreeze_epochs is None and still


@dataclass(frozen=True, slots=True)
class Seen:
    """What learns, and what it is shown."""

    model: nn.Module
    loader: Loader | RowLoader
    normalise: Callable[[Tensor], Tensor]
    compute: ComputePlan

    @property
    def is_probe(self) -> bool:
        """Whether it is features that are shown."""
        return isinstance(self.loader, FeatureLoader)


def on_features(seen: Seen, settings: Settings, recipe: Recipe, split: Split, world: World) -> Seen:
    """The classifier instead of the network, and features instead of pictures.

    The classifier computes in fp32 unless a precision was asked for: there is nothing to gain from
    less. A network whose classifier cannot be told from the rest stays as it is.
    """
    assert isinstance(seen.loader, Loader)
    width = width_of(seen.model, example_for(recipe, seen.compute))
    if width is None:
        console.say(
            f"the features of {recipe.architecture} cannot be told from its classifier: "
            "the frozen backbone runs in every epoch"
        )
        return seen
    probe = Probe(seen.model, recipe.drop_rate).to(seen.compute.torch_device)
    frozen = Frozen(
        seen.model,
        recipe,
        compute=seen.compute,
        loader=seen.loader,
        positions=split.used(),
        world=world,
    )
    data, hardware = settings.data, settings.hardware
    known = frozen.open(data.root, width=width, kind=data.cache, gigabytes=data.cache_gb)
    left_open = hardware.precision == "auto" and hardware.amp is None
    compute = replace(seen.compute, precision="fp32") if left_open else seen.compute
    return Seen(probe, FeatureLoader(frozen, known), lambda features: features, compute)


def whole_model(state: TrainState) -> nn.Module:
    """The network that predicts: what learns, or the frozen network with the classifier learnt."""
    loader = state.loader
    return loader.frozen.whole(state.model) if isinstance(loader, FeatureLoader) else state.model


def through_network(state: TrainState) -> TrainState:
    """The same training, its whole network looking at pictures: for several views of each."""
    loader = state.loader
    if not isinstance(loader, FeatureLoader):
        return state
    model = whole_model(state)
    normalise = Normalise(loader.pictures.preprocess, state.compute)
    return replace(state, model=model, net=model, ema=None, loader=loader.seen, normalise=normalise)
