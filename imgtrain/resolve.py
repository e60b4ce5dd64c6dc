"""What the settings leave open ("auto"), decided from data, model and machine, once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from imgtrain import console
from imgtrain.data.class_weights import effective_weights, given_weights, inverse_weights
from imgtrain.data.index import Index
from imgtrain.data.inspect import look
from imgtrain.data.split import Split
from imgtrain.engine.freeze import check_freezing
from imgtrain.engine.hub import why_not
from imgtrain.engine.model import check_model, check_small_stem, model_defaults, small_stem_fits
from imgtrain.engine.optim import default_lr, default_weight_decay
from imgtrain.engine.recipe import Recipe
from imgtrain.engine.recompute import check_recomputing
from imgtrain.engine.sizes import is_known_to_take_any_size, usual_sizes
from imgtrain.engine.weights import pruned_start
from imgtrain.errors import SettingsError
from imgtrain.loading.loader import Pictures
from imgtrain.loading.policies.tables import policy_tree
from imgtrain.loading.preprocess import Preprocess
from imgtrain.loading.statistics import channel_statistics
from imgtrain.loading.tta import check_views
from imgtrain.probing import decide_policy
from imgtrain.registry import MODELS
from imgtrain.settings.fields import sizes_and_shares
from imgtrain.settings.layers import flatten, from_flat
from imgtrain.settings.schema import ModelSettings, Settings

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
    check_network(settings.model)
    check_views(settings.augment)
    check_parts(settings, split)
    seen = look(index.source, split.used())
    natural = index.natural and seen.max_side > SMALL
    own = model_defaults(settings.model.name)
    flat = flatten(settings)

    def decide(key: str, value: object) -> None:
        if flat[key] == "auto":
            flat[key] = value

    sizes = [size for size, _ in sizes_and_shares(settings.train.image_sizes or "")]
    decide("data.image_size", (sizes or [own["size"] if natural else max(4, seen.max_side)])[-1])
    decide("data.channels", seen.channels)
    if natural and _wants_sizes(settings, int(str(flat["data.image_size"]))):
        flat["train.image_sizes"] = usual_sizes(int(str(flat["data.image_size"])))
        sizes = [size for size, _ in sizes_and_shares(str(flat["train.image_sizes"]))]
    size = cast("int", flat["data.image_size"])
    for each in (*sizes, size):  # operations that are none end here
        policy_tree(settings.augment, size=each, natural=natural)
    for which in ("mean", "std"):
        if flat[f"data.normalize_{which}"] == "model":
            channels = int(str(flat["data.channels"]))
            flat[f"data.normalize_{which}"] = _channels(own[which], channels)
    _decide_start(flat, settings, natural=natural)
    decide("model.stem", "small" if small_stem_fits(settings.model.name, size) else "standard")
    if flat["model.stem"] == "small":
        check_small_stem(settings.model.name)
    flat["model.pruned"] = settings.model.pruned or pruned_start(
        settings.model.weights, settings.run.output
    )
    decide_policy(flat, settings)
    heavy = settings.augment.policy == "heavy"
    decide("augment.mixup_alpha", 0.2 if heavy else 0.0)
    decide("augment.cutmix_alpha", 1.0 if heavy else 0.0)
    if settings.balance.strategy == "focal":
        flat["loss.name"] = "focal"
    _check_statistics(flat)
    decide("optim.weight_decay", default_weight_decay(settings.optim.name))
    return Resolved(from_flat(flat), natural)


def check_network(settings: ModelSettings) -> None:
    """Refuse a network that is unknown, or lacks what is asked of it; no picture is looked at.

    Raises:
        SettingsError: With the flag concerned.
    """
    check_model(settings)
    check_freezing(settings)
    if settings.gradient_checkpointing:
        check_recomputing(settings.name)


def _wants_sizes(settings: Settings, size: int) -> bool:
    """Whether a budget brings progressive sizes along: photos, a network that learns as a whole."""
    train, name = settings.train, settings.model.name
    asked = train.budget is not None and train.image_sizes is None and not train.fast_dev
    fits = size > SMALL and settings.model.freeze is None
    return asked and fits and is_known_to_take_any_size(name)


def decide_monitor(settings: Settings, index: Index, split: Split) -> Settings:
    """What the best epoch is judged by, once the parts are final; without val it stays open."""
    if settings.train.monitor != "auto" or not len(split.val):
        return settings
    monitor = _monitor(index.labels[split.train])
    return from_flat({**flatten(settings), "train.monitor": monitor})


def decide_lr(settings: Settings, *, effective: int) -> Settings:
    """The peak learning rate, once the effective batch is known.

    Downloaded weights that go on learning take less; a new classifier on what is frozen, and
    weights of the user's own, learn as from scratch.
    """
    if settings.optim.lr != "auto":
        return settings
    model = settings.model
    tunes = model.pretrained is True and model.freeze != "backbone"
    lr = default_lr(settings.optim.name, effective=effective, pretrained=tunes)
    return from_flat({**flatten(settings), "optim.lr": lr})


def _channels(values: tuple[float, ...], channels: int) -> list[float] | Literal["auto"]:
    """The model's statistics for colour, their mean for grey; it knows nothing of other planes."""
    if channels == len(values):
        return list(values)
    return [sum(values) / len(values)] if channels == 1 else "auto"


