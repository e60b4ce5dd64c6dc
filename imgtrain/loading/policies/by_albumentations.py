"""Operations carried out by albumentations.

Its transforms keep the arguments of their last call in themselves, so every thread has its own;
before each call they get generators made from the picture's row.
"""

from __future__ import annotations

import os
import random
import threading
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np

from imgtrain.errors import SettingsError
from imgtrain.loading.policies import warps
from imgtrain.loading.policies.draws import Draw
from imgtrain.loading.policies.tree import Perform, Pixels, Step

Ranges = Mapping[str, tuple[float, float]]

_OURS = {"sharpness": warps.sharpness}
"""What albumentations lacks: its Sharpen cannot soften."""

_TINY = 5
"""Its grid has as many cells as this, of a pixel at least."""

_GREY_OR_COLOUR = frozenset({1, 3})
_ONE_AT_A_TIME = frozenset(
    {"brightness", "contrast", "saturation", "hue", "colour_jitter", "equalize", "autocontrast"}
)
"""What takes grey or colour only: of other pictures, each channel is a grey one."""

MIRRORS = frozenset(
    {"HorizontalFlip", "VerticalFlip", "Transpose", "D4", "SquareSymmetry", "TimeReverse"}
)
"""Transforms that ``--no-flip`` forbids."""


def library() -> Any:
    """The package, imported without its question to the network about newer versions."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydantic's, about albumentations' own classes
        import albumentations
    cv2.setNumThreads(1)
    return albumentations


def performer(edge: int) -> Perform:
    """Operations of the catalogue, and transforms by their own names."""
    package = library()
    builders = _builders(package, edge)
    here = threading.local()

    def transform_of(step: Step) -> Any:
        made = here.__dict__.setdefault("made", {})
        if id(step) not in made:
            made[id(step)] = (step, _build(package, builders, step))  # the step stays alive
        return made[id(step)][1]

    def perform(step: Step, pixels: Pixels, rng: np.random.Generator) -> Pixels:
        if step.own is None and step.name in _OURS:
            return _OURS[step.name](pixels, Draw(_pairs(step), rng, edge))
        if step.name == "grid_distortion" and min(pixels.shape[:2]) < _TINY:
            return pixels
        transform = transform_of(step)
        if transform is None:
            return pixels
        channels = pixels.shape[2]
        if step.name in _ONE_AT_A_TIME and channels not in _GREY_OR_COLOUR:
            key = int(rng.integers(2**63))
            bands = [
                _called(transform, pixels[..., k : k + 1], np.random.Generator(_source(key)))
                for k in range(channels)
            ]
            return np.concatenate(bands, axis=2)
        return _called(transform, pixels, rng)

    return perform


def _source(key: int) -> np.random.Philox:
    return np.random.Philox(key=key)


def _called(transform: Any, pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """One call with generators of its own, on a copy: some transforms write into the picture."""
    transform.set_random_state(rng, random.Random(int(rng.integers(2**63))))  # noqa: S311  # variation, not secrets
    out: Pixels = transform(image=np.array(pixels, order="C"))["image"]
    return out if out.ndim == 3 else out[..., None]  # noqa: PLR2004  # grey may come back flat


def _pairs(step: Step) -> dict[str, tuple[float, float]]:
    return {name: (low, high) for name, low, high in step.ranges}


def _build(package: Any, builders: Mapping[str, Callable[[Ranges], Any]], step: Step) -> Any:
    if step.own is None:
        return builders[step.name](_pairs(step))
    return _own(package, step.name, step.own)


def _own(package: Any, name: str, arguments: Mapping[str, Any]) -> Any:
    """A transform by albumentations' own name, always applied."""
    given = {key: tuple(v) if isinstance(v, list) else v for key, v in arguments.items()}
    return getattr(package, name)(**given, p=1)


