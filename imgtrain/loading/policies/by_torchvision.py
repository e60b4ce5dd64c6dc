"""Operations carried out by torchvision on PIL images.

PIL's kernels use one thread and let the others run; what torchvision does with torch itself is in
``warps``. torchvision's functions handle one and three channels; with any other number each
channel is treated as a grey picture with the same arguments.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import cv2
import numpy as np
from PIL import Image

from imgtrain.loading.policies import warps
from imgtrain.loading.policies.draws import Draw
from imgtrain.loading.policies.tree import Perform, Pixels, Step

Change = Callable[[Any], Any]
"""From a PIL image to one of the same size."""

_FARTHEST = 4
"""Pictures go on beyond their edge by so many sides of theirs; what lies farther is black."""


def performer(edge: int) -> Perform:
    """Operations of the catalogue by torchvision; importing it takes seconds, so only here."""
    from torchvision.transforms.v2 import functional

    operations: dict[str, Callable[[Pixels, Draw], Pixels]] = {
        **_same_everywhere(),
        **_geometry(functional),
        **_colours(functional),
    }

    def perform(step: Step, pixels: Pixels, rng: np.random.Generator) -> Pixels:
        ranges = {name: (low, high) for name, low, high in step.ranges}
        return operations[step.name](pixels, Draw(ranges, rng, edge))

    return perform


def _same_everywhere() -> dict[str, Callable[[Pixels, Draw], Pixels]]:
    return {
        "horizontal_flip": lambda pixels, _: warps.mirrored(pixels),
        "vertical_flip": lambda pixels, _: warps.mirrored(pixels, upside_down=True),
        "noise": warps.noise,
        "blur": warps.blur,
        "motion_blur": warps.motion_blur,
        "grid_distortion": warps.grid_distortion,
        "elastic": warps.elastic,
        "optical_distortion": warps.optical_distortion,
        "coarse_dropout": warps.coarse_dropout,
    }


def through_pil(pixels: Pixels, change: Change) -> Pixels:
    """Apply ``change`` to the picture as PIL has it: RGB, or each channel in grey."""
    if pixels.shape[2] == 3:  # noqa: PLR2004  # red, green, blue
        return np.asarray(change(Image.fromarray(pixels)))
    bands = [np.asarray(change(Image.fromarray(band))) for band in np.moveaxis(pixels, 2, 0)]
    return np.stack(bands, axis=2)


def _filling(image: Any, fill: float | None) -> list[float]:
    return [0.0 if fill is None else fill] * len(image.getbands())


def _framed(pixels: Pixels, draw: Draw, reach: int, change: Callable[..., Any]) -> Pixels:
    """``change(image, fill)`` on the picture, which goes on beyond its edge or is filled there."""
    fill = draw.get("fill")

    def filling(image: Any) -> Any:
        return change(image, _filling(image, fill))

    if fill is not None or reach <= 0:
        return through_pil(pixels, filling)
    height, width = pixels.shape[:2]
    reach = min(reach, _FARTHEST * max(height, width))
    wide = cv2.copyMakeBorder(pixels, reach, reach, reach, reach, draw.edge)
    out = through_pil(cast("Pixels", wide.reshape(*wide.shape[:2], -1)), filling)
    return out[reach : reach + height, reach : reach + width]


class _Motion:
    """Arguments of torchvision's ``affine``, drawn."""

    def __init__(self, pixels: Pixels, draw: Draw) -> None:
        height, width = pixels.shape[:2]
        self.degrees, self.scale, self.shear = draw("degrees"), draw("scale"), draw("shear")
        self.shift = [round(draw("shift_x") * width), round(draw("shift_y") * height)]


def _reach(pixels: Pixels, motion: _Motion) -> int:
    """How far beyond the edge the pixels of a moved picture come from."""
    turn, shear = math.radians(motion.degrees), math.radians(motion.shear)
    forward = np.array(
        [
            [math.cos(turn), -math.cos(turn) * math.tan(shear) - math.sin(turn)],
            [math.sin(turn), -math.sin(turn) * math.tan(shear) + math.cos(turn)],
        ]
    )
    back = np.abs(np.linalg.inv(forward * motion.scale))
    half = np.array(pixels.shape[1::-1]) / 2
    return math.ceil(float((back @ (half + np.abs(motion.shift)) - half).max())) + 1


