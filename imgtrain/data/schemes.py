"""Pictures that a registered source lists: ``--data SCHEME:TEXT``."""

from __future__ import annotations

import numpy as np

from imgtrain.data.listing import NO_PART, PARTS, Listing
from imgtrain.errors import DataError
from imgtrain.registry import SOURCES


def read_source(scheme: str, text: str) -> Listing:
    """What the source lists, checked where a plugin made it.

    Raises:
        DataError: If the listing contradicts itself.
    """
    listing: object = SOURCES[scheme](text)
    plugin = SOURCES.plugin(scheme) or "imgtrain"
    if not isinstance(listing, Listing):
        raise DataError(
            f"source {scheme!r} of plugin {plugin} gives {type(listing).__name__}, not a Listing",
            "imgtrain.plugins.listing makes one",
        )
    wrong = _wrong(listing)
    if wrong:
        raise DataError(f"source {scheme!r} of plugin {plugin}: {wrong}")
    return listing


def _wrong(listing: Listing) -> str:
    """What does not fit together, as half a sentence; empty where all does."""
    number, classes = len(listing.source), len(listing.classes)
    if not number:
        return "it lists no pictures"
    for name, array, low, high in (
        ("labels", listing.labels, 0, classes),
        ("parts", listing.given, NO_PART, len(PARTS)),
    ):
        if np.shape(array) != (number,):
            return f"{number:,} pictures have {name} of shape {np.shape(array)}"
        if not np.issubdtype(np.asarray(array).dtype, np.integer):
            return f"{name} must be whole numbers"
        if array.min() < low or array.max() >= high:
            return f"{name} must lie in {low} to {high - 1}"
    if listing.groups is not None and len(listing.groups) != number:
        return f"{number:,} pictures have {len(listing.groups):,} groups"
    without = np.flatnonzero(np.bincount(listing.labels, minlength=classes) == 0)
    return f"class {listing.classes[without[0]]!r} has no pictures" if len(without) else ""
