"""What a search space must obey: settings that may vary, values that they take, conditions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imgtrain.errors import SettingsError, nearest
from imgtrain.settings import effects
from imgtrain.settings.catalog import Setting, all_settings
from imgtrain.settings.layers import flatten, from_flat
from imgtrain.settings.schema import Settings
from imgtrain.settings.spaces import Choices, Dimension, Range, Space, named
from imgtrain.settings.wording import members

_PICTURES = "trials would be scored on different pictures"
_SHARE = "more pictures are better: the best would be all of them"
_LENGTH = "trials of different lengths cannot be compared; --tune-epochs is the length of all"
_ENDS = "it ends trainings early, and in a study the pruner does"
_FIXED: Mapping[str, str] = {
    "data.root": _PICTURES,
    "data.split_ratio": _PICTURES,
    "data.split_seed": _PICTURES,
    "data.group_by": _PICTURES,
    "data.subset": _SHARE,
    "data.max_pixels": _PICTURES,
    "data.on_bad_image": _PICTURES,
    "data.on_leak": _PICTURES,
    "train.epochs": _LENGTH,
    "train.budget": _LENGTH,
    "train.realised": _LENGTH,
    "train.fast_dev": _LENGTH,
    "train.monitor": "it is what trials are judged by",
    "train.patience": _ENDS,
    "train.target_metric": _ENDS,
    "train.seed": "the best of several seeds is luck, and does not repeat on other pictures",
    "plugins": "it says which names there are",
    "run": "it says where a run lies, not how it learns",
    "predict": "it says how predictions are shown",
    "hardware": "it says on what and how the machine computes, which is the same for all trials",
    "cv": "trials would be judged by different folds",
    "tune": "it shapes the study itself",
}
"""Settings and sections that no trial varies, and why."""


def check_space(space: Space, settings: Settings) -> None:
    """Refuse a space whose values the settings do not take.

    Each bound and each choice is tried with everything else as ``settings`` have it, and with
    what it is conditional on. Contradictions that only some combinations have end that trial.

    Raises:
        SettingsError: With the setting concerned.
    """
    known = all_settings()
    for key in space:
        if key not in known:
            from imgtrain.settings.sources import refuse

            refuse(key, "tune.space")
        _check_may_vary(known[key])
    order = in_order(space)
    base = _base(settings)
    for key in order:
        _check_kind(known[key], space[key])
        _check_values(space, key, base)


def in_order(space: Space) -> list[str]:
    """The settings of a space, each behind those that it is conditional on.

    Raises:
        SettingsError: If a condition names what is not in the space or can never hold, or if
            conditions go in a circle.
    """
    done: list[str] = []

    def visit(key: str, way: tuple[str, ...]) -> None:
        if key in way:
            circle = " -> ".join((*way[way.index(key) :], key))
            raise SettingsError(
                f"tune.space: the conditions go in a circle: {circle}", "leave out one of them"
            )
        if key in done:
            return
        for other, values in space[key].when.items():
            _check_condition(space, key, other, values)
            visit(other, (*way, key))
        done.append(key)

    for key in space:
        visit(key, ())
    return done


def is_whole(key: str) -> bool:
    """Whether the numbers of a setting are whole ones."""
    kinds = members(all_settings()[key].annotation)
    return int in kinds and float not in kinds


def is_active(dimension: Dimension, chosen: Mapping[str, Any]) -> bool:
    """Whether a dimension counts, after those before it were chosen."""
    return all(
        key in chosen and named(chosen[key]) in map(named, values)
        for key, values in dimension.when.items()
    )


def _check_may_vary(setting: Setting) -> None:
    reason = _FIXED.get(setting.key) or _FIXED.get(setting.section)
    if reason is None and setting.flag.identity == "free":
        reason = "it changes nothing that is learnt"
    if reason is not None:
        raise SettingsError(
            f"tune.space: {setting.key} cannot vary: {reason}",
            f"leave it out of the space, and set {setting.key} once for the study",
        )


def _check_condition(space: Space, key: str, other: str, values: tuple[Any, ...]) -> None:
    where = f"tune.space: {key}: when {other}"
    if other not in space:
        raise SettingsError(
            f"{where}: that is not in the space{nearest(other, space.keys() - {key})}",
            "a condition names another setting of the space; what never varies needs none",
        )
    parent = space[other]
    if isinstance(parent, Range):
        raise SettingsError(
            f"{where}: that is a range, and a condition names values",
            f"list the values of {other}: {other}: [...]",
        )
    there = [named(each) for each in parent.choices]
    for value in map(named, values):
        if value not in there:
            raise SettingsError(
                f"{where} = {value}: that is none of its values{nearest(value, there)}",
                f"{other} is one of {', '.join(there)}",
            )


def _check_kind(setting: Setting, dimension: Dimension) -> None:
    """Numbers between others are for settings that are numbers."""
    if isinstance(dimension, Choices):
        return
    if not {int, float} & {*members(setting.annotation)}:
        raise SettingsError(
            f"tune.space: {setting.key} is no number, so it has no range",
            f"list its values: {setting.key}: [...]",
        )
    numbers = {"low": dimension.low, "high": dimension.high, "step": dimension.step}
    for name, number in numbers.items():
        if is_whole(setting.key) and number is not None and number != int(number):
            raise SettingsError(
                f"tune.space: {setting.key}: {name} {number:g} must be a whole number",
                f"{setting.key} counts in whole numbers",
            )


def _base(settings: Settings) -> dict[str, Any]:
    """What every trial shares, by dotted key: as long as trials are, where that agrees."""
    whole = {**flatten(settings), "tune.space": None}
    short = {**whole, "train.epochs": settings.tune.epochs}
    try:
        from_flat(short)
    except SettingsError:  # what is too long for a trial is the study's matter
        return whole
    return short


def _check_values(space: Space, key: str, base: Mapping[str, Any]) -> None:
    """Each bound or choice makes settings, and makes a difference."""
    dimension, seen, idle = space[key], dict[str, object](), []
    for value in _ends(dimension):
        built = _tried(space, key, value, base)
        taken = named(flatten(built)[key])
        if taken in seen:
            raise SettingsError(
                f"tune.space: {key}: {named(seen[taken])} and {named(value)} are the same",
                "leave out one of them",
            )
        seen[taken] = value
        idle.append(next((e for e in effects.idle(built, [key]) if not e.later), None))
    usual = named(base[key])
    lost = [effect for effect, taken in zip(idle, seen, strict=True) if taken != usual]
    first = next(iter(lost), None)
    if first is not None and all(lost):
        raise SettingsError(
            f"tune.space: {key} has an effect only with {first.needs}",
            "set that for the study, or vary it and add a condition, as in when: {optim.name: sgd}",
        )


def _ends(dimension: Dimension) -> tuple[Any, ...]:
    if isinstance(dimension, Choices):
        return dimension.choices
    return (dimension.low, dimension.high)


def _tried(space: Space, key: str, value: object, base: Mapping[str, Any]) -> Settings:
    """The settings of one value, with what it is conditional on, and what is conditional on it."""
    chosen = {key: value, **_parents(space, key)}
    for other in in_order(space):
        dimension = space[other]
        if other not in chosen and dimension.when and is_active(dimension, chosen):
            chosen[other] = _ends(dimension)[0]
    try:
        return from_flat({**base, **chosen})
    except SettingsError as error:
        message, hint = (
            text.replace("--epochs", "--tune-epochs") for text in (error.message, error.hint)
        )
        own = message if message.startswith(f"{key} = ") else f"{key} = {named(value)}: {message}"
        raise SettingsError(f"tune.space: {own}", hint) from error


def _parents(space: Space, key: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for other, values in space[key].when.items():
        found |= {other: values[0], **_parents(space, other)}
    return found
