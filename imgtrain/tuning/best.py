"""What was found, as files: the values alone, and settings that a full training takes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imgtrain.files import write_text
from imgtrain.settings.layers import flatten, from_flat, to_yaml
from imgtrain.settings.schema import Settings
from imgtrain.settings.strict_yaml import dump

PARAMS, CONFIG = "best_params.yaml", "best_config.yaml"


def best_settings(settings: Settings, values: Mapping[str, Any], name: str | None) -> Settings:
    """The settings of a full training with these values.

    Args:
        settings: What the trials share; its epochs are those of a full training.
        values: What was found, by dotted key.
        name: Of the training's run.

    Raises:
        SettingsError: If they contradict each other.
    """
    gpus = settings.hardware.gpus
    own = {
        "hardware.gpus": gpus and gpus[:1],  # as a trial: several would make another batch
        "tune.space": None,
        "tune.storage": None,
        "run.name": name,
        "run.resume": None,
        "run.fresh": False,
    }
    return from_flat({**flatten(settings), **values, **own})


def write_best(
    folder: Path, settings: Settings, values: Mapping[str, Any], *, about: str = ""
) -> None:
    """Write ``best_params.yaml`` (dotted keys) and ``best_config.yaml`` (a settings file).

    Args:
        folder: The study's folder, after which the training is called.
        settings: What the trials share.
        values: What was found, by dotted key.
        about: Where the values come from, for the first line of the file: one line.

    Raises:
        DiskError: If one cannot be written.
        SettingsError: If a full training could not have these settings.
    """
    best = best_settings(settings, values, f"{folder.resolve().name}-best")
    write_text(folder / PARAMS, dump(dict(values)))
    head = f"# The best settings of {folder.resolve().name}{about and f': {about}'}\n"
    head += f"# A full training with them: imgtrain train -c {CONFIG}\n\n"
    write_text(folder / CONFIG, head + to_yaml(best))
