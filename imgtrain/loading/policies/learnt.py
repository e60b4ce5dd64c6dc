"""Policies from papers: RandAugment, AutoAugment, TrivialAugment, AugMix, as tables.

Strengths are those of torchvision's classes of the same names, which follow the papers. What
lies outside is filled with grey (128), as in the papers' own code.
"""

from __future__ import annotations

from itertools import repeat

from imgtrain.loading.policies.tree import All, Blend, Node, OneOf, step

_GEOMETRIC = {
    "ShearX": ("shear_x", "slope"),
    "ShearY": ("shear_y", "slope"),
    "TranslateX": ("translate_x", "pixels"),
    "TranslateY": ("translate_y", "pixels"),
    "Rotate": ("rotate", "degrees"),
}
_FACTORS = {
    "Brightness": "brightness",
    "Color": "saturation",
    "Contrast": "contrast",
    "Sharpness": "sharpness",
}
_FIXED = {"AutoContrast": "autocontrast", "Equalize": "equalize", "Invert": "invert"}
_GREY = 128
_NOTHING = All(())


def _signed(name: str, strength: float) -> Node:
    """An operation whose strength goes up or down, each half of the time."""
    return OneOf((_exact(name, strength), _exact(name, -strength)))


def _exact(name: str, strength: float) -> Node:
    if name in _GEOMETRIC:
        ours, argument = _GEOMETRIC[name]
        return step(ours, {argument: (strength, strength), "fill": _GREY})
    return step(_FACTORS[name], {"factor": (1 + strength, 1 + strength)})


def operation(name: str, strength: float) -> Node:
    """An operation by the papers' name, at a strength (unused by some)."""
    if name == "Identity":
        return _NOTHING
    if name in _FIXED:
        return step(_FIXED[name])
    if name == "Posterize":
        return step("posterize", {"bits": strength})
    if name == "Solarize":
        return step("solarize", {"threshold": strength})
    if name.startswith("Translate"):
        strength = int(strength)
    return _signed(name, strength)


def _rising(top: float, bins: int) -> list[float]:
    return [top * k / (bins - 1) for k in range(bins)]


def _bits(most: int, bins: int, *, least: int) -> list[float]:
    return [float(round(most - (most - least) * k / (bins - 1))) for k in range(bins)]


def rand_space(bins: int, size: int) -> dict[str, list[float]]:
    """Strengths of RandAugment and AutoAugment by operation, from weak to strong."""
    shift = 150 / 331 * size
    return {
        "Identity": [],
        "ShearX": _rising(0.3, bins),
        "ShearY": _rising(0.3, bins),
        "TranslateX": _rising(shift, bins),
        "TranslateY": _rising(shift, bins),
        "Rotate": _rising(30, bins),
        **dict(zip(_FACTORS, repeat(_rising(0.9, bins)), strict=False)),
        "Posterize": _bits(8, bins, least=4),
        "Solarize": _rising(1, bins)[::-1],
        "AutoContrast": [],
        "Equalize": [],
    }


def wide_space(bins: int = 31) -> dict[str, list[float]]:
    """Strengths of TrivialAugmentWide."""
    return {
        **rand_space(bins, 0),
        "ShearX": _rising(0.99, bins),
        "ShearY": _rising(0.99, bins),
        "TranslateX": _rising(32, bins),
        "TranslateY": _rising(32, bins),
        "Rotate": _rising(135, bins),
        **dict(zip(_FACTORS, repeat(_rising(0.99, bins)), strict=False)),
        "Posterize": _bits(8, bins, least=2),
    }


def blend_space(size: int, bins: int = 10) -> dict[str, list[float]]:
    """Strengths of AugMix, without what its paper tests robustness against (colour, sharpness)."""
    shift = size / 3
    space = rand_space(bins, size)
    for name in ("Identity", *_FACTORS):
        del space[name]
    moves = dict.fromkeys(("TranslateX", "TranslateY"), _rising(shift, bins))
    return {**space, **moves, "Posterize": _bits(4, bins, least=0)}


def randaugment(number: int, magnitude: int, size: int) -> Node:
    """``number`` operations at one magnitude of 30 (Cubuk et al. 2019, arXiv:1909.13719)."""
    space = rand_space(31, size)
    one = OneOf(tuple(operation(k, v[magnitude] if v else 0) for k, v in space.items()))
    return All((one,) * number)


def trivial() -> Node:
    """One operation at any strength (Mueller & Hutter 2021, arXiv:2103.10158)."""
    return OneOf(
        tuple(
            OneOf(tuple(operation(name, v) for v in strengths or [0]))
            for name, strengths in wide_space().items()
        )
    )


def augmix(size: int, *, severity: int = 3) -> Node:
    """Blended chains of weak operations (Hendrycks et al. 2019, arXiv:1912.02781)."""
    return Blend(
        OneOf(
            tuple(
                OneOf(tuple(operation(name, v) for v in strengths[:severity] or [0]))
                for name, strengths in blend_space(size).items()
            )
        )
    )