def _geometry(f: Any) -> dict[str, Callable[[Pixels, Draw], Pixels]]:
    smooth = f.InterpolationMode.BILINEAR

    def moved(pixels: Pixels, fill: float | None, **how: Any) -> Pixels:
        still = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0], **how}
        return through_pil(
            pixels,
            lambda image: f.affine(
                image, **still, interpolation=smooth, fill=_filling(image, fill)
            ),
        )

    def affine(pixels: Pixels, draw: Draw) -> Pixels:
        m = _Motion(pixels, draw)
        return _framed(
            pixels,
            draw,
            _reach(pixels, m),
            lambda image, fill: f.affine(
                image,
                angle=-m.degrees,  # clockwise there, counter-clockwise in rotate
                translate=m.shift,
                scale=m.scale,
                shear=[m.shear, 0.0],
                interpolation=smooth,
                fill=fill,
            ),
        )

    def rotate(pixels: Pixels, draw: Draw) -> Pixels:
        degrees = draw("degrees")
        turn = math.radians(degrees)
        side = max(pixels.shape[:2]) / 2
        reach = math.ceil(side * (abs(math.cos(turn)) + abs(math.sin(turn)) - 1)) + 1
        return _framed(
            pixels,
            draw,
            reach,
            lambda image, fill: f.rotate(image, degrees, interpolation=smooth, fill=fill),
        )

    def perspective(pixels: Pixels, draw: Draw) -> Pixels:
        """Four points near the corners become the corners, so that nothing is left empty."""
        height, width = pixels.shape[:2]
        right, bottom = width - 1, height - 1
        corners = [[0, 0], [right, 0], [right, bottom], [0, bottom]]
        points = [
            [abs(x - draw("scale") * right), abs(y - draw("scale") * bottom)] for x, y in corners
        ]
        return through_pil(
            pixels, lambda image: f.perspective(image, points, corners, interpolation=smooth)
        )

    def sheared(pixels: Pixels, draw: Draw, axis: int) -> Pixels:
        shear = [0.0, 0.0]
        shear[axis] = math.degrees(math.atan(draw("slope")))
        return moved(pixels, draw.get("fill"), shear=shear, center=[0, 0])

    def translated(pixels: Pixels, draw: Draw, axis: int) -> Pixels:
        shift = [0, 0]
        shift[axis] = int(draw("pixels"))
        return moved(pixels, draw.get("fill"), translate=shift)

    return {
        "affine": affine,
        "rotate": rotate,
        "perspective": perspective,
        "shear_x": lambda pixels, draw: sheared(pixels, draw, 0),
        "shear_y": lambda pixels, draw: sheared(pixels, draw, 1),
        "translate_x": lambda pixels, draw: translated(pixels, draw, 0),
        "translate_y": lambda pixels, draw: translated(pixels, draw, 1),
    }


def _colours(f: Any) -> dict[str, Callable[[Pixels, Draw], Pixels]]:
    adjust: dict[str, Callable[[Any, float], Any]] = {
        "brightness": f.adjust_brightness,
        "contrast": f.adjust_contrast,
        "saturation": f.adjust_saturation,
        "hue": f.adjust_hue,
    }

    def jitter(pixels: Pixels, draw: Draw) -> Pixels:
        amounts = {name: draw(name) for name in adjust}
        order = [list(adjust)[k] for k in draw.rng.permutation(len(adjust))]
        neutral = {name: 0.0 if name == "hue" else 1.0 for name in adjust}

        def change(image: Any) -> Any:
            for name in order:
                if amounts[name] != neutral[name]:
                    image = adjust[name](image, amounts[name])
            return image

        return through_pil(pixels, change)

    def posterize(pixels: Pixels, draw: Draw) -> Pixels:
        bits = draw.whole("bits")
        return through_pil(pixels, lambda image: f.posterize(image, bits))

    def simple(
        function: Callable[..., Any], *names: str, turn: Callable[[float], Any] = float
    ) -> Callable[[Pixels, Draw], Pixels]:
        def carried_out(pixels: Pixels, draw: Draw) -> Pixels:
            numbers = [turn(draw(name)) for name in names]
            return through_pil(pixels, lambda image: function(image, *numbers))

        return carried_out

    return {
        "colour_jitter": jitter,
        "brightness": simple(f.adjust_brightness, "factor"),
        "contrast": simple(f.adjust_contrast, "factor"),
        "saturation": simple(f.adjust_saturation, "factor"),
        "sharpness": simple(f.adjust_sharpness, "factor"),
        "hue": simple(f.adjust_hue, "turn"),
        "posterize": posterize,
        "solarize": simple(f.solarize, "threshold", turn=lambda share: 255.0 * share),
        "autocontrast": simple(f.autocontrast),
        "equalize": simple(f.equalize),
        "invert": simple(f.invert),
    }
