"""What trials propose: one dimension after the other, the default space, grids."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from imgtrain.errors import SettingsError
from imgtrain.settings import space_rules
from imgtrain.settings.classical import estimator_of
from imgtrain.settings.schema import Settings
from imgtrain.settings.spaces import Choices, Dimension, Range, Space, named

if TYPE_CHECKING:
    import optuna

_SCALARS = (str, int, float, bool, type(None))


def check_space(space: Space, settings: Settings) -> None:
    """Refuse a space that does not fit the settings, before any work.

    Raises:
        SettingsError: With the setting concerned.
    """
    space_rules.check_space(space, settings)
    models = space.get("model.name")
    names = models.choices if isinstance(models, Choices) else (settings.model.name,)
    if len({estimator_of(str(name)) is None for name in names}) > 1:
        raise SettingsError(
            "tune.space: model.name mixes networks with classical models, which have no epochs",
            "tune the networks, and type imgtrain train --model sklearn:NAME for the others",
        )
    _check_networks([str(name) for name in names if estimator_of(str(name)) is None])


def _check_networks(names: list[str]) -> None:
    from imgtrain.engine.model import check_name

    for name in names:
        check_name(name)


def propose(space: Space, trial: optuna.trial.BaseTrial) -> dict[str, Any]:
    """Ask the study for a value of each dimension that counts, by dotted key.

    A dimension whose condition does not hold is not asked for. Optuna knows each under its
    dotted key; lists it knows as their text.
    """
    chosen: dict[str, Any] = {}
    for key in space_rules.in_order(space):
        dimension = space[key]
        if space_rules.is_active(dimension, chosen):
            chosen[key] = _suggested(trial, key, dimension)
    return chosen


def values_of(space: Space, params: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a trial's parameters stand for, by dotted key."""
    return {key: _meant(space[key], value) for key, value in params.items() if key in space}


def params_of(space: Space, values: Mapping[str, Any]) -> dict[str, Any] | None:
    """What Optuna calls these values: for trials that are asked for, or were made elsewhere.

    Args:
        space: The space.
        values: Settings by dotted key, of any training.

    Returns:
        Parameters of the dimensions that count; None where one of them is outside of the space.
    """
    chosen: dict[str, Any] = {}
    for key in space_rules.in_order(space):
        dimension = space[key]
        if not space_rules.is_active(dimension, chosen):
            continue
        found = _within(dimension, values.get(key))
        if not found:
            return None
        chosen[key] = found[0]
    return {key: _label(value) for key, value in chosen.items()}


def size_of(space: Space) -> int | None:
    """How many combinations there are; None where a dimension is continuous."""
    points = {key: _points(key, space[key]) for key in space_rules.in_order(space)}
    parents = {other for dimension in space.values() for other in dimension.when}

    def count(chosen: dict[str, Any], rest: list[str]) -> int:
        if not rest:
            return 1
        key, *others = rest
        there = points[key] or []
        if not space_rules.is_active(space[key], chosen):
            return count(chosen, others)
        if key not in parents:
            return len(there) * count(chosen, others)
        return sum(count({**chosen, key: value}, others) for value in there)

    return None if None in points.values() else count({}, list(points))


def combinations(space: Space) -> Iterator[dict[str, Any]]:
    """Every combination once, by dotted key; what a condition rules out is left out.

    Raises:
        SettingsError: If a dimension is continuous.
    """
    grid = {key: _grid_points(key, space[key]) for key in space_rules.in_order(space)}

    def complete(chosen: dict[str, Any], rest: list[str]) -> Iterator[dict[str, Any]]:
        if not rest:
            yield chosen
            return
        key, *others = rest
        if not space_rules.is_active(space[key], chosen):
            yield from complete(chosen, others)
            return
        for value in grid[key]:
            yield from complete({**chosen, key: value}, others)

    return complete({}, list(grid))


def _grid_points(key: str, dimension: Dimension) -> list[Any]:
    points = _points(key, dimension)
    if points is None:
        raise SettingsError(
            f"--method grid tries every value, and {key} has no end of them",
            f"give it a step, or list its values: --space {key}=A,B,C",
        )
    return points


def _points(key: str, dimension: Dimension) -> list[Any] | None:
    if isinstance(dimension, Choices):
        return list(dimension.choices)
    whole = space_rules.is_whole(key)
    if dimension.step is None and not whole:
        return None
    step = dimension.step or 1
    count = round((dimension.high - dimension.low) / step)
    points = [dimension.low + k * step for k in range(count + 1)]
    return [int(point) if whole else _short(float(point)) for point in points]


def _short(number: float) -> float:
    """0.3, not 0.30000000000000004; whole numbers stay."""
    return number if isinstance(number, int) else float(f"{number:.12g}")


def _suggested(trial: optuna.trial.BaseTrial, key: str, dimension: Dimension) -> Any:
    if isinstance(dimension, Choices):
        labels = [_label(value) for value in dimension.choices]
        return _meant(dimension, trial.suggest_categorical(key, labels))
    low, high, step, log = dimension.low, dimension.high, dimension.step, dimension.log
    if space_rules.is_whole(key):
        return trial.suggest_int(key, int(low), int(high), step=int(step or 1), log=log)
    return _meant(dimension, trial.suggest_float(key, float(low), float(high), step=step, log=log))


def _label(value: Any) -> Any:
    """Optuna's name of a choice: itself, or a list's text."""
    return value if isinstance(value, _SCALARS) else named(value)


def _meant(dimension: Dimension, value: Any) -> Any:
    """The choice with this name; a number of a grid as people write it."""
    if isinstance(dimension, Range):
        return value if dimension.step is None else _short(value)
    return next(each for each in dimension.choices if named(each) == named(value))


def _within(dimension: Dimension, value: Any) -> list[Any]:
    """The value as the dimension has it, alone; nothing where it lies outside."""
    if isinstance(dimension, Choices):
        return [each for each in dimension.choices if _is_same(each, value)][:1]
    if not _is_number(value) or not dimension.low <= value <= dimension.high:
        return []
    steps = 0.0 if dimension.step is None else (value - dimension.low) / dimension.step
    return [value] if math.isclose(steps, round(steps), abs_tol=1e-8) else []


def _is_same(choice: Any, value: Any) -> bool:
    """1 is 1.0, and ``none`` is null."""
    if _is_number(choice) and _is_number(value):
        return bool(choice == value)
    return named(choice) == named(value) or (value is None and choice in ("none", "off"))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
