"""The sets that imgtrain can fetch, by name. Light: nothing but dataclasses is imported.

Checksums are copied from those who published them, never computed from one download. Where two
sources were found (TensorFlow Datasets' ``checksums.tsv`` and torchvision), the SHA-256 was taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from imgtrain.errors import SettingsError, nearest
from imgtrain.fetching import photo_sets, small_sets
from imgtrain.fetching.entry import SetEntry

CATALOGUE: Mapping[str, SetEntry] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            small_sets.MNIST,
            small_sets.FASHION,
            small_sets.KMNIST,
            small_sets.CIFAR10,
            small_sets.CIFAR100,
            small_sets.SVHN,
            small_sets.STL10,
            photo_sets.IMAGENETTE,
            photo_sets.IMAGENETTE_160,
            photo_sets.IMAGEWOOF,
            photo_sets.FLOWERS,
            photo_sets.PETS,
            photo_sets.TINY_IMAGENET,
            small_sets.DIGITS,
        )
    }
)

NAMES = tuple(CATALOGUE)


def entry_of(name: str) -> SetEntry:
    """The set of this name.

    Raises:
        SettingsError: With the nearest name.
    """
    if name not in CATALOGUE:
        raise SettingsError(
            f"there is no known set {name!r}{nearest(name.casefold(), NAMES)}",
            "imgtrain data download --list shows them all",
        )
    return CATALOGUE[name]