def check_own(package: Any, name: str, arguments: Mapping[str, Any]) -> None:
    """Make the transform once, in one thread, where its warnings can be told from others'.

    Raises:
        SettingsError: If an argument does not fit.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            _own(package, name, arguments)
    except (ValueError, TypeError, Warning) as error:
        raise SettingsError(
            f"operation {name!r} of augment.custom: {' '.join(str(error).split())}",
            "see its arguments at https://albumentations.ai/docs",
        ) from error


def own_names(package: Any) -> list[str]:
    """Transforms of pictures that need nothing but the picture."""
    return [
        name
        for name, found in vars(package).items()
        if isinstance(found, type)
        and issubclass(found, (package.ImageOnlyTransform, package.DualTransform))
        and found not in (package.ImageOnlyTransform, package.DualTransform)
    ]


def _outside(ranges: Ranges, edge: int) -> dict[str, Any]:
    """What lies outside: a level, or the picture going on."""
    if "fill" in ranges:
        return {"border_mode": cv2.BORDER_CONSTANT, "fill": ranges["fill"][0]}
    return {"border_mode": edge}


def _whole(pair: tuple[float, float]) -> tuple[int, int]:
    return round(pair[0]), round(pair[1])


def _builders(package: Any, edge: int) -> dict[str, Callable[[Ranges], Any]]:
    return {**_geometry(package, edge), **_colours(package), **_spoiling(package)}


def _geometry(package: Any, edge: int) -> dict[str, Callable[[Ranges], Any]]:
    smooth = {"interpolation": cv2.INTER_LINEAR, "p": 1}

    def moved(r: Ranges, **how: Any) -> Any:
        return package.Affine(**how, **_outside(r, edge), **smooth)

    def slope(pair: tuple[float, float]) -> tuple[float, float]:
        low, high = np.degrees(np.arctan(pair)).tolist()
        return low, high

    still = (0, 0)
    bent = {"border_mode": edge, **smooth}
    return {
        "horizontal_flip": lambda _: package.HorizontalFlip(p=1),
        "vertical_flip": lambda _: package.VerticalFlip(p=1),
        "rotate": lambda r: package.Rotate(limit=r["degrees"], **_outside(r, edge), **smooth),
        "affine": lambda r: moved(
            r,
            rotate=r["degrees"],
            translate_percent={"x": r["shift_x"], "y": r["shift_y"]},
            scale=r["scale"],
            keep_ratio=True,
            shear={"x": r["shear"], "y": still},
        ),
        "perspective": lambda r: package.Perspective(scale=r["scale"], **bent),
        "shear_x": lambda r: moved(r, shear={"x": slope(r["slope"]), "y": still}),
        "shear_y": lambda r: moved(r, shear={"x": still, "y": slope(r["slope"])}),
        "translate_x": lambda r: moved(r, translate_px={"x": _whole(r["pixels"]), "y": still}),
        "translate_y": lambda r: moved(r, translate_px={"x": still, "y": _whole(r["pixels"])}),
        "grid_distortion": lambda r: package.GridDistortion(distort_limit=r["limit"], **bent),
        "elastic": lambda r: package.ElasticTransform(
            alpha=sum(r["alpha"]) / 4,  # half of the mean: there it is the move itself
            sigma=sum(r["sigma"]) / 2,
            noise_distribution="uniform",
            **bent,
        ),
        "optical_distortion": lambda r: package.OpticalDistortion(distort_limit=r["limit"], **bent),
    }


def _colours(package: Any) -> dict[str, Callable[[Ranges], Any]]:
    def jitter(**ranges: tuple[float, float]) -> Any:
        same = (1.0, 1.0)
        neutral = {"brightness": same, "contrast": same, "saturation": same, "hue": (0.0, 0.0)}
        return package.ColorJitter(**{**neutral, **ranges}, p=1)

    def posterize(r: Ranges) -> Any:
        low, high = _whole(r["bits"])
        return package.Posterize(num_bits=(low, min(high, 7)), p=1) if low < 8 else None  # noqa: PLR2004  # all eight bits stay

    return {
        "brightness": lambda r: jitter(brightness=r["factor"]),
        "contrast": lambda r: jitter(contrast=r["factor"]),
        "saturation": lambda r: jitter(saturation=r["factor"]),
        "hue": lambda r: jitter(hue=r["turn"]),
        "colour_jitter": lambda r: jitter(**r),
        "posterize": posterize,
        "solarize": lambda r: package.Solarize(threshold_range=r["threshold"], p=1),
        "autocontrast": lambda _: package.AutoContrast(method="pil", p=1),
        "equalize": lambda _: package.Equalize(mode="cv", p=1),
        "invert": lambda _: package.InvertImg(p=1),
    }


def _spoiling(package: Any) -> dict[str, Callable[[Ranges], Any]]:
    return {
        "noise": lambda r: package.GaussNoise(std_range=r["std"], p=1),
        "blur": lambda r: package.GaussianBlur(blur_limit=0, sigma_limit=r["sigma"], p=1),
        "motion_blur": lambda r: package.MotionBlur(
            blur_limit=tuple(2 * (n // 2) + 1 for n in _whole(r["length"])),
            allow_shifted=False,
            angle_range=r["angle"],
            direction_range=(0, 0),
            p=1,
        ),
        "coarse_dropout": lambda r: package.CoarseDropout(
            num_holes_range=_whole(r["holes"]),
            hole_height_range=r["size"],
            hole_width_range=r["size"],
            fill=r["fill"][0],
            p=1,
        ),
    }
