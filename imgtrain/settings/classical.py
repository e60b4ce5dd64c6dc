"""``--model sklearn:NAME``: which names there are, and which settings mean something to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imgtrain.errors import SettingsError, nearest

PREFIX = "sklearn:"
ESTIMATORS = ("logreg", "svm", "forest", "knn", "gbdt")
"""Logistic regression, support vectors, random forest, nearest neighbours, boosted trees."""

_SECTIONS = ("data.", "run.", "predict.", "cv.", "track.")
_KEYS = frozenset(
    {
        *(f"model.{key}" for key in ("name", "features", "pretrained", "weights", "stem")),
        "loss.class_weights",
        *(f"balance.{key}" for key in ("strategy", "auto_weights", "weighting")),
        *(f"train.{key}" for key in ("monitor", "seed", "fast_dev")),
        *(f"hardware.{key}" for key in ("device", "gpus", "processes", "threads", "offline")),
        "hardware.channels_last",
    }
)


def estimator_of(name: str) -> str | None:
    """``svm`` for ``sklearn:svm``; None for a network."""
    return name.removeprefix(PREFIX) if name.startswith(PREFIX) else None


def has_meaning(key: str) -> bool:
    """Whether a setting changes anything for a classical model."""
    return key.startswith(_SECTIONS) or key in _KEYS


def check_classical(
    name: str,
    *,
    features: str,
    starts: Mapping[str, bool],
    balance: str,
    weighted: bool,
    processes: int,
) -> None:
    """Refuse what a classical model is not, or cannot.

    Args:
        name: ``model.name``.
        features: ``model.features``.
        starts: Flags that choose the features' weights, and whether they are given.
        balance: ``balance.strategy``.
        weighted: Whether classes are weighted in any way.
        processes: How many are asked for.

    Raises:
        SettingsError: With the flag to change.
    """
    kind = estimator_of(name)
    if kind is None:
        return
    if kind not in ESTIMATORS:
        raise SettingsError(
            f"--model {name}: no such classical model{nearest(kind, ESTIMATORS)}",
            f"there are {', '.join(PREFIX + each for each in ESTIMATORS)}",
        )
    if processes > 1:
        raise SettingsError(
            f"--model {name} trains in one process, {processes} are asked for",
            "leave out --processes and --gpus; --threads N is how many cores it takes",
        )
    if balance not in ("none", "weights"):
        raise SettingsError(
            f"--balance-strategy {balance} draws batches, --model {name} has none",
            "use --balance-strategy weights, or leave it out",
        )
    if weighted and kind == "knn":
        raise SettingsError(
            "--model sklearn:knn counts neighbours and knows no class weights",
            "leave them out, or take sklearn:logreg, svm, forest or gbdt",
        )
    given = [flag for flag, is_given in starts.items() if is_given]
    if features == "pixels" and given:
        raise SettingsError(
            f"--features pixels uses no network, {given[0]} names its weights",
            "leave out one of them",
        )


def refuse_without_steps(name: str, command: str) -> None:
    """What measures training steps has nothing to measure in a classical model.

    Raises:
        SettingsError: If ``name`` is one.
    """
    if estimator_of(name) is not None:
        raise SettingsError(
            f"{command} measures training steps, --model {name} has none",
            f"take a network, or type imgtrain train --model {name}",
        )


def refuse_meaningless(
    name: str, values: Mapping[str, Any], defaults: Mapping[str, Any], asked: Mapping[str, str]
) -> None:
    """Nothing that was asked for is silently ignored.

    Args:
        name: ``model.name``.
        values: Every setting by dotted key.
        defaults: The same, as nobody set them.
        asked: Keys that the user set, and what to call each: its flag, or its key.

    Raises:
        SettingsError: With the settings that mean nothing to the model.
    """
    lost = [
        asked[key]
        for key in values
        if key in asked and not has_meaning(key) and values[key] != defaults[key]
    ]
    if lost:
        raise SettingsError(
            f"{', '.join(lost)} mean{'s' if len(lost) == 1 else ''} nothing to --model {name}: "
            "it sees every picture once and has no epochs",
            "leave out what you set there, or take a network",
        )
