"""Parts of the network that keep their weights, for the whole training or until they thaw.

Stem and stages are timm's own (``group_matcher``): the stages of a convolutional net, the blocks of
a transformer. What follows the last stage and is not the classifier (a last norm, a projection) is
frozen with ``backbone`` alone, and thaws with the last stage.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import timm
import torch
from torch import nn

from imgtrain.engine.optim import classifier_names
from imgtrain.errors import SettingsError
from imgtrain.settings.schema import ModelSettings

Names = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stages:
    """Names of a network's parameters, from the picture to the classifier.

    Args:
        stem: Before the first stage.
        stages: Of each stage.
        neck: Between the last stage and the classifier.
    """

    stem: Names
    stages: tuple[Names, ...]
    neck: Names

    def __str__(self) -> str:
        """``stem, 1 layer1, 2 layer2, 3 layer3, 4 layer4``."""
        for depth in (1, 2, 3):
            names = [_shared(stage, depth) for stage in self.stages]
            if len({*names}) == len(names):
                break
        numbered = [f"{i} {name}" for i, name in enumerate(names, start=1)]
        return ", ".join(["stem", *numbered])


def _shared(names: Names, depth: int) -> str:
    """How most of the names begin, to this depth of dots."""
    starts = Counter(".".join(n.split(".")[:depth]) for n in names)
    return starts.most_common(1)[0][0]


def stages_of(model: nn.Module) -> Stages | None:
    """The network as timm cuts it; None where timm does not."""
    from timm.models import group_parameters

    matcher = getattr(model, "group_matcher", None)
    if not callable(matcher):
        return None
    head = classifier_names(model)
    found = group_parameters(model, matcher(coarse=True))
    parts = [tuple(n for n in found[i] if n not in head) for i in sorted(found)]
    stem, *stages, neck = parts
    return Stages(stem, tuple(s for s in stages if s), neck)


@dataclass(frozen=True, slots=True)
class Freezing:
    """What is frozen, and when it thaws.

    Args:
        thaws: For the name of each frozen parameter, the epoch at whose beginning it thaws; None
            never does.
        text: The same in words.
    """

    thaws: Mapping[str, int | None]
    text: str

    @property
    def waves(self) -> dict[str, int]:
        """The epoch of those that thaw."""
        return {name: epoch for name, epoch in self.thaws.items() if epoch is not None}

    def begin(self, model: nn.Module, epoch: int) -> bool:
        """Set ``model`` up for an epoch; return whether parameters learn that did not before.

        What is frozen has no gradient and is in evaluation mode: running means stay, dropout is
        off. The rest is left in the mode that it is in.
        """
        changed = False
        for name, parameter in model.named_parameters():
            if name in self.thaws:
                due = self.thaws[name]
                learns = due is not None and due <= epoch
                changed = changed or (learns and not parameter.requires_grad)
                parameter.requires_grad_(learns)
        _still(model)
        return changed


def _still(module: nn.Module) -> None:
    """Evaluation mode for every part of which nothing learns."""
    parameters = list(module.parameters())
    if parameters and not any(p.requires_grad for p in parameters):
        module.eval()
        return
    for child in module.children():
        _still(child)


def forget_steps(optimizer: torch.optim.Optimizer, epoch: int) -> None:
    """What thaws in this epoch starts as in a new optimizer.

    Nothing is kept for a parameter without gradient; only LAMB counts steps of a whole group.
    """
    for group in optimizer.param_groups:
        if group.get("thaws") == epoch and "step" in group:
            group["step"] = torch.zeros_like(group["step"])


def make_freezing(model: nn.Module, settings: ModelSettings) -> Freezing | None:
    """What the settings freeze of ``model``.

    Raises:
        SettingsError: If the network has no such stages, with those that it has.
    """
    freeze = settings.freeze
    if freeze is None:
        return None
    epochs = settings.unfreeze_epochs or ()
    learning = [name for name, p in model.named_parameters() if p.requires_grad]
    head, found = classifier_names(model), stages_of(model)
    if freeze == "backbone" and not head:
        raise SettingsError(
            f"--freeze backbone: {settings.name} does not tell which layer is its classifier",
            "take another model, or leave it out",
        )
    frozen: dict[str, int | None] = {}
    if freeze == "backbone":
        frozen = dict.fromkeys(name for name in learning if name not in head)
    units = _units(found, settings)
    for unit in units:
        frozen |= dict.fromkeys(name for name in unit if name in learning)
    for epoch, unit in zip(epochs, reversed(units), strict=False):
        frozen |= dict.fromkeys((name for name in unit if name in frozen), epoch)
    return Freezing(frozen, _in_words(freeze, found, epochs))


def _units(found: Stages | None, settings: ModelSettings) -> list[Names]:
    """What thaws at one time, from the picture on."""
    freeze, epochs = settings.freeze, settings.unfreeze_epochs or ()
    if freeze == "backbone" and not epochs:
        return []
    if found is None:
        flag = f"--freeze {freeze}" if freeze != "backbone" else "--unfreeze-epochs"
        raise SettingsError(
            f"{flag}: timm does not tell the stages of {settings.name}",
            "use --freeze backbone alone, or take another model",
        )
    stages = list(found.stages)
    if freeze == "backbone":
        stages[-1] += found.neck
    elif isinstance(freeze, int):
        if freeze > len(stages):
            raise SettingsError(
                f"--freeze {freeze}: {settings.name} has {len(stages)} stages ({found})",
                f"take at most {len(stages)}, or --freeze backbone",
            )
        stages = stages[:freeze]
    if len(epochs) > len(stages) + 1:
        raise SettingsError(
            f"--unfreeze-epochs {','.join(map(str, epochs))} thaws {len(epochs)} parts, "
            f"{len(stages) + 1} are frozen (stem and {len(stages)} stages)",
            "leave out some of them",
        )
    return [found.stem, *stages]


def _in_words(freeze: int | str, found: Stages | None, epochs: tuple[int, ...]) -> str:
    """``stem and 3 of 4 stages fixed, thawing at epochs 2, 4``."""
    if freeze == "backbone":
        fixed = "all but the classifier fixed"
    else:
        total = len(found.stages) if found is not None else 0
        fixed = f"stem and {freeze} of {total} stages fixed"
    thaw = f", thawing at epoch{'s' if len(epochs) > 1 else ''} {', '.join(map(str, epochs))}"
    return fixed + (thaw if epochs else "")


def check_freezing(settings: ModelSettings) -> None:
    """Refuse what the network cannot freeze, before its weights are made.

    One of a plugin's is looked at when it is built.

    Raises:
        SettingsError: With the stages that there are.
    """
    if settings.freeze is None or not timm.is_model(settings.name):
        return
    with torch.device("meta"):
        model = timm.create_model(settings.name)
    make_freezing(model, settings)