def _decide_start(flat: dict[str, Any], settings: Settings, *, natural: bool) -> None:
    """Pretrained weights for natural-sized pictures, where they are at hand or reachable."""
    if settings.model.weights is not None or not natural:
        wanted = flat["model.pretrained"]
        flat["model.pretrained"] = wanted is True
        if wanted is True and settings.model.weights is not None:
            raise SettingsError(
                "--pretrained and --weights name two starts", "leave out one of them"
            )
    if settings.model.name in MODELS:
        flat["model.pretrained"] = flat["model.pretrained"] is True  # refused where it is built
    if flat["model.pretrained"] != "auto":
        return
    reason = why_not(settings.model.name, offline=settings.hardware.offline)
    flat["model.pretrained"] = reason is None
    if reason is not None:
        console.say(
            f"training from scratch: no pretrained weights of {settings.model.name}: {reason} "
            "(--weights FILE starts from your own)"
        )


def check_parts(settings: Settings, split: Split) -> None:
    """Refuse what needs a validation part where there is none.

    Raises:
        SettingsError: With the flag concerned.
    """
    if not len(split.val) and settings.schedule.name == "plateau":
        raise SettingsError(
            "--lr-scheduler plateau needs a validation part, and there is none",
            "give val a share with --split-ratio, or take another schedule",
        )
    if not len(split.val) and settings.train.target_metric is not None:
        raise SettingsError(
            "--target-metric needs a validation part, and there is none",
            "give val a share with --split-ratio, or leave out --target-metric",
        )
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
    channels = int(data.channels)
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
    mean, std = channel_statistics(pictures, train, root=data.root)
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
        head=settings.model.head,
        drop_block=settings.model.drop_block,
        attention=settings.model.attention,
        attention_index=settings.model.attention_index,
        plugin=MODELS.plugin(settings.model.name),
        pruned=settings.model.pruned,
    )


def class_weights(
    settings: Settings, classes: tuple[str, ...], labels: NDArray[np.int64]
) -> NDArray[np.float64] | None:
    """What each class counts in the loss, (C,): as given, or from the training part's labels.

    Raises:
        SettingsError: If the given ones do not fit the classes.
    """
    given, balance = settings.loss.class_weights or settings.loss.focal_alpha, settings.balance
    if given is not None:
        return given_weights(given, classes)
    if not (balance.auto_weights or balance.strategy == "weights"):
        return None
    counts = np.bincount(labels, minlength=len(classes))
    if balance.weighting == "effective":
        return effective_weights(counts)
    return inverse_weights(counts)
