"""A policy, ready to be applied to cropped pictures by any number of threads."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import cast

import cv2
import numpy as np

from imgtrain.errors import ImgtrainError, SettingsError
from imgtrain.loading.policies import by_albumentations, by_torchvision
from imgtrain.loading.policies.tables import policy_tree
from imgtrain.loading.policies.tree import (
    Node,
    Perform,
    Pixels,
    Step,
    carry_out,
    steps_of,
)
from imgtrain.registry import AUGMENTATIONS, blamed
from imgtrain.settings.schema import AugmentSettings

Variation = Callable[[Pixels, np.random.Generator], Pixels]
"""(size, size, C) and a picture's own generator -> (size, size, C)."""


def variation(
    augment: AugmentSettings, *, size: int, channels: int, natural: bool
) -> Variation | None:
    """What a policy does after the crop and the flip; None where it does nothing.

    Pictures go on beyond their edge by reflection, or, where mirroring is forbidden, by repetition.
    Every operation of ``custom`` is tried once, on a grey square, before this returns.

    Raises:
        SettingsError: If the policy cannot be used as it stands.
    """
    tree = policy_tree(augment, size=size, natural=natural)
    if tree is None:
        return None
    by = by_albumentations if augment.library == "albumentations" else by_torchvision
    edge = cv2.BORDER_REFLECT_101 if augment.flip else cv2.BORDER_REPLICATE
    steps = list(steps_of(tree))
    own = [step.name for step in steps if step.name in AUGMENTATIONS]
    # importing a library takes seconds: not where plugins do everything
    perform = _refuse if len(own) == len(steps) else by.performer(edge)
    if own:
        perform = _with_plugins(perform)
    if augment.policy == "custom" or own:
        _try_each(tree, perform, (size, size, channels))

    def vary(pixels: Pixels, rng: np.random.Generator) -> Pixels:
        return _fitting(carry_out(tree, pixels, rng, perform), size)

    return vary


def _refuse(step: Step, pixels: Pixels, rng: np.random.Generator) -> Pixels:
    raise AssertionError(step, pixels.shape, rng)


def _with_plugins(perform: Perform) -> Perform:
    """Plugins' operations by themselves, the others as before."""

    def choose(step: Step, pixels: Pixels, rng: np.random.Generator) -> Pixels:
        if step.name not in AUGMENTATIONS:
            return perform(step, pixels, rng)
        pixels = pixels.view()
        pixels.flags.writeable = False  # it may be the store's own
        changed: Pixels = AUGMENTATIONS[step.name].function(pixels, rng, **(step.own or {}))
        return np.asarray(changed)

    return choose


def _fitting(pixels: Pixels, size: int) -> Pixels:
    """Custom operations may cut: back to the model's size."""
    if pixels.shape[:2] == (size, size):
        return pixels
    out = cv2.resize(pixels, (size, size), interpolation=cv2.INTER_LINEAR)
    return cast("Pixels", out.reshape(size, size, pixels.shape[2]))


def _try_each(tree: Node, perform: Perform, shape: tuple[int, int, int]) -> None:
    square = np.full(shape, 128, np.uint8)
    for step in steps_of(tree):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                found = perform(step, square, np.random.Generator(np.random.Philox(key=0)))
        except ImgtrainError:
            raise
        except Exception as error:
            place = blamed(error)
            told = place[1] if place else " ".join(str(error).split()) or repr(error)
            raise SettingsError(
                f"operation {step.name!r} of augment.custom fails on a picture of "
                f"{' x '.join(map(str, shape))}: {told}",
                "mend its arguments, or leave it out",
            ) from error
        if found.dtype != np.uint8 or found.shape[2:] != shape[2:]:
            raise SettingsError(
                f"operation {step.name!r} of augment.custom turns {shape[2]} channels of uint8 "
                f"into {' x '.join(map(str, found.shape[2:])) or 1} of {found.dtype}",
                "operations must keep channels and type; normalising comes later, on the device",
            )
