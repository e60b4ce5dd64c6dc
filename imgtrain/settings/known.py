"""Data sets known by name, and the settings that suit them better than the general defaults."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

SETS = (
    *("mnist", "fashion-mnist", "kmnist", "cifar10", "cifar100", "svhn", "stl10"),
    *("imagenette", "imagenette-160", "imagewoof", "flowers102", "oxford-pets"),
    *("tiny-imagenet", "digits"),
)
"""Names of data sets that ``imgtrain data download`` knows."""

KNOWN: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {
        "digits": MappingProxyType(
            {
                "data.image_size": 8,
                "augment.flip": False,
                "train.epochs": 12,
                "tune.epochs": 4,
            }
        ),
        "mnist": MappingProxyType({"augment.flip": False}),
        "kmnist": MappingProxyType({"augment.flip": False}),
        "svhn": MappingProxyType({"augment.flip": False}),
    }
)
"""Settings by dotted key, for the names that want other ones than the general defaults."""


def is_known(root: str) -> bool:
    """Whether ``root`` means a known set: a folder or file of that name comes first."""
    return root in KNOWN and not Path(root).exists()


def known_settings(root: str) -> Mapping[str, object]:
    """The set's own defaults; nothing for a folder or manifest."""
    return KNOWN[root] if is_known(root) else {}
