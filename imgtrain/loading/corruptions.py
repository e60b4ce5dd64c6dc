"""Pictures made worse in five steps: how much a model stands, before its users find out.

Kinds and strengths are those of Hendrycks & Dietterich 2019 ("Benchmarking neural network
robustness to common corruptions and perturbations", arXiv:1903.12261), as published for pictures of
32 pixels (CIFAR-C) and of 224 (ImageNet-C). Between the two sizes they lie on a line over the
logarithm of the size. Operations are applied to what the model sees.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from imgtrain.loading.preprocess import Pixels

SEVERITIES = (1, 2, 3, 4, 5)

_SMALL, _LARGE = 32, 224
_COLOUR = 3

Floats = NDArray[np.float32]
"""Pixels in [0, 1], (H, W, C)."""

Strengths = tuple[float, float, float, float, float]


@dataclass(frozen=True, slots=True)
class Kind:
    """One way of spoiling a picture.

    Args:
        small: Its strength at each severity, at 32 pixels.
        large: The same at 224 pixels.
        apply: What it does, given the pixels in [0, 1], the strength and a generator.
        spreads: Whether the strength is a length, which grows with larger pictures.
    """

    small: Strengths
    large: Strengths
    apply: Callable[[Floats, float, np.random.Generator], Floats]
    spreads: bool = False

    def strength(self, severity: int, size: int) -> float:
        """At a severity from 1 to 5, for pictures of ``size`` pixels."""
        small, large = self.small[severity - 1], self.large[severity - 1]
        if self.spreads and not _SMALL < size < _LARGE:
            return small * size / _SMALL if size <= _SMALL else large * size / _LARGE
        way = math.log(min(max(size, _SMALL), _LARGE) / _SMALL) / math.log(_LARGE / _SMALL)
        return small + way * (large - small)


def _noise(x: Floats, sd: float, rng: np.random.Generator) -> Floats:
    """Normal, independent in every pixel and channel; ``sd`` of the whole range."""
    return x + np.float32(sd) * rng.standard_normal(x.shape, np.float32)


def _blur(x: Floats, sigma: float, _: np.random.Generator) -> Floats:
    """Gaussian, ``sigma`` in pixels."""
    planes = [cv2.GaussianBlur(plane, (0, 0), sigma) for plane in np.moveaxis(x, 2, 0)]
    return cast("Floats", np.stack(planes, axis=2))


def _jpeg(x: Floats, quality: float, _: np.random.Generator) -> Floats:
    """Encoded at a quality of 1 to 100, and decoded; planes that are no colours one by one."""
    pixels = _rounded(x)
    planes = [pixels] if pixels.shape[2] in (1, _COLOUR) else np.split(pixels, pixels.shape[2], 2)
    coded = [_recoded(np.ascontiguousarray(plane), round(quality)) for plane in planes]
    return _floats(np.concatenate(coded, axis=2))


def _recoded(pixels: Pixels, quality: int) -> Pixels:
    swapped = pixels[:, :, ::-1]  # OpenCV writes blue, green, red
    _, data = cv2.imencode(".jpg", swapped, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    assert decoded is not None
    return cast("Pixels", decoded.reshape(pixels.shape)[:, :, ::-1])


def _brightness(x: Floats, more: float, _: np.random.Generator) -> Floats:
    """``more`` of the whole range on the value of HSV: a colour keeps its hue and saturation."""
    value = x.max(axis=2, keepdims=True) if x.shape[2] == _COLOUR else x
    brighter = np.minimum(value + np.float32(more), 1)
    scaled = x * brighter / np.maximum(value, np.float32(1e-6))
    return cast("Floats", np.where(value > 0, scaled, brighter))


def _contrast(x: Floats, share: float, _: np.random.Generator) -> Floats:
    """Distances from each channel's mean shrink to ``share``."""
    mean = x.mean(axis=(0, 1), keepdims=True)
    return cast("Floats", (x - mean) * np.float32(share) + mean)


KINDS: Mapping[str, Kind] = {
    "noise": Kind((0.04, 0.06, 0.08, 0.09, 0.10), (0.08, 0.12, 0.18, 0.26, 0.38), _noise),
    "blur": Kind((0.4, 0.6, 0.7, 0.8, 1.0), (1.0, 2.0, 3.0, 4.0, 6.0), _blur, spreads=True),
    "jpeg": Kind((80, 65, 58, 50, 40), (25, 18, 15, 10, 7), _jpeg),
    "brightness": Kind((0.05, 0.1, 0.15, 0.2, 0.3), (0.1, 0.2, 0.3, 0.4, 0.5), _brightness),
    "contrast": Kind((0.75, 0.5, 0.4, 0.3, 0.15), (0.4, 0.3, 0.2, 0.1, 0.05), _contrast),
}
"""In the order in which they are shown."""


def _floats(pixels: Pixels) -> Floats:
    return cast("Floats", pixels.astype(np.float32) / np.float32(255))


def _rounded(x: Floats) -> Pixels:
    return cast("Pixels", np.rint(np.clip(x, 0, 1) * 255).astype(np.uint8))


@dataclass(frozen=True, slots=True)
class Corruption:
    """A kind at a severity: what it does to a picture depends on the pixels and the seed alone."""

    kind: str
    severity: int
    seed: int = 0

    def __call__(self, pixels: Pixels) -> Pixels:
        """(H, W, C) -> the same shape."""
        kind = KINDS[self.kind]
        strength = kind.strength(self.severity, min(pixels.shape[:2]))
        x = _floats(pixels)
        return _rounded(kind.apply(x, strength, self._generator(pixels)))

    def _generator(self, pixels: Pixels) -> np.random.Generator:
        """Of its own for each picture, so that no order and no neighbour matters."""
        salt = f"{self.seed} {self.kind} {self.severity}\0".encode()
        data = np.ascontiguousarray(pixels).tobytes()
        key = np.frombuffer(hashlib.blake2b(data, digest_size=16, key=salt[:64]).digest(), "<u8")
        return np.random.Generator(np.random.Philox(key=key))


def all_corruptions(seed: int = 0) -> list[Corruption]:
    """Every kind at every severity."""
    return [Corruption(kind, severity, seed) for kind in KINDS for severity in SEVERITIES]
