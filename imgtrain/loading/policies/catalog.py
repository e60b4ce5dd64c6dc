"""Operations that both libraries carry out: their names, arguments, bounds and defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from imgtrain.errors import SettingsError, nearest

Given = float | tuple[float, float]
"""How an argument is written: a number, or its lowest and highest value."""

Range = tuple[str, float, float]
"""Name of an argument, its lowest and its highest value."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument, drawn anew from its range for every picture.

    Args:
        default: Range where none is given; None leaves the argument out.
        low: Smallest value that makes sense.
        high: Largest value that makes sense.
        centre: A single number ``x`` stands for ``[centre - x, centre + x]``; without a centre it
            stands for itself.
    """

    default: tuple[float, float] | None
    low: float
    high: float
    centre: float | None = None

    def range_of(self, given: Given) -> tuple[float, float]:
        """Lowest and highest value, from a number or a pair."""
        if isinstance(given, tuple):
            return given
        if self.centre is None:
            return (given, given)
        return (max(self.low, self.centre - given), self.centre + given)


def _turn(degrees: float) -> Argument:
    return Argument((-degrees, degrees), -180, 180, centre=0)


def _factor(spread: float) -> Argument:
    return Argument((1 - spread, 1 + spread), 0, 10, centre=1)


_SHIFT = Argument((0, 0), -1, 1, centre=0)
_SLOPE = Argument((-0.3, 0.3), -2, 2, centre=0)
_PIXELS = Argument((-8, 8), -4096, 4096, centre=0)
_REFLECT = Argument(None, 0, 255)
"""What lies outside the picture: a grey level, or (left out) the picture reflected."""

_GREY = Argument((128, 128), 0, 255)
"""The papers on learnt policies fill with grey."""

CATALOG: Mapping[str, Mapping[str, Argument]] = MappingProxyType(
    {
        "horizontal_flip": {},
        "vertical_flip": {},
        "rotate": {"degrees": _turn(10), "fill": _REFLECT},
        "affine": {
            "degrees": Argument((0, 0), -180, 180, centre=0),
            "shift_x": _SHIFT,
            "shift_y": _SHIFT,
            "scale": Argument((1, 1), 0.25, 4, centre=1),
            "shear": Argument((0, 0), -60, 60, centre=0),
            "fill": _REFLECT,
        },
        "perspective": {"scale": Argument((0.05, 0.1), 0, 0.4)},
        "shear_x": {"slope": _SLOPE, "fill": _GREY},
        "shear_y": {"slope": _SLOPE, "fill": _GREY},
        "translate_x": {"pixels": _PIXELS, "fill": _GREY},
        "translate_y": {"pixels": _PIXELS, "fill": _GREY},
        "brightness": {"factor": _factor(0.2)},
        "contrast": {"factor": _factor(0.2)},
        "saturation": {"factor": _factor(0.2)},
        "sharpness": {"factor": _factor(0.9)},
        "hue": {"turn": Argument((-0.05, 0.05), -0.5, 0.5, centre=0)},
        "colour_jitter": {
            "brightness": _factor(0),
            "contrast": _factor(0),
            "saturation": _factor(0),
            "hue": Argument((0, 0), -0.5, 0.5, centre=0),
        },
        "posterize": {"bits": Argument((4, 8), 1, 8)},
        "solarize": {"threshold": Argument((0.5, 1), 0, 1)},
        "autocontrast": {},
        "equalize": {},
        "invert": {},
        "noise": {"std": Argument((0.01, 0.05), 0, 1)},
        "blur": {"sigma": Argument((0.3, 1.5), 0.1, 20)},
        "motion_blur": {"length": Argument((3, 7), 3, 99), "angle": Argument((0, 180), 0, 360)},
        "grid_distortion": {"limit": Argument((-0.3, 0.3), -0.9, 0.9, centre=0)},
        "elastic": {
            "alpha": Argument((50, 50), 0, 2000),
            "sigma": Argument((5, 5), 0.5, 50),
        },
        "optical_distortion": {"limit": Argument((-0.3, 0.3), -1, 1, centre=0)},
        "coarse_dropout": {
            "holes": Argument((1, 3), 1, 64),
            "size": Argument((0.08, 0.2), 0.01, 0.9),
            "fill": _GREY,
        },
    }
)

MIRRORS = frozenset({"horizontal_flip", "vertical_flip"})
"""Operations that ``--no-flip`` forbids."""

IDLE = frozenset({"affine", "colour_jitter"})
"""Operations that do what their arguments name, and nothing without any."""


def full_ranges(name: str, given: Mapping[str, Given]) -> tuple[Range, ...]:
    """The range of every argument of an operation, defaults filled in.

    Raises:
        SettingsError: If an argument is unknown or out of bounds.
    """
    known = CATALOG[name]
    for argument in given:
        if argument not in known:
            raise SettingsError(
                f"operation {name!r} of augment.custom has no argument {argument!r}"
                f"{nearest(argument, known)}",
                f"its arguments: {', '.join(known) or 'none'}",
            )
    found = {}
    for key, allowed in known.items():
        if key in given:
            found[key] = allowed.range_of(given[key])
            _check(name, key, allowed, found[key])
        elif allowed.default is not None:
            found[key] = allowed.default
    return tuple((key, *pair) for key, pair in found.items())


def _check(name: str, key: str, argument: Argument, pair: tuple[float, float]) -> None:
    if argument.low <= pair[0] <= pair[1] <= argument.high:
        return
    raise SettingsError(
        f"argument {key!r} of operation {name!r} in augment.custom is "
        f"[{pair[0]:g}, {pair[1]:g}]: out of bounds",
        f"give a range [low, high] within {argument.low:g} and {argument.high:g}",
    )
