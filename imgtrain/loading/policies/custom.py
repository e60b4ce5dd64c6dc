"""The policy ``custom``: a list of operations from the settings, checked before anything trains."""

from __future__ import annotations

from typing import Any

from imgtrain.errors import SettingsError, nearest
from imgtrain.loading.policies import by_albumentations
from imgtrain.loading.policies.catalog import CATALOG, IDLE, MIRRORS, Given, full_ranges
from imgtrain.loading.policies.tree import All, Step
from imgtrain.registry import AUGMENTATIONS
from imgtrain.settings.fields import Operation
from imgtrain.settings.schema import AugmentSettings


def custom(augment: AugmentSettings) -> All:
    """The listed operations in order.

    Names are the catalogue's; with albumentations also those of its transforms.

    Raises:
        SettingsError: If a name is unknown, an argument does not fit, or a picture would be
            mirrored though that is forbidden.
    """
    operations = augment.custom or ()
    foreign = augment.library == "albumentations"
    for operation in operations:
        refuse_mirrors(operation.name, flip=augment.flip)
    return All(tuple(_step(operation, foreign=foreign) for operation in operations))


def refuse_mirrors(name: str, *, flip: bool) -> None:
    """Refuse an operation that mirrors where that is forbidden.

    Raises:
        SettingsError: With its name.
    """
    own = name in AUGMENTATIONS and AUGMENTATIONS[name].mirrors
    if not flip and (own or name in MIRRORS | by_albumentations.MIRRORS):
        raise SettingsError(
            f"operation {name!r} of augment.custom mirrors, and --no-flip forbids it",
            "leave out one of them",
        )


def _step(operation: Operation, *, foreign: bool) -> Step:
    name = operation.name
    if name in IDLE and not operation.args:
        raise SettingsError(
            f"operation {name!r} of augment.custom does nothing without arguments",
            f"its arguments: {', '.join(CATALOG[name])}",
        )
    if name in CATALOG:
        given = {key: _range(name, key, value) for key, value in operation.args.items()}
        return Step(name, full_ranges(name, given), operation.p)
    if name in AUGMENTATIONS:
        return Step(name, p=operation.p, own=operation.args)
    if foreign:
        package = by_albumentations.library()
        if name not in by_albumentations.own_names(package):
            known = [*CATALOG, *AUGMENTATIONS.names(), *by_albumentations.own_names(package)]
            raise _unknown(name, "albumentations", known)
        by_albumentations.check_own(package, name, operation.args)
        return Step(name, p=operation.p, own=operation.args)
    raise _unknown(name, "torchvision", [*CATALOG, *AUGMENTATIONS.names()])


def _unknown(name: str, library: str, known: list[str]) -> SettingsError:
    return SettingsError(
        f"augment.custom names the operation {name!r}, which {library} does not have here"
        f"{nearest(name, known)}",
        f"operations of both libraries: {', '.join(CATALOG)}",
    )


def _range(name: str, key: str, value: Any) -> Given:
    """A number, or a pair of numbers."""
    if _is_number(value):
        return float(value)
    if isinstance(value, (list, tuple)) and len(value) == 2 and all(map(_is_number, value)):  # noqa: PLR2004  # a pair
        return float(value[0]), float(value[1])
    raise SettingsError(
        f"argument {key!r} of operation {name!r} in augment.custom is {value!r}",
        "give a number, or a range [low, high]",
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
