"""From looks at single files to findings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from imgtrain.checking.findings import Finding
from imgtrain.checking.formats import fits
from imgtrain.checking.looks import Look

PLAIN = ("L", "RGB")


@dataclass(frozen=True, slots=True)
class Limits:
    """From where on something is reported; levels are 0 to 255.

    Args:
        max_pixels: Larger pictures are not decoded.
        min_side: Shorter side in pixels.
        max_aspect: Longer side over shorter.
        max_imbalance: Largest class over smallest.
        min_contrast: Standard deviation of the level.
        dark: 95 % of the pixels are below this level.
        bright: 95 % of the pixels are above this level.
        blur: Variance of the Laplacian at a shorter side of 256 pixels.
    """

    max_pixels: int = 100_000_000
    min_side: int = 16
    max_aspect: float = 4.0
    max_imbalance: float = 10.0
    min_contrast: float = 3.0
    dark: float = 40.0
    bright: float = 215.0
    blur: float = 5.0


def judge(name: str, look: Look, limits: Limits) -> Iterator[Finding]:
    """What there is to say about one file."""
    if look.problem is not None:
        yield Finding(look.problem, (name,), look.reason)
        return
    if look.format is not None and not fits(name, look.format):
        yield Finding("wrong-extension", (name,), f"it is {look.format}")
    if not look.ends:
        yield Finding("incomplete", (name,))
    if look.damage:
        yield Finding("damaged", (name,), look.damage)
    yield from _shape(name, look, limits)
    yield from _pixels(name, look, limits)


def _shape(name: str, look: Look, limits: Limits) -> Iterator[Finding]:
    shorter, longer = sorted((look.width, look.height))
    size = f"{look.width} x {look.height}"
    if shorter < limits.min_side:
        yield Finding("too-small", (name,), size)
    if longer > limits.max_aspect * shorter:
        yield Finding("odd-aspect", (name,), size)
    if look.mode not in PLAIN and look.format != "NPY":
        yield Finding("mode", (name,), look.mode)
    if look.turned:
        yield Finding("rotated", (name,))


def _pixels(name: str, look: Look, limits: Limits) -> Iterator[Finding]:
    found = look.quality
    if found is None:
        return
    if found.contrast < limits.min_contrast:
        yield Finding("constant", (name,), f"level {found.mean:.0f} of 255")
    elif found.bright < limits.dark:
        yield Finding("dark", (name,), f"mean level {found.mean:.0f} of 255")
    elif found.dark > limits.bright:
        yield Finding("bright", (name,), f"mean level {found.mean:.0f} of 255")
    elif found.sharpness is not None and found.sharpness < limits.blur:
        yield Finding("blurred", (name,), f"sharpness {found.sharpness:.1f}")
