"""Data sets known by name, and the settings that suit them better than the general defaults."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

KNOWN: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {
        "digits": MappingProxyType(
            {"data.image_size": 8, "augment.flip": False, "train.epochs": 12}
        ),
    }
)
"""Settings by dotted key, for each known name."""


def is_known(root: str) -> bool:
    """Whether ``root`` means a known set: a folder or file of that name comes first."""
    return root in KNOWN and not Path(root).exists()


def known_settings(root: str) -> Mapping[str, object]:
    """The set's own defaults; nothing for a folder or manifest."""
    return KNOWN[root] if is_known(root) else {}