def autoaugment(size: int, *, natural: bool) -> Node:
    """One of 25 learnt pairs (Cubuk et al. 2018, arXiv:1805.09501): ImageNet's, or CIFAR-10's."""
    space = rand_space(10, size)

    def half(name: str, p: float, level: int | None) -> Node:
        strength = 0 if level is None else space[name][level]
        return All((operation(name, strength),), p=p)

    table = IMAGENET if natural else CIFAR10
    return OneOf(tuple(All((half(*a), half(*b))) for a, b in table))


Half = tuple[str, float, int | None]
"""Operation, probability, strength of 0 to 9."""

IMAGENET: tuple[tuple[Half, Half], ...] = (
    (("Posterize", 0.4, 8), ("Rotate", 0.6, 9)),
    (("Solarize", 0.6, 5), ("AutoContrast", 0.6, None)),
    (("Equalize", 0.8, None), ("Equalize", 0.6, None)),
    (("Posterize", 0.6, 7), ("Posterize", 0.6, 6)),
    (("Equalize", 0.4, None), ("Solarize", 0.2, 4)),
    (("Equalize", 0.4, None), ("Rotate", 0.8, 8)),
    (("Solarize", 0.6, 3), ("Equalize", 0.6, None)),
    (("Posterize", 0.8, 5), ("Equalize", 1.0, None)),
    (("Rotate", 0.2, 3), ("Solarize", 0.6, 8)),
    (("Equalize", 0.6, None), ("Posterize", 0.4, 6)),
    (("Rotate", 0.8, 8), ("Color", 0.4, 0)),
    (("Rotate", 0.4, 9), ("Equalize", 0.6, None)),
    (("Equalize", 0.0, None), ("Equalize", 0.8, None)),
    (("Invert", 0.6, None), ("Equalize", 1.0, None)),
    (("Color", 0.6, 4), ("Contrast", 1.0, 8)),
    (("Rotate", 0.8, 8), ("Color", 1.0, 2)),
    (("Color", 0.8, 8), ("Solarize", 0.8, 7)),
    (("Sharpness", 0.4, 7), ("Invert", 0.6, None)),
    (("ShearX", 0.6, 5), ("Equalize", 1.0, None)),
    (("Color", 0.4, 0), ("Equalize", 0.6, None)),
    (("Equalize", 0.4, None), ("Solarize", 0.2, 4)),
    (("Solarize", 0.6, 5), ("AutoContrast", 0.6, None)),
    (("Invert", 0.6, None), ("Equalize", 1.0, None)),
    (("Color", 0.6, 4), ("Contrast", 1.0, 8)),
    (("Equalize", 0.8, None), ("Equalize", 0.6, None)),
)

CIFAR10: tuple[tuple[Half, Half], ...] = (
    (("Invert", 0.1, None), ("Contrast", 0.2, 6)),
    (("Rotate", 0.7, 2), ("TranslateX", 0.3, 9)),
    (("Sharpness", 0.8, 1), ("Sharpness", 0.9, 3)),
    (("ShearY", 0.5, 8), ("TranslateY", 0.7, 9)),
    (("AutoContrast", 0.5, None), ("Equalize", 0.9, None)),
    (("ShearY", 0.2, 7), ("Posterize", 0.3, 7)),
    (("Color", 0.4, 3), ("Brightness", 0.6, 7)),
    (("Sharpness", 0.3, 9), ("Brightness", 0.7, 9)),
    (("Equalize", 0.6, None), ("Equalize", 0.5, None)),
    (("Contrast", 0.6, 7), ("Sharpness", 0.6, 5)),
    (("Color", 0.7, 7), ("TranslateX", 0.5, 8)),
    (("Equalize", 0.3, None), ("AutoContrast", 0.4, None)),
    (("TranslateY", 0.4, 3), ("Sharpness", 0.2, 6)),
    (("Brightness", 0.9, 6), ("Color", 0.2, 8)),
    (("Solarize", 0.5, 2), ("Invert", 0.0, None)),
    (("Equalize", 0.2, None), ("AutoContrast", 0.6, None)),
    (("Equalize", 0.2, None), ("Equalize", 0.6, None)),
    (("Color", 0.9, 9), ("Equalize", 0.6, None)),
    (("AutoContrast", 0.8, None), ("Solarize", 0.2, 8)),
    (("Brightness", 0.1, 3), ("Color", 0.7, 0)),
    (("Solarize", 0.4, 5), ("AutoContrast", 0.9, None)),
    (("TranslateY", 0.9, 9), ("TranslateY", 0.7, 9)),
    (("AutoContrast", 0.9, None), ("Solarize", 0.8, 3)),
    (("Equalize", 0.8, None), ("Invert", 0.1, None)),
    (("TranslateY", 0.7, 9), ("AutoContrast", 0.9, None)),
)
