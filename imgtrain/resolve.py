"""What the settings leave open ("auto"), decided from data, model and machine, once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from imgtrain import console
from imgtrain.data.index import Index
from imgtrain.data.inspect import look
from imgtrain.data.split import Split
from imgtrain.engine.model import (
    Recipe,
    check_name,
    check_small_stem,
    model_defaults,
    small_stem_fits,
)
from imgtrain.engine.optim import default_lr, default_weight_decay
from imgtrain.engine.weights import can_get_pretrained
from imgtrain.errors import SettingsError
from imgtrain.loading.loader import Pictures
from imgtrain.loading.preprocess import Preprocess
from imgtrain.loading.statistics import channel_statistics
from imgtrain.settings.layers import flatten, from_flat
from imgtrain.settings.schema import Settings

SMALL = 64
"""Pictures up to this side are seen whole, at their own size, by a network with a small stem."""

_IMBALANCED = 1.5
"""From this ratio between the largest and the smallest class, macro F1 decides."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """Settings without open ends, and whether pictures are natural-sized (cropped at random)."""

    settings: Settings
    natural: bool


def resolve(settings: Settings, index: Index, split: Split) -> Resolved:
    """Decide every ``auto`` that depends on the data or the model.

    Raises:
        SettingsError: If the settings contradict the data.
    """
    check_name(settings.model.name)
    _check_parts(settings, split)
    seen = look(index.source, np.concatenate([split.train, split.val, split.test]))
    natural = index.natural and seen.max_side > SMALL
    own = model_defaults(settings.model.name)
    flat = flatten(settings)

    def decide(key: str, value: object) -> None:
        if flat[key] == "auto":
            flat[key] = value

    decide("data.image_size", own["size"] if natural else max(4, seen.max_side))
    decide("data.channels", 3 if seen.colour else 1)
    size = cast("int", flat["data.image_size"])
    for which in ("mean", "std"):
        if flat[f"data.normalize_{which}"] == "model":
            flat[f"data.normalize_{which}"] = _channels(own[which], int(str(flat["data.channels"])))
    _decide_start(flat, settings, natural=natural)
    decide("model.stem", "small" if small_stem_fits(settings.model.name, size) else "standard")
    if flat["model.stem"] == "small":
        check_small_stem(settings.model.name)
    _check_statistics(flat)
    decide("train.monitor", _monitor(index.labels[split.train]) if len(split.val) else "auto")
    decide("optim.weight_decay", default_weight_decay(settings.optim.name))
    return Resolved(from_flat(flat), natural)


def decide_lr(settings: Settings, *, effective: int) -> Settings:
    """The peak learning rate, once the effective batch is known."""
    if settings.optim.lr != "auto":
        return settings
    lr = default_lr(
        settings.optim.name,
        effective=effective,
        pretrained=settings.model.pretrained is True or settings.model.weights is not None,
    )
    return from_flat({**flatten(settings), "optim.lr": lr})


def _channels(values: tuple[float, ...], channels: int) -> list[float]:
    """The model's statistics for colour, or their mean for grey."""
    if channels == len(values):
        return list(values)
    return [sum(values) / len(values)] * channels


def _decide_start(flat: dict[str, Any], settings: Settings, *, natural: bool) -> None:
    """Pretrained weights for natural-sized pictures, where they are at hand or reachable."""
    if settings.model.weights is not None or not natural:
        wanted = flat["model.pretrained"]
        flat["model.pretrained"] = wanted is True
        if wanted is True and settings.model.weights is not None:
            raise SettingsError(
                "--pretrained and --weights name two starts", "leave out one of them"
            )
    if flat["model.pretrained"] != "auto":
        return
    found = can_get_pretrained(settings.model.name, offline=settings.hardware.offline)
    flat["model.pretrained"] = found
    if not found:
        console.say(
            f"training from scratch: pretrained weights of {settings.model.name} are neither on "
            "this machine nor reachable (--weights FILE starts from your own)"
        )


def _check_parts(settings: Settings, split: Split) -> None:
    if not len(split.val) and settings.train.patience is not None:
        raise SettingsError(
            "--patience needs a validation part, and there is none",
            "give val a share with --split-ratio, or leave out --patience",
        )
    if not len(split.val) and settings.train.monitor != "auto":
        raise SettingsError(
            f"--monitor {settings.train.monitor} needs a validation part, and there is none",
            "give val a share with --split-ratio, or leave out --monitor",
        )


def _check_statistics(flat: dict[str, Any]) -> None:
    channels = flat["data.channels"]
    for which in ("mean", "std"):
        value = flat[f"data.normalize_{which}"]
        if value != "auto" and len(value) != channels:
            raise SettingsError(
                f"--normalize-{which} has {len(value)} numbers, the pictures have {channels} "
                f"channel{'s' if channels > 1 else ''}",
                "give one number per channel, or auto",
            )


def _monitor(labels: NDArray[np.int64]) -> str:
    counts = np.bincount(labels)
    counts = counts[counts > 0]
    return "val_macro_f1" if counts.max() > _IMBALANCED * counts.min() else "val_top1"


def make_preprocess(settings: Settings, *, natural: bool) -> Preprocess:
    """How pictures become tensors; statistics that are still ``auto`` are left at 0.5."""
    data = settings.data
    channels = cast("Literal[1, 3]", data.channels)
    unknown = (0.5,) * channels
    return Preprocess.for_pictures(
        size=int(data.image_size),
        natural=natural,
        channels=channels,
        background=data.background,
        max_pixels=data.max_pixels,
        mean=data.normalize_mean if isinstance(data.normalize_mean, tuple) else unknown,
        std=data.normalize_std if isinstance(data.normalize_std, tuple) else unknown,
    )


def measure_statistics(
    settings: Settings, pictures: Pictures, train: NDArray[np.int64]
) -> Settings:
    """``--normalize-mean auto``, ``--normalize-std auto``: from the training part."""
    data = settings.data
    if "auto" not in (data.normalize_mean, data.normalize_std):
        return settings
    mean, std = channel_statistics(pictures, train)
    flat = flatten(settings)
    for key, value in (("data.normalize_mean", mean), ("data.normalize_std", std)):
        if flat[key] == "auto":
            flat[key] = list(value)
    return from_flat(flat)


def make_recipe(settings: Settings, classes: tuple[str, ...], preprocess: Preprocess) -> Recipe:
    """What the network is, from resolved settings."""
    return Recipe(
        architecture=settings.model.name,
        classes=classes,
        stem=cast("Literal['standard', 'small']", settings.model.stem),
        drop_rate=settings.model.drop_rate,
        drop_path=settings.model.drop_path,
        preprocess=preprocess,
    )
