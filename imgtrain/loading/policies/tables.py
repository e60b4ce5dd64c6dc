"""The policies of the settings, from light to heavy, as trees of operations."""

from __future__ import annotations

from dataclasses import dataclass

from imgtrain.loading.policies import custom as listed
from imgtrain.loading.policies import learnt
from imgtrain.loading.policies.tree import All, Node, OneOf, Step, step
from imgtrain.registry import POLICIES, Augmentation
from imgtrain.settings.schema import AugmentSettings


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a policy is made for.

    Args:
        augment: The settings.
        size: Side of the picture after the crop: some strengths are shares of it.
        natural: Photos, rather than small pictures.
    """

    augment: AugmentSettings
    size: int
    natural: bool


def none(_: Wanted) -> None:
    """Nothing follows the crop and the flip (nor do these happen)."""


auto = none
"""Nothing follows the crop and the flip."""


def light(_: Wanted) -> Node:
    """A slight turn."""
    return step("rotate", {"degrees": 10})


def medium(_: Wanted) -> Node:
    """Turned and moved, other colours, noise on half."""
    return All(
        (
            step("affine", {"degrees": 15, "shift_x": 0.1, "shift_y": 0.1, "scale": 0.1}),
            step("colour_jitter", {"brightness": 0.2, "contrast": 0.2, "saturation": 0.2}),
            step("noise", {"std": (0.01, 0.05)}, p=0.5),
        )
    )


def _spoilt(size: int, *, noise: float, p: float) -> Node:
    """Noise or blur; blur grows with the picture (2 pixels of sigma at 224)."""
    return OneOf(
        (
            step("noise", {"std": (0.01, noise)}),
            step("blur", {"sigma": (0.3, max(0.6, size / 112))}),
            step("motion_blur", {"length": (3, max(3, size // 25))}),
        ),
        p=p,
    )


def _bent(size: int) -> Node:
    """Uneven stretching; elastic moves pixels by about 1/224 of the side."""
    smooth = max(1.0, size / 45)
    alpha = 12.3 * smooth * size / 224
    return OneOf(
        (
            step("grid_distortion", {"limit": 0.3}),
            step("elastic", {"alpha": (0.7 * alpha, 1.3 * alpha), "sigma": (smooth, smooth)}),
            step("optical_distortion", {"limit": 0.3}),
        ),
        p=0.3,
    )


def groups(wanted: Wanted) -> Node:
    """Geometry, noise, colour: each group on its own 0.3 of the pictures."""
    moved = step("affine", {"degrees": 15, "shift_x": 0.1, "shift_y": 0.1, "scale": 0.1})
    tilted = step("perspective", {"scale": (0.02, 0.08)}, p=0.5)
    coloured = {"brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.05}
    return All(
        (
            All((moved, tilted), p=0.3),
            _spoilt(wanted.size, noise=0.06, p=0.3),
            step("colour_jitter", coloured, p=0.3),
        )
    )


def heavy(wanted: Wanted) -> Node:
    """Everything, each on a part of the pictures: nearly none is left as it was."""
    size = wanted.size
    upside_down = (step("vertical_flip", p=0.5),) if wanted.augment.flip else ()
    return All(
        (
            *upside_down,
            step("affine", {"degrees": 30, "shift_x": 0.2, "shift_y": 0.2, "scale": 0.2}, p=0.7),
            step("perspective", {"scale": (0.05, 0.1)}, p=0.3),
            step(
                "colour_jitter",
                {"brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.05},
                p=0.7,
            ),
            _spoilt(size, noise=0.08, p=0.4),
            _bent(size),
            All((autoaugment(wanted),), p=0.5),
            step("coarse_dropout", {"holes": (1, 3), "size": (0.1, 0.25)}, p=0.3),
        )
    )


def randaugment(wanted: Wanted) -> Node:
    """Some operations of fourteen, all as strong."""
    return learnt.randaugment(wanted.augment.rand_n, wanted.augment.rand_m, wanted.size)


def autoaugment(wanted: Wanted) -> Node:
    """A learnt pair of operations."""
    return learnt.autoaugment(wanted.size, natural=wanted.natural)


def trivial(_: Wanted) -> Node:
    """One operation of any strength."""
    return learnt.trivial()


def augmix(wanted: Wanted) -> Node:
    """Blended chains of weak operations."""
    return learnt.augmix(wanted.size)


def custom(wanted: Wanted) -> Node:
    """The user's own list."""
    return listed.custom(wanted.augment)


def policy_tree(augment: AugmentSettings, *, size: int, natural: bool) -> Node | None:
    """What follows the crop and the flip; None where nothing does.

    Args:
        augment: The settings.
        size: Side of the picture after the crop: some strengths are shares of it.
        natural: Photos, rather than small pictures.

    Raises:
        SettingsError: If operations of ``custom`` cannot be used, or a plugin's mirrors and must
            not.
    """
    found = POLICIES[augment.policy]
    if isinstance(found, Augmentation):
        listed.refuse_mirrors(augment.policy, flip=augment.flip)
        return Step(augment.policy, own={})
    tree: Node | None = found(Wanted(augment, size, natural))
    return tree
