"""A policy is a tree: operations with probabilities and ranges, in order or one of many."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imgtrain.loading.policies.catalog import Given, Range, full_ranges

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Step:
    """One operation.

    Args:
        name: As the catalogue (or, in ``custom``, albumentations) spells it.
        ranges: Range of each argument.
        p: How often it is applied.
        own: Arguments of one of albumentations' own transforms; None for the catalogue's.
    """

    name: str
    ranges: tuple[Range, ...] = ()
    p: float = 1.0
    own: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class All:
    """Every part, in order."""

    parts: tuple[Node, ...]
    p: float = 1.0


@dataclass(frozen=True, slots=True)
class OneOf:
    """One part, each as likely as the others."""

    parts: tuple[Node, ...]
    p: float = 1.0


@dataclass(frozen=True, slots=True)
class Blend:
    """The picture, blended with several chains of ``link`` (Hendrycks et al. 2019, AugMix).

    Args:
        link: What a chain is made of.
        width: How many chains.
        depth: Shortest and longest chain.
        alpha: Of the Dirichlet and Beta distributions of the weights.
        p: How often it is applied.
    """

    link: Node
    width: int = 3
    depth: tuple[int, int] = (1, 3)
    alpha: float = 1.0
    p: float = 1.0


Node = Step | All | OneOf | Blend
Perform = Callable[[Step, Pixels, np.random.Generator], Pixels]
"""How a library carries out one operation: (H, W, C) -> (H, W, C)."""


def step(name: str, given: Mapping[str, Given] | None = None, *, p: float = 1.0) -> Step:
    """An operation of the catalogue, its other arguments at their defaults."""
    return Step(name, full_ranges(name, given or {}), p)


def steps_of(node: Node) -> Iterator[Step]:
    """All operations in a policy."""
    if isinstance(node, Step):
        yield node
        return
    for part in (node.link,) if isinstance(node, Blend) else node.parts:
        yield from steps_of(part)


def carry_out(node: Node, pixels: Pixels, rng: np.random.Generator, perform: Perform) -> Pixels:
    """Walk the tree once with the numbers of ``rng``."""
    if node.p < 1 and rng.random() >= node.p:
        return pixels
    if isinstance(node, Step):
        return perform(node, pixels, rng)
    if isinstance(node, OneOf):
        return carry_out(node.parts[rng.integers(len(node.parts))], pixels, rng, perform)
    if isinstance(node, Blend):
        return _blended(node, pixels, rng, perform)
    for part in node.parts:
        pixels = carry_out(part, pixels, rng, perform)
    return pixels


def _blended(node: Blend, pixels: Pixels, rng: np.random.Generator, perform: Perform) -> Pixels:
    """``m x picture + (1 - m) x sum of w[i] x chain[i]``, m ~ Beta and w ~ Dirichlet."""
    share = rng.beta(node.alpha, node.alpha)
    weights = rng.dirichlet([node.alpha] * node.width)
    total = np.float32(share) * pixels.astype(np.float32)
    for weight in weights:
        chain = pixels
        for _ in range(int(rng.integers(node.depth[0], node.depth[1] + 1))):
            chain = carry_out(node.link, chain, rng, perform)
        total += np.float32((1 - share) * weight) * chain
    out: Pixels = np.clip(np.rint(total), 0, 255).astype(np.uint8)
    return out
