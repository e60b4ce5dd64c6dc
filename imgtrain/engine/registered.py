"""Networks that plugins bring: built, and tried once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from imgtrain.errors import SettingsError
from imgtrain.registry import MODELS, options_of
from imgtrain.settings.schema import ModelSettings

_DROPOUTS = {
    "drop_rate": "--dropout",
    "drop_path": "--drop-path",
    "drop_block": "--drop-block",
}


def check_registered(settings: ModelSettings) -> None:
    """Refuse what a plugin's network does not have.

    Raises:
        SettingsError: With the flag.
    """
    name = settings.name
    told = f"--model {name} of plugin {MODELS.plugin(name)}"
    for option, flag in _DROPOUTS.items():
        if getattr(settings, option) and option not in options_of(MODELS[name].function):
            raise SettingsError(
                f"{told} has no parameter {option!r}",
                f"leave out {flag}, or let its function take {option}",
            )
    if settings.head != "linear":
        raise SettingsError(f"{told} has its own classifier", "leave out --head")
    if settings.attention is not None:
        raise SettingsError(f"{told} has no stages that are known", "leave out --attention")


def build_registered(
    name: str, *, classes: int, channels: int, size: int, dropouts: Mapping[str, float]
) -> nn.Module:
    """The network that a plugin calls ``name``, tried once.

    Args:
        name: A name in ``MODELS``.
        classes: Number of classes.
        channels: Of the pictures.
        size: Side of the pictures.
        dropouts: ``drop_rate``, ``drop_path``, ``drop_block``, for a function that takes them.

    Raises:
        SettingsError: If it gives something else than one logit a class.
    """
    function = MODELS[name].function
    given: dict[str, float] = {"classes": classes, "channels": channels, "size": size}
    given |= {k: value for k, value in dropouts.items() if k in options_of(function)}
    model: object = function(**given)
    if not isinstance(model, nn.Module):
        raise _wrong(name, f"gives {type(model).__name__}, not a torch.nn.Module")
    _try(name, model, (channels, size, size), classes)
    return model


def _try(name: str, model: nn.Module, shape: tuple[int, int, int], classes: int) -> None:
    """Two grey pictures through it, as when scoring, without a trace."""
    learns = model.training
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        found: object = model.eval()(torch.zeros(2, *shape))
    model.train(learns)
    shown = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
    if shown != (2, classes):
        raise _wrong(name, f"gives {shown} for 2 pictures of {classes} classes, not (2, {classes})")


def _wrong(name: str, what: str) -> SettingsError:
    return SettingsError(f"--model {name} of plugin {MODELS.plugin(name)} {what}")


def registered_defaults(name: str) -> dict[str, Any]:
    """What pictures it likes: ``size``, ``mean``, ``std``."""
    model = MODELS[name]
    return {"size": model.size, "mean": model.mean, "std": model.std}
