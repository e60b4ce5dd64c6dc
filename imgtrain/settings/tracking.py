"""Settings of trackers: who else is told how a training goes."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, NonNegativeFloat, PositiveInt

from imgtrain.registry import TRACKERS
from imgtrain.settings import modules
from imgtrain.settings.fields import Flag, Name, Section
from imgtrain.settings.wording import SomeOf


def _names(value: object) -> object:
    """``"mlflow, wandb"`` is two names, a lone ``none`` is nobody."""
    found = modules.pieces(value)
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        return value
    names = list(dict.fromkeys(found))
    return [] if names in (["none"], ["off"]) else names


def _own(name: str, metavar: str | None = None) -> Flag:
    return Flag((f"--track-{name}",), metavar, identity="free")


class TrackSettings(Section):
    """Who else is told how it goes: experiment trackers."""

    to: Annotated[
        tuple[str, ...],
        BeforeValidator(_names),
        SomeOf(TRACKERS),
        Flag(("--track",), "NAME,...", identity="free", repeats=True),
    ] = ()
    """Trackers: tensorboard, mlflow, wandb, or a plugin's; several with commas."""

    project: Annotated[Name | None, _own("project")] = None
    """Project at Weights & Biases; unset: WANDB_PROJECT, else imgtrain."""

    entity: Annotated[Name | None, _own("entity")] = None
    """User or team at Weights & Biases; unset: WANDB_ENTITY, else your own."""

    experiment: Annotated[Name | None, _own("experiment")] = None
    """Experiment of MLflow; unset: MLFLOW_EXPERIMENT_NAME, else imgtrain."""

    uri: Annotated[Name | None, _own("uri", "URI|DIR")] = None
    """MLflow's server, database or folder; unset: MLFLOW_TRACKING_URI, else a file in --output."""

    every: Annotated[PositiveInt | None, _own("every", "STEPS")] = None
    """Steps between two reports of running numbers at least; unset: four reports a second."""

    max_mb: Annotated[NonNegativeFloat, _own("max-mb", "MB")] = 100.0
    """Files above so many megabytes, weights included, are not sent along; 0 sends none."""
